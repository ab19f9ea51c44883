"""Stores at an address, caches with a limit: the run is that of a machine with room for all."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import fsspec
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, DataError, Interrupted
from nextfill.data.store.store_cache import open_or_write
from tests import processes
from tests.interruption import interrupted

pytestmark = pytest.mark.usefixtures("no_call_is_left")


@pytest.fixture
def many_shards(monkeypatch):
    """Shards of 500 tokens, so that a small text has more of them than are shuffled together."""
    monkeypatch.setitem(open_or_write.__kwdefaults__, "shard_tokens", 500)


@pytest.fixture
def job(tiny_model, tmp_path, paragraphs):
    lines = (json.dumps({"text": text}) + "\n" for text in paragraphs(500))
    (tmp_path / "texts.jsonl").write_text("".join(lines), "utf-8")
    return {
        **{"data": tmp_path / "texts.jsonl", "model": tiny_model, "quiet": True},
        **{"batch_size": 8, "block_size": 64, "device": "cpu", "precision": "fp32"},
        **{"max_steps": 40, "eval_every": 20, "save_every": 5},
    }


def weights(run):
    return (run / "model" / "model.safetensors").read_bytes()


def store_of(cache):
    [folder] = (cache / "stores").iterdir()
    return folder


def test_training_through_a_cache_smaller_than_the_store(job, tmp_path, many_shards):
    whole = nextfill.train(out=tmp_path / "whole", cache_dir=tmp_path / "alone", **job)
    files = [path for path in store_of(tmp_path / "alone").rglob("*") if path.is_file()]
    tokens = [path.stat().st_size for path in files if path.name == "tokens.bin"]
    assert len(tokens) > 24
    rest = sum(path.stat().st_size for path in files) - sum(tokens)
    tokenizers = sum(p.stat().st_size for p in (tmp_path / "alone" / "tokenizers").rglob("*.*"))
    limit = rest + tokenizers + 12 * max(tokens) + 2000

    settings = {key: job[key] for key in ("data", "model", "quiet", "block_size")}
    store = tmp_path / "shared"
    nextfill.prepare(cache_dir=tmp_path / "maker", store=store, **settings)
    there = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    far = {**job, "cache_dir": tmp_path / "reader", "store": store, "cache_limit": str(limit)}
    with interrupted(after=23), pytest.raises(Interrupted):
        nextfill.train(out=tmp_path / "far", **far)
    result = nextfill.train(out=tmp_path / "far", resume=True, cache_limit=str(limit + 3000))
    assert (result.before, result.after) == (whole.before, whole.after)
    assert weights(tmp_path / "far") == weights(tmp_path / "whole")
    scored = [
        nextfill.evaluate(tmp_path / "far", device="cpu", quiet=True, **one).to_json()
        for one in (
            {"cache_dir": tmp_path / "scorer", "store": store, "cache_limit": str(limit)},
            {"cache_dir": tmp_path / "alone"},
        )
    ]
    assert scored[0] == scored[1]
    assert (store_of(tmp_path / "scorer") / "address.json").is_file()
    here = [*store_of(tmp_path / "reader").rglob("tokens.bin")]
    assert 0 < len(here) <= 14
    assert {p: p.read_bytes() for p in store.rglob("*") if p.is_file()} == there
    assert str(store) not in (tmp_path / "far" / "model" / "README.md").read_text("utf-8")

    too_little = {**far, "out": tmp_path / "little", "cache_limit": str(limit - 6 * max(tokens))}
    with pytest.raises(DataError, match=r"the 8 shards that are shuffled together .*MB"):
        nextfill.train(**too_little)


def test_what_other_runs_were_trained_on_comes_from_the_store_too(job, tmp_path, monkeypatch):
    store = tmp_path / "shared"
    settings = {**job, "max_steps": 2, "save_every": None, "eval_every": None, "store": store}
    nextfill.train(out=tmp_path / "run", cache_dir=tmp_path / "first", **settings)
    [there] = store.iterdir()
    other = {"data": tmp_path / "other.jsonl", "cache_dir": tmp_path / "second", "store": store}
    other["data"].write_text('{"text": "An oak."}\n' * 3 + '{"text": "An elm."}\n', "utf-8")
    scored = {"device": "cpu", "quiet": True, "split": "train"}
    nextfill.evaluate(tmp_path / "run", **scored, **other)
    copy = tmp_path / "second" / "stores" / there.name
    assert (copy / "address.json").is_file()

    other |= {"cache_dir": tmp_path / "third", "model": tmp_path / "run"}
    nextfill.train(out=tmp_path / "next", **{**settings, **other})
    assert (tmp_path / "third" / "stores" / there.name / "address.json").is_file()


def test_text_at_an_address_is_prepared(job, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/texts/a.jsonl", job["data"].read_bytes())
    settings = {key: job[key] for key in ("model", "quiet", "block_size")}
    try:
        far = nextfill.prepare(data="memory://texts/a.jsonl", **settings)
        with pytest.raises(ConfigError, match="streaming=True is for training"):
            nextfill.prepare(data="memory://texts/a.jsonl", streaming=True, **settings)
    finally:
        memory.rm("/texts", recursive=True)
    near = nextfill.prepare(data=job["data"], **settings)
    assert far.ledger["content_sha256"] == near.ledger["content_sha256"]


def test_a_package_that_is_missing_is_named(job, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    words = ["prepare", "--data", str(job["data"]), "--model", str(job["model"]), "--quiet"]
    assert main([*words, "--store", "s3://bucket/stores"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "nextfill: --store 's3://bucket/stores': s3:// needs a package that is not here. Type: "
        "pip install 'nextfill[s3]'\n"
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cache_limit": "much"}, "cache_limit: found 'much'; expected a size such as 500MB"),
        ({"store": "s3://a/b::s3://c"}, "expected one address"),
        ({"store": "s3://KEY:PLANTED@b/x"}, "secrets belong in the environment"),
        ({"store": "s3://b/x", "streaming": True, "max_steps": 3}, "leave one of them out"),
    ],
)
def test_settings_that_cannot_be_used(job, settings, expected):
    with pytest.raises(ConfigError, match=expected) as raised:
        nextfill.train(**{**job, **settings})
    assert "PLANTED" not in str(raised.value)


def test_what_a_stream_removes_is_told_once_and_then_counted(job, tmp_path, caplog):
    stream = {**job, "streaming": True, "portion_size": 0.004}
    notes = []

    class Notes(nextfill.Observer):
        def on_note(self, text):
            notes.append(text)

    nextfill.train(out=tmp_path / "whole", cache_dir=tmp_path / "all", **stream)
    stores = [*(tmp_path / "all" / "stores").iterdir()]
    each = max(sum(p.stat().st_size for p in one.rglob("*") if p.is_file()) for one in stores)
    others = sum(p.stat().st_size for p in (tmp_path / "all" / "tokenizers").rglob("*.*"))
    limit = others + 6 * each
    assert len(stores) > 9
    caplog.clear()
    nextfill.train(
        **{"out": tmp_path / "run", "cache_dir": tmp_path / "few", **stream},
        cache_limit=str(limit),
        observer=Notes(),
    )
    removed = [one.message for one in caplog.records if "removed" in one.message]
    assert len(removed) == 1
    assert "told at the end" in removed[0]
    [counted] = [one for one in notes if "removed" in one]
    assert counted.startswith("to keep the cache within its limit, ")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert len([*(tmp_path / "few" / "stores").iterdir()]) <= 6
    assert processes.contents(tmp_path / "run") != {}
    assert Path(tmp_path / "few").is_dir()


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("cache/stores", "lies in the cache itself"),
        ("cache/stores/ours", "lies in the cache itself"),
        ("link", "lies in the cache itself"),
        ("memory://stores", "ends with this process"),
    ],
)
def test_a_place_that_would_lose_stores_is_refused(store, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache" / "stores").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "cache" / "stores")
    assert main(["prepare", "--cache-dir", "cache", "--store", store]) == 2
    assert told in capsys.readouterr().err
    assert not [*(tmp_path / "cache" / "stores").iterdir()]


def test_a_store_that_was_removed_at_its_address_is_made_again(
    job, tmp_path, many_shards, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = {key: job[key] for key in ("data", "model", "quiet", "block_size")}
    settings |= {"cache_dir": tmp_path / "cache", "store": "shared"}
    nextfill.prepare(**settings)
    [there], here = (tmp_path / "shared").iterdir(), store_of(tmp_path / "cache")
    recorded = json.loads((here / "address.json").read_text("utf-8"))
    assert recorded == {"address": str(tmp_path / "shared")}  # from whatever folder it is read
    before = {p.relative_to(there): p.read_bytes() for p in there.rglob("*") if p.is_file()}
    (here / "shard-00003" / "tokens.bin").unlink()  # as where the cache had no room
    shutil.rmtree(there)
    assert not nextfill.prepare(**settings).reused
    after = {p.relative_to(there): p.read_bytes() for p in there.rglob("*") if p.is_file()}
    assert after == before
    shutil.rmtree(there)  # and with all tokens here it is put there again
    assert nextfill.prepare(**settings).reused
    assert {p.relative_to(there): p.read_bytes() for p in there.rglob("*") if p.is_file()} == before
