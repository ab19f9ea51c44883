"""Token stores at Google's storage, by an emulator on this machine; `make gcs` runs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nextfill

pytest.importorskip("gcsfs", reason="gcsfs is not installed: make gcs runs this")
emulator = pytest.importorskip(
    "gcp_storage_emulator.server",
    reason="the emulator is not installed: make gcs runs this",
)

# The emulator closes some of its own sockets only when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch):
    import fsspec
    import gcsfs

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    gcsfs.GCSFileSystem.clear_instance_cache()
    yield fsspec.filesystem("gs", token="anon")  # noqa: S106
    gcsfs.GCSFileSystem.clear_instance_cache()


def files_of(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    kept = {k: p for k, p in found.items() if p.name != "address.json" and "leaks-" not in p.name}
    return {k: p.read_bytes() for k, p in kept.items() if not p.name.startswith("verified-")}


def test_to_and_from_the_bucket_the_store_is_that_of_one_machine(
    bucket, tiny_model, tmp_path, paragraphs
):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in paragraphs(300))
    (tmp_path / "texts.jsonl").write_text(lines, "utf-8")
    job = {"data": tmp_path / "texts.jsonl", "model": tiny_model, "quiet": True}
    alone = nextfill.prepare(cache_dir=tmp_path / "alone", **job)
    made = nextfill.prepare(cache_dir=tmp_path / "one", store="gs://bucket/stores/of/us", **job)
    other = nextfill.prepare(cache_dir=tmp_path / "two", store="gs://bucket/stores/of/us", **job)
    assert (made.reused, other.reused) == (False, True)
    assert files_of(Path(other.store)) == files_of(Path(alone.store))
    bucket.invalidate_cache()
    there = {one: bucket.cat(one) for one in bucket.find("bucket/stores/of/us")}
    names = {name.rpartition("of/us/")[2]: content for name, content in there.items()}
    assert names == files_of(tmp_path / "alone" / "stores")

    bucket.pipe_file("bucket/raw/texts.jsonl", lines.encode())
    far = nextfill.prepare(**{**job, "data": "gs://bucket/raw/"}, cache_dir=tmp_path / "far")
    assert far.ledger["content_sha256"] == alone.ledger["content_sha256"]


@pytest.mark.parametrize("flag", ["--data", "--store"])
def test_a_server_that_says_nothing_is_told_within_a_minute(flag, tiny_model, tmp_path):
    (tmp_path / "a.txt").write_text("An oak.\n\nAn elm.\n\nA yew.\n")
    words = ["prepare", "--tokenizer", tiny_model, "--cache-dir", tmp_path / "cache", "--quiet"]
    words += ["--data", tmp_path / "a.txt", flag, "gs://bucket/place.txt"]
    if flag == "--data":
        words = [word for word in words if word != tmp_path / "a.txt"]
        words.remove("--data")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "nextfill", *map(str, words)],
            check=False,
            env={
                **os.environ,
                "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            },
            capture_output=True,
            text=True,
            timeout=170,
        )
    assert done.returncode == 2, done.stderr
    assert "gs://bucket/place.txt" in done.stderr.splitlines()[-1]
    assert time.monotonic() - began_s < 65
