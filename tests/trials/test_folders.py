"""Folders as people have them: trained on, or refused with what to do; no file is lost silently."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from nextfill.cli.main import main

pytestmark = pytest.mark.trial

SMALL = ["--block-size", "32", "--batch-size", "2", "--max-steps", "2", "--quiet", "--cpu"][:-1]
Write = Callable[[str, str | bytes], Path]


def prose(seed: int, paragraphs: Callable[..., list[str]]) -> str:
    return "\n\n".join(paragraphs(12, seed=seed + 1))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    folder = tmp_path / "folder"
    folder.mkdir()

    def write(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write


def word_file(path: Path, text: str) -> Path:
    document = docx.Document()
    for paragraph in text.split("\n\n"):
        document.add_paragraph(paragraph)
    document.save(str(path))
    return path


def pdf_file(path: Path, text: str, *, key: str = "") -> Path:
    encrypted = StandardEncryption(key) if key else None
    canvas = Canvas(str(path), encrypt=encrypted)
    for at, paragraph in enumerate(text.split("\n\n")):
        canvas.drawString(40, 800 - 20 * at, paragraph[:90])
    canvas.save()
    return path


def alike(
    write: Write, text: list[str], name: str = "note-{}.txt", encoding: str = "utf-8"
) -> None:
    for at, one in enumerate(text):
        write(name.format(at), one.encode(encoding))


def fill_folder(kind: str, write: Write, text: list[str]) -> None:
    """Make one of the folders; what is in it is what the kind says."""
    folder = write("keep/.hidden", "x").parent / "folder"
    shutil.rmtree(folder / "keep")
    many = {"one file": 1, "two files": 2, "five files": 5}
    if kind in many:
        alike(write, text[: many[kind]])
    elif kind == "a thousand small files":
        alike(write, [f"Note {at}: milk, bread and {at} eggs." for at in range(1000)])
    elif kind == "empty":
        return
    elif kind == "empty files alone":
        alike(write, ["", "", ""])
    elif kind == "empty files among good":
        alike(write, [*text, "", ""])
    elif kind == "white space among good":
        alike(write, [*text, " \n\n ", "\n"])
    elif kind in ("cp1252", "utf-16"):
        alike(write, [f"{one}\n\nCafé, déjà vu, “naïve”." for one in text], encoding=kind)
    elif kind == "two encodings":
        alike(write, [f"{one} Café déjà vu, élève." for one in text[:4]])
        alike(write, [f"{one} Café déjà vu, élève." for one in text], "old-{}.txt", "cp1252")
    elif kind == "leftovers of Windows":
        alike(write, [one.replace("\n", "\r\n") for one in text])
        write("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 thumbs")
        write("desktop.ini", "[.ShellClassInfo]\r\n")
        write("~$chapter.docx", b"\0" * 162)
    elif kind == "zip leftovers of macOS":
        alike(write, text)
        write(".DS_Store", b"\0\0\0\1Bud1")
        write("__MACOSX/._note-0.txt", b"\x00\x05\x16\x07" + b"\0" * 99)
    elif kind == "notes of Obsidian":
        alike(write, [f"---\ntags: [a]\n---\n# Note\n\n{one} [[link]]" for one in text], "n/{}.md")
        write(".obsidian/app.json", "{}")
        write("board.canvas", '{"nodes": []}')
        write("attachments/image.png", b"\x89PNG\r\n\x1a\n")
    elif kind == "chat exports":
        lines = [f"[12.03.24, 18:{at % 60:02d}] Ana: {one[:80]}" for at, one in enumerate(text * 4)]
        write("_chat.txt", "\u200e" + "\r\n".join(lines))
    elif kind == "chat exports as JSON":
        for at in range(3):
            messages = [{"text": one, "from": "Ana"} for one in text]
            write(f"result-{at}.json", json.dumps(messages))
    elif kind == "Scrivener":
        for at, one in enumerate(text):
            rtf = one.replace("\n\n", "\\par\n").encode("ascii", "ignore").decode()
            write(f"book.scriv/Files/Data/{at:04d}/content.rtf", f"{{\\rtf1\\ansi {rtf}}}")
        write("book.scriv/project.scrivx", "<?xml version='1.0'?><ScrivenerProject/>")
        write("book.scriv/Settings/ui.plist", b"bplist00")
    elif kind == "code and text":
        alike(write, text, "docs/{}.md")
        write("main.py", "print(1)\n")
        write("node_modules/a/index.js", "1")
        write(".git/HEAD", "ref: refs/heads/main")
    elif kind == "LFS pointers":
        alike(write, text)
        write("big.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")
    elif kind in ("documents", "damaged documents", "encrypted PDF"):
        for at, one in enumerate(text):
            word_file(folder / f"chapter-{at}.docx", one)
            pdf_file(folder / f"page-{at}.pdf", one)
            write(f"site-{at}.html", "<p>" + "</p><p>".join(one.split("\n\n")) + "</p>")
        if kind == "damaged documents":
            write("b.docx", (folder / "chapter-0.docx").read_bytes()[:999])
            write("c.epub", b"no archive")
        if kind == "encrypted PDF":
            pdf_file(folder / "secret.pdf", text[0], key="open")
    elif kind == "a zip in it":
        alike(write, text)
        with zipfile.ZipFile(folder / "old.zip", "w") as archive:
            archive.writestr("a.txt", text[0])
    elif kind == "an enormous one among small":
        alike(write, text)
        write("novel.txt", "\n\n".join(text * 200))
    else:
        raise AssertionError(kind)


TRAINED = (
    *("one file", "two files", "five files", "a thousand small files", "empty files among good"),
    *("white space among good", "cp1252", "utf-16", "two encodings", "leftovers of Windows"),
    *("zip leftovers of macOS", "notes of Obsidian", "chat exports", "chat exports as JSON"),
    *("Scrivener", "code and text", "LFS pointers", "documents", "a zip in it"),
    "an enormous one among small",
)
REFUSED = {
    "empty": ["found no file at all"],
    "empty files alone": ["found 3 empty"],
    "damaged documents": ["2 files cannot be read", "b.docx: ", "c.epub: ", "Mend them"],
    "encrypted PDF": ["secret.pdf: it is encrypted. Open it with its password"],
}


@pytest.fixture
def train(tmp_path, tiny_model, capfd):
    def train(kind: str) -> tuple[int, str]:
        words = ["--model", str(tiny_model), "--text-field", "text"] if "JSON" in kind else []
        words = words or ["--model", str(tiny_model)]
        data, out = str(tmp_path / "folder"), str(tmp_path / "run")
        status = main(["train", "--data", data, *words, *SMALL, "--out", out])
        return status, capfd.readouterr().err

    return train


@pytest.mark.parametrize("kind", TRAINED)
def test_it_is_trained_on_and_every_file_counted(kind, write, train, tmp_path, paragraphs):
    fill_folder(kind, write, [prose(at, paragraphs) for at in range(8)])
    status, said = train(kind)
    assert status == 0, said
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    below = [one for one in (tmp_path / "folder").rglob("*") if one.is_file()]
    folders = {
        one for one in (tmp_path / "folder").rglob(".*") if one.is_dir()
    }  # a hidden folder counts as one
    hidden = [one for one in below if folders & set(one.parents)]
    counted = ledger["files"] + sum(ledger["files_left_out"].values())
    assert counted == len(below) - len(hidden) + len(folders)
    assert ledger["records"] == ledger["with_text"] + sum(ledger["skipped"].values())
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    assert 0 < ledger["evaluated"] < 0.5 * ledger["tokens"]


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_what_to_do(kind, write, train, tmp_path, paragraphs):
    fill_folder(kind, write, [prose(at, paragraphs) for at in range(8)])
    status, said = train(kind)
    assert status == 2
    assert "Traceback" not in said
    assert all(part in said for part in REFUSED[kind]), said
    assert not (tmp_path / "run").exists()
