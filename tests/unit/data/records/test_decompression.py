from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from nextfill.core.errors import DataError
from nextfill.data.records import files
from nextfill.data.records.compression import open_file, reading, seekable
from nextfill.data.records.file_formats import format_by_name
from nextfill.data.records.files import File, local_file
from nextfill.data.records.text_and_csv import text_lines, whole_text

CONTENT = b"\xef\xbb\xbfone\r\ntwo\x0c\xe2\x80\xa8\nthree"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}
PACKED = [".gz", ".bz2", ".xz", ".zst"]


def file_at(path: Path) -> File:
    known, compression = format_by_name(path.name)
    return local_file(path, path.name, str(known), compression)


@pytest.fixture(params=["x.txt", "x.txt.gz", "x.TXT.GZ", "x.txt.bz2", "x.txt.xz", "x.txt.zst"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> File:
    path = tmp_path / request.param
    file = file_at(path)
    path.write_bytes(PACK[file.compression](CONTENT))
    return file


def test_compression_is_undone(file: File) -> None:
    with open_file(file) as stream:
        assert stream.read() == CONTENT
    with seekable(file) as stream:
        stream.seek(-5, 2)
        assert stream.read() == b"three"


def test_lines_end_at_newlines_only(file: File) -> None:
    assert list(text_lines(file)) == [(1, "one\r\n"), (2, "two\x0c\u2028\n"), (3, "three")]
    assert whole_text(file) == "one\r\ntwo\x0c\u2028\nthree"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.txt: cannot be read: No such file"):
        list(text_lines(file_at(tmp_path / "none.txt")))
    with (
        pytest.raises(DataError, match="the name: the gzip data are cut short"),
        reading("the name", ".gz"),
    ):
        raise EOFError


@pytest.mark.parametrize("suffix", PACKED)
def test_streams_one_after_another_are_one_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.txt{suffix}"
    path.write_bytes(PACK[suffix](b"one\n") + PACK[suffix](b"") + PACK[suffix](b"two\n" * 100_000))
    assert whole_text(file_at(path)) == "one\n" + "two\n" * 100_000


def test_xz_may_be_padded(tmp_path: Path) -> None:
    path = tmp_path / "x.txt.xz"
    path.write_bytes(lzma.compress(b"one\n") + bytes(8) + lzma.compress(b"two\n") + bytes(4))
    assert whole_text(file_at(path)) == "one\ntwo\n"


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize(
    "text", [b"a line\n" * 20_000, random.Random(0).randbytes(40_000).hex().encode()]
)
def test_damage_is_told_and_no_text_is_lost_without_a_word(
    suffix: str, text: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"x.txt{suffix}"
    whole = PACK[suffix](text)
    middle = len(whole) // 2
    damaged = [
        whole[:-1],
        whole[:middle],
        whole[:5],
        whole + b"no more of it",
        whole + PACK[suffix](text)[:-3],
        b"plain text",
    ]
    if suffix != ".zst":  # which need not hold a checksum, and here holds none
        damaged.append(whole[: middle - 4] + bytes(8) + whole[middle + 4 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            whole_text(file_at(path))
        message = str(caught.value)
        assert message.startswith(f"{path.name}: "), content[:40]
        assert "damaged" in message
    path.write_bytes(whole)
    assert whole_text(file_at(path)).encode() == text


def test_what_is_no_text_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for content, line, found in [
        (b"one\n\xff\n", 2, "not UTF-8 (byte 0xff)"),
        (b"one\ntwo\0\n", 2, "a NUL character"),
        ("one".encode("utf-16"), 1, "UTF-16"),
    ]:
        path.write_bytes(content)
        for read in (whole_text, lambda file: list(text_lines(file))):
            with pytest.raises(DataError, match=f"x.txt:{line}: ") as caught:
                read(file_at(path))
            assert found in str(caught.value)


def test_nothing_is_held_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    path = tmp_path / "x.txt"
    path.write_bytes(b"short\n" + b"x" * 1000)
    with pytest.raises(DataError, match=r"x.txt:2: found a line of"):
        list(text_lines(file_at(path)))
    with pytest.raises(DataError, match=r"x.txt: found a file of .* Give --txt paragraph"):
        whole_text(file_at(path))
    path.write_bytes(b"x" * 999)
    assert len(whole_text(file_at(path))) == 999
