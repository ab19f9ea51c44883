"""The Hub, with a small server of its own protocol in its place, and with no network at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SHA = "a" * 40
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
}
# Opens each of the sources named and prints the texts, or the error.
CHILD = """
import json, sys, time
from nextfill.data.reading.sources import open_source
from nextfill.errors import DataError
for spec, split, *field in json.loads(sys.argv[1]):
    start = time.monotonic()
    try:
        source = open_source(spec, split=split, text_field=field[0] if field else None)
        texts = [[record.value["text"] for record in source.read()] for _ in range(2)]
        found = {"texts": texts[0], "again": texts[1], "fingerprint": source.fingerprint}
    except DataError as error:
        found = {"error": str(error)}
    print(json.dumps(found | {"elapsed_s": time.monotonic() - start}))
"""


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", code=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", SHA)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = urlsplit(self.path).path.removeprefix("/api").removeprefix("/datasets/")
        repo, rest = "/".join(path.split("/")[:2]), path.split("/")[2:]
        if repo == "me/gated":
            self.answer(403, code="GatedRepo")
        elif repo not in REPOS:
            self.answer(404, code="RepoNotFound")
        elif not rest or rest[0] == "revision":
            siblings = [{"rfilename": name} for name in REPOS[repo]]
            info = {"id": repo, "sha": SHA, "siblings": siblings, "tags": [], "private": False}
            self.answer(200, json.dumps(info).encode())
        elif rest[0] == "tree":
            files = REPOS[repo].items() if len(rest) == 2 else ()
            tree = [{"type": "file", "path": n, "size": len(c), "oid": "b" * 40} for n, c in files]
            self.answer(200, json.dumps(tree).encode())
        elif rest[0] == "resolve" and "/".join(rest[2:]) in REPOS[repo]:
            content = REPOS[repo]["/".join(rest[2:])]
            self.answer(200, content, ETag=f'"{hash(content)}"')
        else:
            self.answer(404, code="EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path.removeprefix("/api/datasets/")
        repo = "/".join(path.split("/")[:2])
        self.answer(200, b"[]") if repo in REPOS else self.answer(404)


@pytest.fixture(scope="module")
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


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
    online = open_all(home, *specs, HF_ENDPOINT=hub)
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
    for spec, found in zip(expected, open_all(tmp_path, *expected, HF_ENDPOINT=hub), strict=True):
        assert expected[spec] in found.get("error", ""), (spec, found)


def test_only_the_column_asked_for_is_decoded(hub, tmp_path):
    whole, column, other = open_all(
        tmp_path, "me/odd", "me/odd train text", "me/odd train title", HF_ENDPOINT=hub
    )
    assert column["texts"] == column["again"] == ["a"]
    for refused in (whole, other):
        assert "me/odd: a value in the rows from 0 on cannot be read" in refused["error"]


def test_no_network_is_said_within_seconds(tmp_path):
    (offline,) = open_all(tmp_path, "me/rows", HF_HUB_OFFLINE="1")
    assert "not in the cache, and offline mode is on" in offline["error"]
    assert "Unset HF_HUB_OFFLINE" in offline["error"]
    start = time.monotonic()
    (refused,) = open_all(tmp_path, "me/rows", HF_ENDPOINT="http://127.0.0.1:9")
    assert time.monotonic() - start < 15
    assert "the Hub cannot be reached" in refused["error"]
    assert "name a local file" in refused["error"]
