"""Token stores in S3, by a server on this machine; `make s3` runs it with what that needs."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import Interrupted
from nextfill.data.store.store_cache import open_or_write
from tests.interruption import interrupted

pytest.importorskip("s3fs", reason="s3fs is not installed: make s3 runs this")
pytest.importorskip("moto.server", reason="moto is not installed: make s3 runs this")
pytest.importorskip("flask_cors", reason="flask_cors is not installed: make s3 runs this")

SECRET = "PLANTED-SECRET-KEY-0123456789"  # noqa: S105
KEY = "PLANTEDKEYID"


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    """An empty bucket, with keys in the environment."""
    import fsspec
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": server,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = fsspec.filesystem("s3")
    asked(server, "/moto-api/reset")
    system.mkdir("bucket")
    yield system
    s3fs.S3FileSystem.clear_instance_cache()


def asked(server, path, body=b""):
    request = urllib.request.Request(f"{server}{path}", body, {"Content-Type": "text/plain"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return answer.read()


def files_of(folder, without=("address.json",)):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    ours = {
        name: path.read_bytes()
        for name, path in found.items()
        if path.name not in without and not path.name.startswith(("verified-", "leaks-"))
    }
    return {name: content for name, content in ours.items() if not name.endswith("starts.bin")}


def in_bucket(system, below):
    system.invalidate_cache()
    found = system.find(f"bucket/{below}")
    return {name.removeprefix(f"bucket/{below}/"): system.cat(name) for name in found}


@pytest.fixture
def many_shards(monkeypatch):
    """Shards of 2,000 tokens, so that a small text has a dozen."""
    monkeypatch.setitem(open_or_write.__kwdefaults__, "shard_tokens", 2000)


@pytest.fixture
def job(tiny_model, tmp_path, paragraphs):
    lines = (json.dumps({"text": text}) + "\n" for text in paragraphs(600))
    (tmp_path / "texts.jsonl").write_text("".join(lines), "utf-8")
    return {"data": tmp_path / "texts.jsonl", "model": tiny_model, "quiet": True}


def test_to_and_from_s3_the_store_is_that_of_one_process(bucket, job, tmp_path, many_shards):
    one = nextfill.prepare(cache_dir=tmp_path / "alone", **job)
    expected = files_of(tmp_path / "alone" / "stores")
    bucket.put_file(str(job["data"]), "bucket/raw/texts.jsonl")
    from_s3 = {**job, "data": "s3://bucket/raw/texts.jsonl", "store": "s3://bucket/stores/of/us"}
    made = nextfill.prepare(cache_dir=tmp_path / "first", **from_s3)
    assert not made.reused
    assert made.ledger["content_sha256"] == one.ledger["content_sha256"]
    there = in_bucket(bucket, "stores/of/us")
    # Text at an address has another key, which stands in meta.json and in the folder's name.
    key = Path(made.store).name
    assert {name.partition("/")[0] for name in there} == {key}
    shards = {name.partition("/")[2]: content for name, content in there.items()}
    alone = {name.partition("/")[2]: content for name, content in expected.items()}
    metas = [json.loads(one.pop("meta.json")) for one in (shards, alone)]
    assert shards == alone
    assert len(shards) > 20
    for meta in metas:
        meta.pop("key"), meta.pop("checksum"), meta.pop("name")
    assert metas[0] == metas[1]

    to_s3 = nextfill.prepare(cache_dir=tmp_path / "second", store="s3://bucket/own", **job)
    assert in_bucket(bucket, "own") == expected
    other = nextfill.prepare(cache_dir=tmp_path / "third", store="s3://bucket/own", **job)
    assert (to_s3.reused, other.reused) == (False, True)
    assert files_of(Path(other.store)) == files_of(Path(one.store))


def test_workers_of_ray_read_from_s3_and_the_store_goes_there(
    bucket, job, tmp_path, paragraphs, monkeypatch
):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'nextfill[ray]'")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes a token there
    lines = [json.dumps({"text": text}) + "\n" for text in paragraphs(600)]
    for number in range(6):
        part = "".join(lines[number::6]).encode()
        bucket.pipe_file(f"bucket/raw/{number}.jsonl", part)
    job |= {"data": "s3://bucket/raw/*.jsonl"}
    one = nextfill.prepare(cache_dir=tmp_path / "alone", **job)
    many = nextfill.prepare(
        **{"cache_dir": tmp_path / "many", "store": "s3://bucket/stores", **job},
        engine="ray",
        workers=2,
    )
    assert not many.reused
    assert files_of(Path(many.store)) == files_of(Path(one.store))
    assert in_bucket(bucket, "stores") == files_of(tmp_path / "alone" / "stores")


def test_training_from_s3_is_that_of_one_machine(bucket, job, tmp_path, many_shards):
    settings = {"max_steps": 14, "batch_size": 8, "block_size": 64, "device": "cpu"}
    job |= settings
    whole = nextfill.train(out=tmp_path / "whole", cache_dir=tmp_path / "alone", **job)
    nextfill.prepare(
        cache_dir=tmp_path / "maker",
        store="s3://bucket/stores",
        **{name: job[name] for name in ("data", "model", "quiet", "block_size")},
    )
    before = in_bucket(bucket, "stores")
    far = nextfill.train(
        **{"out": tmp_path / "far", "cache_dir": tmp_path / "reader", **job},
        store="s3://bucket/stores",
    )
    assert in_bucket(bucket, "stores") == before
    assert (far.before, far.after) == (whole.before, whole.after)
    weights = [(tmp_path / run / "model" / "model.safetensors") for run in ("whole", "far")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    for path in (tmp_path / "far").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    assert "s3://bucket" not in (tmp_path / "far" / "model" / "README.md").read_text()


def test_a_stream_from_s3_is_that_of_a_file_here(bucket, job, tmp_path):
    job |= {"max_steps": 14, "batch_size": 8, "block_size": 64, "device": "cpu", "save_every": 3}
    job |= {"streaming": True, "portion_size": 0.01}
    nextfill.train(out=tmp_path / "near", cache_dir=tmp_path / "one", **job)
    bucket.put_file(str(job["data"]), "bucket/raw/texts.jsonl")
    far = {**job, "data": "s3://bucket/raw/", "out": tmp_path / "far", "cache_limit": "1MB"}
    with interrupted(after=8), pytest.raises(Interrupted):
        nextfill.train(cache_dir=tmp_path / "two", **far)
    nextfill.train(out=tmp_path / "far", resume=True, cache_dir=tmp_path / "two")
    weights = [tmp_path / run / "model" / "model.safetensors" for run in ("near", "far")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def command(*words, **environment):
    """Run a command in a process of its own; return its status, what it said, and its seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "nextfill", *map(str, words)],
        check=False,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr, time.monotonic() - began


def test_a_bucket_without_rights(bucket, server, job, tmp_path):
    words = ["prepare", "--data", job["data"], "--tokenizer", job["model"], "--quiet"]
    words += ["--cache-dir", tmp_path / "cache", "--store", "s3://bucket/stores"]
    asked(server, "/moto-api/reset-auth", b"0")  # from now on it asks whose keys they are
    try:
        status, said, seconds = command(*words)
    finally:
        asked(server, "/moto-api/reset-auth", b"inf")
    assert status == 2, said
    assert seconds < 60
    assert "nextfill: --store 's3://bucket/stores' may not be read: " in said
    assert "Ask its owner for the right" in said
    assert said.count("\n") == 1
    assert SECRET not in said
    assert KEY not in said


@pytest.mark.parametrize("kind", ["no bucket", "nothing listens", "nothing answers", "no keys"])
def test_an_address_that_cannot_be_used(bucket, job, tmp_path, kind, capsys):
    words = ["prepare", "--data", job["data"], "--tokenizer", job["model"], "--quiet"]
    place, environment = "s3://bucket/stores", {}
    if kind == "no bucket":
        place = "s3://another/stores"
    elif kind == "nothing listens":
        environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    elif kind == "nothing answers":
        silent = socket.create_server(("127.0.0.1", 0))
        environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:{}".format(*silent.getsockname()[1:])}
    else:
        environment = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    status, said, seconds = command(
        *words, "--cache-dir", tmp_path / "cache", "--store", place, **environment
    )
    if kind == "nothing answers":
        silent.close()
    assert status == 2, said
    assert f"nextfill: --store '{place}' cannot be " in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert SECRET not in said
    assert seconds < 60
    with capsys.disabled():
        print(f"{kind}: {seconds:.0f} s: {said}")


def test_keys_in_the_address_are_refused(bucket, job, tmp_path, capsys):
    words = [
        "prepare",
        "--data",
        str(job["data"]),
        "--quiet",
        "--store",
        f"s3://{KEY}:{SECRET}@b/x",
    ]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "secrets belong in the environment" in said
    assert SECRET not in said
    assert KEY not in said
