"""Formats and compressions by a file's name or its first bytes, and files that are placeholders."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from nextfill.config import Format, TxtMode
from nextfill.core.amounts import noun_with_article
from nextfill.core.errors import DataError
from nextfill.data.records.files import ReadOptions
from nextfill.data.records.formats.foreign_files import kind_by_content, kind_by_name

SUFFIXES = {
    ".txt": "txt",
    ".text": "txt",
    ".md": "md",
    ".markdown": "md",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".docx": "docx",
    ".odt": "odt",
    ".epub": "epub",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".rtf": "rtf",
    ".pdf": "pdf",
}
"""The formats by suffix; `file_readers.READERS` has a reader for each."""

RICH_TEXT = {
    **dict.fromkeys(("docx", "odt", "epub", "html"), "lxml"),
    "rtf": "striprtf",
    "pdf": "pypdfium2",
}
"""Documents with a layout, and the library that reads each."""

INSTALL_DOCUMENTS = "pip install 'nextfill[documents]'"

PLAIN_TEXT = ("txt", "md")
"""The formats without records of their own, which ``--txt`` divides into documents."""

WITHOUT_RECORDS = (*PLAIN_TEXT, *RICH_TEXT)
"""The formats whose documents ``--txt`` divides."""

ARCHIVE = ".zip"
TAR = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2|txz|7z|rar)$", re.IGNORECASE)

BOM = b"\xef\xbb\xbf"
_MAGIC = {
    ".gz": b"\x1f\x8b",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".xz": b"\xfd7zXZ\x00",
    ".bz2": b"BZh",
}
COMPRESSIONS = tuple(_MAGIC)

_BEGINNINGS = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),  # a stream of messages, each behind this mark
)


def format_by_name(name: str) -> tuple[str | None, str]:
    """Return the format and the compression by a file's name.

    Example:
        >>> format_by_name("notes/a.JSONL.gz"), format_by_name("kernel.log"), format_by_name("b.xz")
        (('jsonl', '.gz'), (None, ''), (None, '.xz'))
        >>> format_by_name("data.json.txt"), format_by_name("notes (1).TXT")
        (('json', ''), ('txt', ''))
    """
    bare = PurePosixPath(name.lower())
    compression = bare.suffix if bare.suffix in COMPRESSIONS else ""
    inner = PurePosixPath(bare.name.removesuffix(compression) if compression else bare.name)
    # Editors and browsers put .txt behind a name that has its suffix already.
    within = SUFFIXES.get(PurePosixPath(inner.stem).suffix) if inner.suffix == ".txt" else None
    return within or SUFFIXES.get(inner.suffix), compression


def single_format(
    path: str, name: str, format_flag: Format | None, unpack: str, head: bytes = b""
) -> tuple[str, str]:
    """Return the format and the compression of a file that ``--data`` names by itself.

    With its first bytes, a file that has the suffix of another kind is told as what it is.
    """
    if TAR.search(path):
        raise DataError(f"--data {name!r} is an archive of a kind that is not read: {unpack}.")
    by_name, compression = format_by_name(path)
    if format_flag is None and by_name is None:
        if foreign := kind_by_name(path, head):
            noun = noun_with_article(foreign.name)
            raise DataError(f"--data {name!r} is {noun}, which is not read. {foreign.advice}.")
        raise DataError(
            f"--data {name!r}: cannot tell the format by the name. If it is plain text, type: "
            f"--format txt. {readable_formats()}"
        )
    return format_flag or str(by_name), compression


def compression_of(head: bytes) -> str:
    r"""Return the compression by the first bytes of a file, or an empty string.

    Example:
        >>> compression_of(b"\x1f\x8b\x08..."), compression_of(b"plain")
        ('.gz', '')
    """
    return next((suffix for suffix, magic in _MAGIC.items() if head.startswith(magic)), "")


def format_of(head: bytes) -> str:
    """Return the format by the first bytes of a file, decompressed.

    Example:
        >>> format_of(b'{"text": "one"}'), format_of(b"PAR1..."), format_of(b"Once upon")
        ('jsonl', 'parquet', 'txt')
    """
    rest = "jsonl" if head.removeprefix(BOM).lstrip().startswith(b"{") else "txt"
    return next((name for magic, name in _BEGINNINGS if head.startswith(magic)), rest)


def txt_mode(options: ReadOptions, file_format: str) -> TxtMode:
    """Return the unit of a document in a plain text file."""
    default: TxtMode = "paragraph" if file_format == "txt" and not options.several else "file"
    return options.txt or default


def readable_formats() -> str:
    """List, for messages, the files and places that can be read."""
    return (
        f"Read are files ending in {' '.join(SUFFIXES)}, each also with "
        f"{' '.join(COMPRESSIONS)}, or of any name with --format; folders, quoted globs and .zip "
        "archives of them; addresses such as https:// and s3://; - for standard input; "
        "builtin:NAME; and data sets of the Hugging Face Hub such as owner/name."
    )


HEAD_BYTES = 512
"""The beginning of a file that `placeholder` needs."""


@dataclass(frozen=True)
class Placeholder:
    """Something else in the place of a file of records.

    Args:
        name: Its noun.
        advice: The remedy, as a sentence without its full stop.
        command: A command that fetches the file, in short.
    """

    name: str
    advice: str
    command: str = ""

    @property
    def reason(self) -> str:
        """The reason why the file is left out, for a count."""
        return f"{self.name} ({self.command})" if self.command else self.name

    @property
    def message(self) -> str:
        """The message about it, behind the file's name."""
        return f"found {noun_with_article(self.name)} in the place of the file. {self.advice}."


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
    ((b"/annex/objects/", b".git/annex/objects/"), ANNEX),
)
_PAGE = Placeholder(
    "web page (HTML)",
    "A download that ends in a page of words for people often leaves one: fetch the file again",
)
_DOCUMENTS = (
    (b"{\\rtf", Placeholder("RTF document", "Give it a name that ends in .rtf")),
    (b"%PDF-", Placeholder("PDF document", "Give it a name that ends in .pdf")),
    (
        b"PK\x03\x04",
        Placeholder(
            "zip archive or Office document",
            "Give it its own suffix: .zip, .docx, .odt or .epub; save a table as CSV (UTF-8)",
        ),
    ),
    (b"\x00\x05\x16\x07", Placeholder("AppleDouble file of macOS", "Name the file beside it")),
    (b"bplist00", Placeholder("property list of macOS", "Name the file that it stands for")),
    (b"\x1f\x8b", Placeholder("gzip file", "Give it a name that ends in .gz")),
    (b"PAR1", Placeholder("Parquet file", "Give --format parquet")),
    (b"ARROW1", Placeholder("Arrow file", "Give --format arrow")),
)
_TEXT = (*PLAIN_TEXT, "jsonl", "json", "csv", "tsv")


def placeholder(head: bytes, file_format: str = "", *, by_flag: bool = False) -> Placeholder | None:
    r"""Return the placeholder that a file is by its first bytes, or None for a file of records.

    Example:
        >>> placeholder(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a...").name
        'pointer of Git LFS'
        >>> placeholder(b"<!DOCTYPE html>", "txt").name, placeholder(b"Once upon a time", "txt")
        ('web page (HTML)', None)
    """
    for beginnings, found in _POINTERS:
        if head.startswith(beginnings):
            return found
    if (file_format in PLAIN_TEXT and by_flag) or file_format in RICH_TEXT:
        return None
    if _is_page(head):
        advice = f"{_PAGE.advice}, or, if its HTML is the text, give --format txt"
        return Placeholder(_PAGE.name, advice) if file_format in PLAIN_TEXT else _PAGE
    if file_format not in _TEXT:
        return None
    documents = [found for magic, found in _DOCUMENTS if head.startswith(magic)]
    if foreign := kind_by_content(head):
        documents.append(Placeholder(foreign.name, foreign.advice))
    return documents[0] if documents else None


def refuse_placeholder(
    head: bytes, name: str, file_format: str = "", *, by_flag: bool = False
) -> None:
    """Refuse a file that is a placeholder, by its first bytes."""
    if found := placeholder(head, file_format, by_flag=by_flag):
        raise DataError(f"{name}: {found.message}")


def _is_page(head: bytes) -> bool:
    begins = head.removeprefix(BOM).lstrip().lower()
    if begins.startswith(b"<?xml"):
        begins = begins.partition(b"?>")[2].lstrip()
    return begins.startswith((b"<!doctype html", b"<html"))
