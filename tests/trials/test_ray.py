"""Preparation by Ray's workers: the bytes of one process, whoever is lost on the way."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'nextfill[ray]'")

pytestmark = [
    pytest.mark.trial,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the workers by /proc"),
]

FILES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of twelve files, 17 MB, no text of which is another's."""
    folder = tmp_path_factory.mktemp("ray") / "data"
    folder.mkdir()
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(30_000)]
    for number in range(FILES):
        lines = (json.dumps({"text": " ".join(draw.choices(words, k=150))}) for _ in range(1500))
        (folder / f"{number:02}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes a token there
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stores of one process."""
    cache = tmp_path_factory.mktemp("alone")
    process = start(folder, cache, [])
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return cache / "stores"


def start(data: Path, cache: Path, words: Sequence[str], **options: object) -> subprocess.Popen:
    """Begin a preparation."""
    command = [sys.executable, "-m", "nextfill", "prepare", "--data", str(data), "--quiet"]
    return subprocess.Popen(
        [*command, "--cache-dir", str(cache), "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def files_of(stores: Path) -> list[Path]:
    """Return the files of stores, but for what is written once one is looked at again."""
    found = (path for path in stores.rglob("*") if path.is_file())
    return sorted(path.relative_to(stores) for path in found if "verified-" not in path.name)


def assert_same(one: Path, other: Path) -> None:
    files = files_of(one)
    assert files == files_of(other)
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def workers() -> Iterator[int]:
    """Yield the processes of Ray that are at a part."""
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                title = (one / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::_encoded_part"):
                yield int(one.name)


def one_at_work(process: subprocess.Popen, without: set[int]) -> int:
    """Wait for a worker that is at a part, and was not before."""
    while process.poll() is None:
        if found := [one for one in workers() if one not in without]:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"ended before a worker was killed: {process.communicate()}")


def test_two_workers_write_the_bytes_of_one_process(folder, alone, tmp_path):
    process = start(folder, tmp_path, ["--engine", "ray", "--workers", "2"])
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same(alone, tmp_path / "stores")
    assert not [*workers()]


def test_a_worker_that_is_killed_twice_costs_its_part_alone(folder, alone, tmp_path):
    process = start(folder, tmp_path, ["--engine", "ray", "--workers", "2"])
    killed: set[int] = set()
    for _ in range(2):
        one = one_at_work(process, killed)
        killed.add(one)
        os.kill(one, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same(alone, tmp_path / "stores")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_and_leaves_nothing(number, status, folder, tmp_path):
    process = start(folder, tmp_path, ["--engine", "ray", "--workers", "2"])
    one_at_work(process, set())
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert not [*(tmp_path / "stores").iterdir()]
    until = time.monotonic() + 20
    while [*workers()] and time.monotonic() < until:
        time.sleep(0.1)
    assert not [*workers()]


def test_a_cluster_by_its_address(folder, alone, tmp_path, free_tcp_port):
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    head = ["start", "--head", "--port", str(free_tcp_port), "--num-cpus", "2", "--block"]
    address = f"127.0.0.1:{head[3]}"
    options = ["--include-dashboard", "false", "--node-ip-address", "127.0.0.1"]
    with subprocess.Popen([*ray, *head, *options], stdout=subprocess.DEVNULL) as cluster:
        try:
            words = ["--engine", "ray", "--ray-address", address]
            until = time.monotonic() + 60
            while True:
                process = start(folder, tmp_path, words)
                _, errors = process.communicate()
                if process.returncode == 0 or time.monotonic() > until:
                    break
            assert process.returncode == 0, errors
        finally:
            cluster.terminate()
            cluster.wait(30)
    assert_same(alone, tmp_path / "stores")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ray-address", "127.0.0.1:9"], "no cluster answers at 127.0.0.1:9"),
        (["--ray-address", "auto"], "no cluster answers at auto"),
        (["--ray-address", "ray://there:10001"], "expected HOST:PORT"),
        (["--ray-address", "there:70000"], "no cluster answers at there:70000"),
        (["--ray-address", "127.0.0.1:9", "--workers", "2"], "--workers is for Ray on this"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told(words, told, folder, tmp_path):
    began_s = time.monotonic()
    process = start(folder, tmp_path, ["--engine", "ray", *words])
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert told in errors
    assert "Traceback" not in errors
    assert time.monotonic() - began_s < 60


def test_a_cluster_that_has_ended_is_told_as_soon(folder, tmp_path):
    began_s = time.monotonic()
    environment = {**os.environ, "RAY_ADDRESS": "127.0.0.1:9"}
    process = start(folder, tmp_path, ["--engine", "ray", "--ray-address", "auto"], env=environment)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert re.search(r"no cluster answers at auto \(the last one was at [\d.]+:9: ", errors)
    assert time.monotonic() - began_s < 30


def test_files_that_workers_cannot_read_are_named_as_by_one_process(folder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for file in folder.iterdir():
        (data / file.name).symlink_to(file)
    (data / "07.jsonl").unlink()
    (data / "07.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (data / "09.jsonl").unlink()
    (data / "09.jsonl").write_text("true\n")
    said = []
    for words in ([], ["--engine", "ray", "--workers", "2"]):
        process = start(data, tmp_path, words)
        _, errors = process.communicate()
        assert process.returncode == 2, errors
        said.append(errors)
    assert said[0] == said[1]
    assert "2 files cannot be read" in said[0]
    assert "07.jsonl:2" in said[0]


def test_a_part_that_loses_every_worker_ends_the_command(folder, tmp_path):
    process = start(folder, tmp_path, ["--engine", "ray", "--workers", "1"])
    while process.poll() is None:  # until Ray gives the part up
        for one in workers():
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        time.sleep(0.02)
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "00.jsonl" in errors
    assert "10 workers in turn were lost" in errors
    assert not [*(tmp_path / "stores").iterdir()]


def test_an_archive_is_read_by_this_process(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "texts"), "zip", folder)
    for cache, words in (("alone", []), ("ray", ["--engine", "ray", "--workers", "1"])):
        process = start(Path(archive), tmp_path / cache, words)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert "read by this process" in errors
    assert_same(tmp_path / "alone" / "stores", tmp_path / "ray" / "stores")


@pytest.mark.parametrize("kind", ["jsonl", "txt", "parquet"])
def test_one_large_file_is_divided(kind, folder, tmp_path):
    lines = [line for one in sorted(folder.iterdir()) for line in one.read_text().splitlines()]
    texts = [f"{turn} {json.loads(line)['text']}" for turn in range(4) for line in lines]
    file = tmp_path / f"large.{kind}"
    if kind == "parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        pa = pytest.importorskip("pyarrow")
        pq.write_table(pa.table({"text": texts}), file, row_group_size=5000)
    elif kind == "jsonl":
        file.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    else:
        file.write_text("".join(f"{one}\n\n" for one in texts))
    said = []
    for cache, words in (("alone", []), ("ray", ["--engine", "ray", "--workers", "2"])):
        process = start(file, tmp_path / cache, words)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        said.append(errors)
    assert_same(tmp_path / "alone" / "stores", tmp_path / "ray" / "stores")
    assert "one worker reads it" not in said[1]
    if kind == "jsonl":
        with file.open("a") as end:
            end.write("true\n")
        said = []
        for words in ([], ["--engine", "ray", "--workers", "2"]):
            process = start(file, tmp_path / "cache", words)
            said.append(process.communicate()[1])
        assert said[0] == said[1]
        assert f"large.jsonl:{len(texts) + 1}: found true or false" in said[0]


def test_names_may_be_relative(folder, alone, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for cache, words in (("alone", []), ("ray", ["--engine", "ray", "--workers", "2"])):
        process = start(Path(folder.name), tmp_path / cache, words)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert_same(tmp_path / "alone" / "stores", tmp_path / "ray" / "stores")
