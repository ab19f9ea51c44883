"""The Hub, with a small server of its own protocol in its place, and with no network at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.core.hub_client import is_pinned_form, parse_dataset
from tests.hub.server import Fault, Hub

ROWS = b"".join(b'{"text": "t%d"}\n' % i for i in range(10))
CONFIGS = b"""---
configs:
- config_name: one
  data_files: one.jsonl
- config_name: two
  data_files: two.jsonl
---
"""


def odd_parquet() -> bytes:
    """Return a file with a date that Python's do not reach."""
    far = pa.array([10_000_000], pa.int32()).cast(pa.date32())
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "far": far}), sink)
    return sink.getvalue()


REPOS = {
    "me/rows": {"train.jsonl": ROWS, "test.jsonl": b'{"text": "held out"}\n'},
    "me/two": {"README.md": CONFIGS, "one.jsonl": ROWS, "two.jsonl": b'{"text": "second"}\n'},
    "me/script": {"script.py": b"", "README.md": b""},
    "me/nothing": {"README.md": b""},
    "me/odd": {"train.parquet": odd_parquet()},
    "me/gated": {"train.jsonl": ROWS},
    "me/large": {
        "data/train-0.jsonl": b'{"text": "first"}\n{"text": "second"}\n',
        "data/train-1.jsonl": b'{"text": "%s"}\n' % (b"long " * 1000) * 400,
    },
}
# Opens each source named and prints its texts, or the error; ~ before a split streams it.
CHILD = """
import json, sys, time
from nextfill.data.records.sources import open_source, pinned
from nextfill.core.errors import DataError
for spec, split, *field in json.loads(sys.argv[1]):
    start = time.monotonic()
    streaming = split is not None and split.startswith("~")
    split = split.removeprefix("~") if split else None
    try:
        text_field = field[0] if field else None
        source = open_source(spec, split=split, text_field=text_field, streaming=streaming)
        texts = [[record.value["text"] for record in source.read()] for _ in range(2)]
        found = {"pinned": pinned(spec), "fingerprint": source.fingerprint}
        found |= {"texts": texts[0], "again": texts[1]}
    except DataError as error:
        found = {"error": str(error)}
    print(json.dumps(found | {"elapsed_s": time.monotonic() - start}))
"""


@pytest.fixture(scope="module")
def hub():
    with Hub() as hub:
        for name, files in REPOS.items():
            hub.add(name, files, "datasets", gated=name == "me/gated")
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("hf_home")


def open_all(home: Path, *specs: str, **env: str) -> list[dict]:
    asked = [spec.split(" ") if " " in spec else (spec, None) for spec in specs]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(asked)],
        env=kept | {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | env,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_hub_and_then_its_cache(hub, home):
    specs = ("me/rows", "me/rows train[:2]+train[90%:]", "me/rows test", "me/two:two")
    online = open_all(home, *specs, HF_ENDPOINT=hub.url)
    assert [found.get("texts") for found in online] == [
        [f"t{i}" for i in range(10)],
        ["t0", "t1", "t9"],
        ["held out"],
        ["second"],
    ], online
    assert all(found["texts"] == found["again"] for found in online)
    assert len({found["fingerprint"] for found in online}) == 4
    offline = open_all(home, *specs, "me/rows nope", "me/two:one", HF_HUB_OFFLINE="1")
    assert [found["texts"] for found in offline[:4]] == [found["texts"] for found in online]
    assert [f["fingerprint"] for f in offline[:4]] == [f["fingerprint"] for f in online]
    assert "'nope'" in offline[4]["error"]
    assert "not in the cache" in offline[5]["error"]


def test_what_the_hub_refuses_says_why(hub, tmp_path):
    (tmp_path / "corpora").touch()
    expected = {
        "me/none": "There is no data set 'me/none' on the Hub that you may read",
        "corpra": "Did you mean 'corpora'?",
        "me/gated": "is gated. Ask for access at https://huggingface.co/datasets/me/gated",
        "me/script": "is a script (script.py), and scripts are no longer run",
        "me/nothing": "me/nothing",
        "me/two": "--data me/two:CONFIG",
        "me/two:three": "--data me/two:CONFIG",
        "me/rows validation": "--split 'validation' of the data set 'me/rows'",
        "me/rows train[10:]": "--split 'train[10:]' of the data set 'me/rows'",
        "me/rows train[": "--split 'train['",
    }
    for spec, found in zip(
        expected, open_all(tmp_path, *expected, HF_ENDPOINT=hub.url), strict=True
    ):
        assert expected[spec] in found.get("error", ""), (spec, found)


def test_only_the_column_asked_for_is_decoded(hub, tmp_path):
    whole, column, other = open_all(
        tmp_path, "me/odd", "me/odd train text", "me/odd train title", HF_ENDPOINT=hub.url
    )
    assert column["texts"] == column["again"] == ["a"]
    for refused in (whole, other):
        assert "me/odd: a value in the rows from 0 on cannot be read" in refused["error"]


def test_a_revision_is_read_and_pinned(hub, tmp_path):
    repo = hub.add("me/moving", {"train.jsonl": b'{"text": "old"}\n'}, "datasets")
    (old,) = repo.order
    (first,) = open_all(tmp_path, "me/moving", HF_ENDPOINT=hub.url)
    assert first["texts"] == ["old"]
    assert first["pinned"] == f"me/moving@{old}"
    repo.commit({"train.jsonl": b'{"text": "new"}\n'})
    specs = ("me/moving", f"me/moving@{old}", f"me/moving@{old} ~train", "me/moving@main")
    found = open_all(tmp_path, *specs, "me/moving@nope", HF_ENDPOINT=hub.url)
    assert [one.get("texts") for one in found[:4]] == [["new"], ["old"], ["old"], ["new"]]
    assert found[1]["fingerprint"] == found[2]["fingerprint"] == first["fingerprint"]
    assert found[0]["fingerprint"] == found[3]["fingerprint"] != first["fingerprint"]
    assert "has no revision 'nope'" in found[4]["error"]
    offline = open_all(tmp_path, f"me/moving@{old}", "me/moving@v1", HF_HUB_OFFLINE="1")
    assert offline[0]["texts"] == ["old"]
    assert offline[0]["fingerprint"] == first["fingerprint"]
    assert "not in the cache" in offline[1]["error"]


@pytest.mark.trial
def test_a_stream_reads_no_more_than_is_asked_for(hub, tmp_path):
    hub.paths.clear()
    hub.sent = 0
    specs = ("me/large ~train[:2]", "me/large ~train[1:2]+train[:1]", "me/rows ~train[50%:]")
    specs += ("me/rows ~nope", "me/rows ~test", "me/two:two ~train", "me/odd ~train text")
    few, mixed, percent, nope, test, config, odd = open_all(tmp_path, *specs, HF_ENDPOINT=hub.url)
    assert few["texts"] == few["again"] == ["first", "second"]
    assert mixed["texts"] == ["second", "first"]
    assert not [path for path in hub.paths if "resolve" in path and "train-1" in path]
    assert hub.sent < 100_000
    assert "give positions, such as train[:5000]" in percent["error"]
    assert "There is no split 'nope'" in nope["error"]
    assert test["texts"] == ["held out"]
    assert config["texts"] == ["second"]
    assert odd["texts"] == ["a"]


def test_a_hub_that_is_lost_while_streaming_is_told(hub, tmp_path):
    hub.faults.append(Fault("resolve", status=503, times=-1, headers={"Retry-After": "3600"}))
    (lost,) = open_all(tmp_path, "me/large ~train", HF_ENDPOINT=hub.url)
    hub.faults.clear()
    assert "asks to wait 3600 seconds" in lost["error"]
    assert lost["elapsed_s"] < 60


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("me/rows", ("me/rows", None, None)),
        ("rows", ("rows", None, None)),
        ("me/rows@v1.0:en", ("me/rows", "v1.0", "en")),
        ("me/rows:en@refs/pr/1", ("me/rows", "refs/pr/1", "en")),
        ("me/rows@a:en@b", None),
        ("me/rows@", None),
        ("me/rows:", None),
        ("me/rows/more", None),
        ("https://host/x", None),
        ("", None),
    ],
)
def test_names_of_data_sets(spec, parts):
    found = parse_dataset(spec)
    assert (found and (found.repo, found.revision, found.config)) == parts


def test_a_pinned_name_is_known_again():
    sha = "0" * 40
    assert is_pinned_form(f"me/rows@{sha}:en", "me/rows:en")
    assert is_pinned_form(f"me/rows@{sha}", "me/rows@main")
    assert not is_pinned_form(f"me/rows@{sha}", f"me/rows@{'1' * 40}")
    assert not is_pinned_form(f"me/rows@{sha}:en", "me/rows")
    assert not is_pinned_form("notes.txt", "notes.txt")


def test_no_network_is_said_within_seconds(tmp_path):
    (offline,) = open_all(tmp_path, "me/rows", HF_HUB_OFFLINE="1")
    assert "not in the cache, and offline mode is on" in offline["error"]
    assert "Unset HF_HUB_OFFLINE" in offline["error"]
    start = time.monotonic()
    (refused,) = open_all(tmp_path, "me/rows", HF_ENDPOINT="http://127.0.0.1:9")
    assert time.monotonic() - start < 15
    assert "the Hub cannot be reached" in refused["error"]
    assert "no file or folder" in refused["error"]
