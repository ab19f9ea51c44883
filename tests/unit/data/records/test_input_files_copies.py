"""Standard input and addresses with secrets are kept by their content."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from nextfill.config import DataConfig, EvaluationConfig, EvaluationSet, TrainConfig
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.records.files import input_name
from nextfill.data.records.python_data.input_files import copy_to_cache
from nextfill.data.records.python_data.input_settings import data_files, needs_copy, separate_live
from nextfill.data.records.sources import open_source


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch):
    """Put bytes into standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return put


def tables() -> dict[str, bytes]:
    made, parquet, stream, file = (pa.table({"text": ["x"]}), *(io.BytesIO() for _ in range(3)))
    pq.write_table(made, parquet)
    for sink, make in ((stream, ipc.new_stream), (file, ipc.new_file)):
        with make(sink, made.schema) as writer:
            writer.write_table(made)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "x")
    return {
        "parquet": parquet.getvalue(),
        "stream": stream.getvalue(),
        "file": file.getvalue(),
        "zip": packed.getvalue(),
    }


TABLES = tables()


@pytest.mark.parametrize(
    ("content", "suffixes"),
    [
        (b"plain text", ".txt"),
        (b"\xef\xbb\xbfplain", ".txt"),
        (b' \n{"text": "x"}', ".jsonl"),
        (b'["x"]', ".txt"),
        (gzip.compress(b'{"text": "x"}', mtime=0), ".jsonl.gz"),
        (bz2.compress(b"x"), ".txt.bz2"),
        (lzma.compress(b"x"), ".txt.xz"),
        (pa.compress(b"x", codec="zstd", asbytes=True), ".txt.zst"),
        (gzip.compress(TABLES["parquet"], mtime=0), ".parquet.gz"),
        (TABLES["parquet"], ".parquet"),
        (TABLES["stream"], ".arrow"),
        (TABLES["file"], ".arrow"),
        (TABLES["zip"], ".zip"),
    ],
)
def test_the_first_bytes_tell_the_format(pipe, tmp_path, content, suffixes):
    pipe(content)
    path = copy_to_cache("-", tmp_path, None)
    assert path.name[len("standard-input.") + 64 :] == suffixes
    assert path.read_bytes() == content
    assert input_name(path) == "standard input"
    assert len(list(open_source(str(path)).read())) == 1


def test_the_same_content_is_the_same_file(pipe, tmp_path):
    paths = set()
    for content in (b"one", b"one", b"two"):
        pipe(content)
        paths.add(copy_to_cache("-", tmp_path, None))
    pipe(b"one")
    paths.add(copy_to_cache("-", tmp_path, "csv"))
    assert len(paths) == 3
    assert sorted(path.suffix for path in paths) == [".csv", ".txt", ".txt"]
    assert len(list((tmp_path / "inputs").iterdir())) == 3


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_damaged_file_is_refused_and_written_again(pipe, tmp_path, packed):
    content = packed(b"one\n\ntwo\n")
    pipe(content)
    path = copy_to_cache("-", tmp_path, None)
    path.write_bytes(packed(b"ten\n\ntwo\n"))
    with pytest.raises(DataError, match="standard input: the file in the cache is damaged"):
        open_source(str(path))
    pipe(content)
    assert copy_to_cache("-", tmp_path, None) == path
    assert path.read_bytes() == content
    open_source(str(path))


def test_messages_speak_of_standard_input(pipe, monkeypatch):
    pipe(b'{"text": "x"}\n{broken\n')
    with pytest.raises(DataError, match="standard input:2: not JSON"):
        list(open_source("-").read())
    pipe(b"")
    with pytest.raises(DataError, match="standard input is empty"):
        open_source("-")
    pipe(gzip.compress(b"plain")[:-4])
    with pytest.raises(DataError, match="standard input: the gzip data are cut short"):
        open_source("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="there is no standard input here"):
        open_source("-")


def test_what_is_gone_says_so(pipe, tmp_path):
    pipe(b"plain")
    path = copy_to_cache("-", tmp_path, None)
    path.unlink()
    with pytest.raises(DataError, match="the standard input is no longer in the cache"):
        open_source(str(path))


def test_an_address_with_a_secret_is_kept_and_the_secret_is_not(tmp_path):
    address = "memory://box/a.jsonl?sig=hunter2"
    fsspec.filesystem("memory").pipe("/box/a.jsonl?sig=hunter2", b'{"text": "x"}')
    given = [Assignment(("data", "source"), address, "data")]
    assert needs_copy(address)
    config = TrainConfig(cache_dir=str(tmp_path), data=DataConfig(source=address))
    assert separate_live(given) == (given, [])
    files = data_files(config, [], lambda *event: None)
    path = Path(files[-1].value)
    assert path.name.startswith("download.")
    assert path.suffix == ".jsonl"
    assert "hunter2" not in path.name
    with pytest.raises(DataError, match="names one file, and no pattern"):
        copy_to_cache("https://me:pw@x.org/*.txt", tmp_path, None)


def test_standard_input_may_stand_in_any_place_but_in_one_only(pipe, tmp_path):
    config = TrainConfig(
        cache_dir=str(tmp_path),
        evaluation=EvaluationConfig(sets={"other": EvaluationSet(source="-")}),
    )
    pipe(b"plain")
    (found,) = data_files(config, [], lambda *event: None)
    assert found.path == ("evaluation", "other", "source")
    assert Path(found.value).read_bytes() == b"plain"
    twice = TrainConfig(data=DataConfig(source="-", eval_source="-"))
    with pytest.raises(ConfigError, match="--data and --eval-data both name standard input"):
        data_files(twice, [], lambda *event: None)


def test_a_full_disk_leaves_nothing_behind(pipe, tmp_path, monkeypatch):
    pipe(b"plain")
    whole = Path.replace

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"No space left on device. Make room there"):
        copy_to_cache("-", tmp_path, None)
    assert list((tmp_path / "inputs").iterdir()) == []
    monkeypatch.setattr(Path, "replace", whole)
    pipe(b"plain")
    assert copy_to_cache("-", tmp_path, None).read_bytes() == b"plain"


@pytest.mark.parametrize("txt", [None, "line", "file"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_standard_input_is_whole_in_any_encoding_and_unit(pipe, txt, encoding):
    text = "Das Café schloß früh.\r\nNiemand wußte, warum es schloß."
    pipe(text.encode(encoding))
    found = [record.value for record in open_source("-", txt=txt).read()]
    assert "\n".join(found) == text.replace("\r\n", "\n")
