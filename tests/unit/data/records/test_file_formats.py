"""What lies in a file's place is never taken for text: pointers, pages, programs' leftovers."""

from __future__ import annotations

import gzip
import logging
import re
import zipfile
from pathlib import Path

import fsspec
import pytest

from nextfill.config import Format, TrainConfig
from nextfill.config.options import settings
from nextfill.core.errors import DataError
from nextfill.data.records.formats.file_formats import SUFFIXES
from nextfill.data.records.sources import open_source

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 48120\n"
ANNEX = b"/annex/objects/SHA256E-s48120--4d7a.txt\n"
PAGE = b"\r\n<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n"
FORMATS = ("txt", "md", "jsonl", "json", "csv", "tsv", "parquet", "arrow")


def values(spec: object, asked: Format | None = None) -> list[object]:
    return [record.value for record in open_source(str(spec), format=asked).read()]


def fail(spec: object, asked: Format | None = None) -> str:
    with pytest.raises(DataError) as caught:
        values(spec, asked)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", [*(f"x.{known}" for known in FORMATS), "x.zip", "x.txt.gz", "x.csv.zst"]
)
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (LFS, "found a pointer of Git LFS in the place of the file"),
        (ANNEX, "found a pointer of git-annex in the place of the file"),
        (PAGE, "found a web page (HTML) in the place of the file"),
        (b'<?xml version="1.0"?><html>', "found a web page (HTML) in the place of the file"),
    ],
)
def test_a_file_that_is_named(name: str, content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = fail(path)
    assert f"{path}: {found}" in message
    assert "Type --" not in message
    if content == LFS:
        assert "git lfs pull" in message
        assert "git lfs pull" in fail(path, "jsonl")
    with fsspec.open(f"memory://placed/{name}", "wb") as file:
        file.write(content)
    assert found in fail(f"memory://placed/{name}")


def test_a_folder_and_an_archive_leave_them_out_and_count_them(tmp_path, caplog):
    folder = tmp_path / "notes"
    folder.mkdir()
    files = {
        **{f"{n}.txt": LFS for n in range(3)},
        "a.parquet": LFS,
        "b.json.gz": LFS,
        "c.txt": ANNEX,
        "d.md": PAGE,
        "e.jsonl": PAGE,
        "f.txt": b"{\\rtf1\\ansi Some text}",
        "g.csv": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an .xls",
        "h.txt": b"PK\x03\x04 a .docx",
        "i.txt": b"%PDF-1.7",
        "j.txt": gzip.compress(b"text", mtime=0),
        "~$k.txt": b"\x05Me\0\0\0",
        "l.txt~": b"old",
        "m.txt.part": b"half",
        "n.txt.crdownload": b"half",
        "desktop.ini": b"[.ShellClassInfo]",
        "Thumbs.db": b"\xd0\xcf",
        ".p.txt.icloud": b"bplist00",
        "._q.txt": b"\0\5\x16\7",
        ".DS_Store": b"\0\0\0\1Bud1",
        ".r.txt.swp": b"b0VIM 9.0",
        "text.txt": b"the text",
        "zero.txt": b"",
    }
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        for name, content in files.items():
            (folder / name).write_bytes(content)
            archive.writestr(name, content)
    left_out = {
        "pointer of Git LFS (git lfs pull)": 5,
        "pointer of git-annex (git annex get)": 1,
        "web page (HTML)": 2,
        "RTF document": 1,
        "document of an old Office": 1,
        "zip archive or Office document": 1,
        "PDF document": 1,
        "gzip file": 1,
        "lock file of Office": 1,
        "not downloaded from iCloud": 1,
        "no text format (.txt~)": 1,
        "no text format (.part)": 1,
        "no text format (.crdownload)": 1,
        "no text format (.ini)": 1,
        "no text format (.db)": 1,
        "hidden": 3,
        "empty": 1,
    }
    for spec in (folder, f"{folder}/*", tmp_path / "notes.zip"):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "nextfill"):
            source = open_source(str(spec))
        assert [record.value for record in source.read()] == ["the text"]
        assert source.left_out == left_out
        assert "5 pointer of Git LFS (git lfs pull)" in caplog.text
        assert "1 not downloaded from iCloud" in caplog.text
    (folder / "text.txt").unlink()
    assert "5 pointer of Git LFS (git lfs pull)" in fail(folder)


def test_links_to_what_is_elsewhere(tmp_path):
    (tmp_path / "a.txt").symlink_to(".git/annex/objects/x1/SHA256E-s4--4d7a.txt")
    (tmp_path / "b.txt").symlink_to("nowhere.txt")
    (tmp_path / ".c.txt.icloud").write_bytes(b"bplist00")
    assert "git annex get" in fail(tmp_path / "a.txt")
    assert "b.txt' is a link to nowhere.txt, where nothing is" in fail(tmp_path / "b.txt")
    assert "not downloaded from iCloud" in fail(tmp_path / "c.txt")
    (tmp_path / "d.txt").write_text("text")
    left_out = open_source(str(tmp_path)).left_out
    assert left_out["pointer of git-annex (git annex get)"] == 1
    assert left_out["broken link"] == 1


def test_text_that_only_looks_so_is_text(tmp_path):
    path = tmp_path / "x.txt"
    for content in (
        b"The version https://git-lfs.github.com/spec/v1 is the first.",
        b"<p>A paragraph of <html> in Markdown.",
        b"The <!DOCTYPE html> line.",
    ):
        path.write_bytes(content)
        assert values(path) == [content.decode()]
    for content in (PAGE, b"{\\rtf1 is how RTF begins"):
        path.write_bytes(content)
        assert "--format txt" in fail(path) or "RTF" in fail(path)
        assert len(values(path, "txt")) == 1


def test_the_help_of_data_names_every_format():
    (source,) = [one for one in settings(TrainConfig) if one.flag == "--data"]
    assert {f".{one}" for one in SUFFIXES.values()} <= set(re.findall(r"\.\w+", source.help))
