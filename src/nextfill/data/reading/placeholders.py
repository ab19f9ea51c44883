"""What lies in a file's place: a pointer to it, a web page, or another program's document.

Such a file is readable, or nearly so, and no text of the user's. It is told by its first bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from nextfill.errors import DataError

HEAD_BYTES = 512
"""How much of a file has to be looked at."""


@dataclass(frozen=True)
class Placeholder:
    """What lies in a file's place.

    Args:
        name: What it is.
        advice: What to do, or to type.
        command: What fetches the file, in short.
    """

    name: str
    advice: str
    command: str = ""

    @property
    def reason(self) -> str:
        """Why the file is left out, as a count has it."""
        return f"{self.name} ({self.command})" if self.command else self.name

    @property
    def told(self) -> str:
        """What a message says of it, behind the file's name."""
        return f"found a {self.name} in the place of the file. {self.advice}."


ANNEX = Placeholder(
    "pointer of git-annex",
    "The file itself has not been fetched. In its repository type: git annex get .",
    "git annex get",
)
_POINTERS = (
    (
        (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/"),
        Placeholder(
            "pointer of Git LFS",
            "The file itself has not been fetched. In its repository type: git lfs pull",
            "git lfs pull",
        ),
    ),
    (
        (b"/annex/objects/", b".git/annex/objects/"),
        ANNEX,
    ),
)
_PAGE = Placeholder(
    "web page (HTML)",
    "A download that ends in a page of words for people often leaves one: fetch the file again",
)
_DOCUMENTS = (
    (b"{\\rtf", Placeholder("RTF document", "Save it as plain text (UTF-8)")),
    (b"%PDF-", Placeholder("PDF document", "Save it as plain text (UTF-8)")),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        Placeholder("document of an old Office", "Save it as plain text or as CSV (UTF-8)"),
    ),
    (
        b"PK\x03\x04",
        Placeholder(
            "zip archive or Office document",
            "Name an archive .zip; save a document as plain text or CSV (UTF-8)",
        ),
    ),
    (b"\x00\x05\x16\x07", Placeholder("AppleDouble file of macOS", "Name the file beside it")),
    (b"bplist00", Placeholder("property list of macOS", "Name the file that it stands for")),
    (b"\x1f\x8b", Placeholder("gzip file", "Give it a name that ends in .gz")),
    (b"PAR1", Placeholder("Parquet file", "Give --format parquet")),
    (b"ARROW1", Placeholder("Arrow file", "Give --format arrow")),
)
_TEXT = ("txt", "md", "jsonl", "json", "csv", "tsv")
_PLAIN = ("txt", "md")


def placeholder(head: bytes, known: str = "", *, asked: bool = False) -> Placeholder | None:
    r"""Tell what lies in a file's place, if anything does.

    Args:
        head: The first `HEAD_BYTES` of the file, before it is decompressed.
        known: The format that it is to be read as; empty for a file of another kind.
        asked: Whether the user said that format: a page or RTF is then taken for the plain text
            that it also is.

    Example:
        >>> placeholder(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a...").name
        'pointer of Git LFS'
        >>> placeholder(b"<!DOCTYPE html>", "txt").name, placeholder(b"Once upon a time", "txt")
        ('web page (HTML)', None)
    """
    for beginnings, found in _POINTERS:
        if head.startswith(beginnings):
            return found
    if known in _PLAIN and asked:
        return None
    if _is_page(head):
        advice = f"{_PAGE.advice}, or, if its HTML is the text, give --format txt"
        return Placeholder(_PAGE.name, advice) if known in _PLAIN else _PAGE
    if known not in _TEXT:
        return None
    return next((found for magic, found in _DOCUMENTS if head.startswith(magic)), None)


def check_place(head: bytes, name: str, known: str = "", *, asked: bool = False) -> None:
    """Refuse what lies in a file's place.

    Args:
        head: The first bytes, as `placeholder` takes them.
        name: The file's name for messages.
        known: The format that it is to be read as.
        asked: Whether the user said that format.

    Raises:
        DataError: If it is not the file.
    """
    if found := placeholder(head, known, asked=asked):
        raise DataError(f"{name}: {found.told}")


def _is_page(head: bytes) -> bool:
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begins.startswith(b"<?xml"):
        begins = begins.partition(b"?>")[2].lstrip()
    return begins.startswith((b"<!doctype html", b"<html"))
