"""Zip archives: read like folders, and refused where they are not what they seem."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.core.errors import DataError
from nextfill.data.records import files
from nextfill.data.records.sources import open_source


def write(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def values(spec, **options):
    return [record.value for record in open_source(str(spec), **options).read()]


def fail(spec, **options):
    with pytest.raises(DataError) as caught:
        values(spec, **options)
    return str(caught.value)


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
