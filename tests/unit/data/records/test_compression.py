"""Compressed files and zip archives: damage is an error, and nothing hostile is followed."""

from __future__ import annotations

import io
import lzma
import random
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.core.errors import DataError
from nextfill.data.records import files
from nextfill.data.records.files import File, local_file
from nextfill.data.records.formats.compression import open_file, reading, seekable
from nextfill.data.records.formats.file_formats import format_by_name
from nextfill.data.records.formats.text_lines import text_lines, whole_text
from nextfill.data.records.sources import open_source
from tests.unit.data.records.readings import PACK, PACKED, values
from tests.unit.data.records.readings import source_error as fail

CONTENT = b"\xef\xbb\xbfone\r\ntwo\x0c\xe2\x80\xa8\nthree"


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


def write(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_members_are_read_like_files(tmp_path, how):
    members = {"b.txt": b"b", "a/c.md": b"c", "p.png": b"x", "d/": b"", ".h": b"x", "e.txt": b""}
    source = open_source(str(write(tmp_path / "x.zip", members, how)))
    records = list(source.read())
    assert [record.value for record in records] == ["c", "b"]
    assert [record.where for record in records] == [
        f"{tmp_path}/x.zip/a/c.md",
        f"{tmp_path}/x.zip/b.txt",
    ]
    assert source.left_out == {"hidden": 1, "no text format (.png)": 1, "empty": 1}
    assert [record.value for record in source.read()] == ["c", "b"]


def test_a_table_within(tmp_path):
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [f"t{n}" for n in range(1000)]}), sink)
    path = write(tmp_path / "x.zip", {"t.parquet": sink.getvalue(), "u.jsonl": b'{"text": "u"}'})
    read = [value["text"] for value in values(path, split="train[990:]")]
    assert read == [*(f"t{n}" for n in range(990, 1000)), "u"]
    assert len(values(path, split="train[50%:]")) == 501


@pytest.mark.parametrize("name", ["../x.txt", "/x.txt", "a/../../x.txt", "C:x.txt", "..\\x.txt"])
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    path = write(tmp_path / "x.zip", {"good.txt": b"x", name: b"x"})
    assert "leads out of the archive" in fail(path)


def test_an_encrypted_member_is_refused(tmp_path):
    path = write(tmp_path / "x.zip", {"a.txt": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "'a.txt' is encrypted. Unpack the archive" in fail(path)


def test_the_later_of_two_members_of_a_name_counts(tmp_path):
    path = tmp_path / "x.zip"
    write(path, {"a.txt": b"old"})
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("a.txt", "new")
    source = open_source(str(path))
    assert [record.value for record in source.read()] == ["new"]
    assert source.left_out == {"replaced by a later member": 1}


def test_damaged_archives(tmp_path):
    path = write(tmp_path / "x.zip", {f"{n}.txt": b"some text " * 50 for n in range(20)})
    whole = path.read_bytes()
    for content in (whole[:-30], whole[:40], b"PK", b"no archive", whole[:60] + whole[64:]):
        path.write_bytes(content)
        assert "x.zip" in (message := fail(path))
        assert "damaged" in message
    path.write_bytes(whole.replace(b"some", b"Some", 1))
    write(path, {"a.txt": b"some text"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"some text", b"Some text"))
    assert "x.zip/a.txt: the archive is damaged" in fail(path)


def test_other_archives_say_what_to_do(tmp_path):
    for name in ("x.tar", "x.tar.gz", "x.tgz", "x.7z"):
        (tmp_path / name).write_bytes(b"x")
        assert "unpack it and name the folder" in fail(tmp_path / name)


def test_a_bomb_fills_no_memory(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(files, "MOST_UNPACKED_BYTES", 1 << 20)
    size = 40 << 20
    path = write(tmp_path / "x.zip", {"a.txt": bytes(size).replace(b"\0", b"a")})
    assert path.stat().st_size < size / 500
    tracemalloc.start()
    assert "x.zip/a.txt: found a file of 1 MiB or more" in fail(path)
    assert "x.zip/a.txt:1: found a line" in fail(path, txt="line")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_an_archive_that_changes_while_it_is_read_is_refused(tmp_path):
    path = write(tmp_path / "x.zip", {"a.txt": b"a", "b.txt": b"b"})
    records = open_source(str(path)).read()
    next(records)
    write(tmp_path / "y.zip", {"a.txt": b"a", "b.txt": b"c"}).rename(path)
    with pytest.raises(DataError, match="changed while it was read"):
        list(records)
