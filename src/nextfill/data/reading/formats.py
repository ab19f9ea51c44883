"""Formats and compressions: told by a file's name, or by its first bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from nextfill.config import TxtMode

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
}
"""The formats by the suffix that tells them; `readers.READERS` holds a reader for each."""

PLAIN_TEXT = ("txt", "md")
"""The formats without records of their own, whose documents ``--txt`` says."""

ARCHIVE = ".zip"
TAR = re.compile(r"\.(tar(\.\w+)?|tgz|tbz2|txz|7z|rar)$", re.IGNORECASE)

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


def told_by_name(name: str) -> tuple[str | None, str]:
    """Return the format and the compression that a file's name tells.

    Args:
        name: The name, with or without folders before it.

    Returns:
        The format, None if the name does not tell it; the compression's suffix, or an empty string.

    Example:
        >>> told_by_name("notes/a.JSONL.gz"), told_by_name("kernel.log"), told_by_name("b.xz")
        (('jsonl', '.gz'), (None, ''), (None, '.xz'))
        >>> told_by_name("data.json.txt"), told_by_name("notes (1).TXT")
        (('json', ''), ('txt', ''))
    """
    bare = PurePosixPath(name.lower())
    compression = bare.suffix if bare.suffix in COMPRESSIONS else ""
    inner = PurePosixPath(bare.name.removesuffix(compression) if compression else bare.name)
    # Editors and browsers put .txt behind a name that has its suffix already.
    within = SUFFIXES.get(PurePosixPath(inner.stem).suffix) if inner.suffix == ".txt" else None
    return within or SUFFIXES.get(inner.suffix), compression


def compression_of(head: bytes) -> str:
    r"""Return the compression that the first bytes of a file tell, or an empty string.

    Example:
        >>> compression_of(b"\x1f\x8b\x08..."), compression_of(b"plain")
        ('.gz', '')
    """
    return next((suffix for suffix, magic in _MAGIC.items() if head.startswith(magic)), "")


def format_of(head: bytes) -> str:
    """Return the format that the first bytes of a file tell, once they are decompressed.

    Example:
        >>> format_of(b'{"text": "one"}'), format_of(b"PAR1..."), format_of(b"Once upon")
        ('jsonl', 'parquet', 'txt')
    """
    for magic, known in _BEGINNINGS:
        if head.startswith(magic):
            return known
    return "jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") else "txt"


def txt_mode(asked: TxtMode | None, known: str, *, several: bool) -> TxtMode:
    """Return what a document is in a plain text file.

    Args:
        asked: What the user says.
        known: The file's format.
        several: Whether the file is one of a folder, a glob or an archive.
    """
    return asked or ("file" if several or known == "md" else "paragraph")


def readable(suffixes: Iterable[str] = SUFFIXES) -> str:
    """Say what can be read."""
    return (
        f"Read are files ending in {' '.join(suffixes)}, each also with "
        f"{' '.join(COMPRESSIONS)}, or of any name with --format; folders, quoted globs and .zip "
        "archives of them; addresses such as https:// and s3://; - for standard input; "
        "builtin:NAME; and data sets of the Hugging Face Hub such as owner/name."
    )
