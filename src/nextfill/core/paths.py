"""Paths that the user writes: checks of them, and their difference from addresses and wildcards."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from nextfill.core.errors import ConfigError, near
from nextfill.core.url_redaction import scrub, without_secrets

MOST_SHOWN = 80
"""Characters of a path in a message."""

_ADDRESS = re.compile(
    r"[a-z][\w+.-]+:/|(https?|s3a?|gs|gcs)(:|//)|(?![./~]).*::\w+:?//", re.IGNORECASE
)
"""Beginnings of addresses, malformed ones too; not C:/, and not builtin:NAME."""

_HOST = re.compile(
    r"(www\.[\w-]+(\.[\w-]+)+|[\w-]+(\.[\w-]+)*\.(com|org|net|edu|gov|info|io|co|dev|ai|de|fr|uk|ru))/",
    re.IGNORECASE,
)
"""The name of a place on the web, and a slash."""

STANDARD_INPUT = "-"
"""The name of standard input in place of a path."""


def user_path(text: str, flag: str) -> Path:
    """Return the path of a setting, which need not exist; refuse addresses and impossible names.

    Example:
        >>> user_path("notes.txt", "--data").name
        'notes.txt'
    """
    if without_secrets(text) != text:
        raise ConfigError(
            [f"{flag} {_short(text)} is an address with a secret. Expected a path of this machine."]
        )
    if _ADDRESS.match(text):
        raise ConfigError(
            [
                f"{flag} {_short(text)} is an address. Expected a path of this machine; if it is "
                "one all the same, write ./ before it."
            ]
        )
    try:
        path = Path(_in_file_system_encoding(text)).expanduser()
        # Not Path.exists, which in newer Pythons answers False for an impossible name.
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")
        raise ConfigError([f"{flag} {_short(text)} cannot be used as a path: {reason}."]) from error
    return path


def is_there(text: str) -> bool:
    """Return whether a word that may be anything, a long text too, is the path of something.

    Example:
        >>> is_there("."), is_there("word " * 1000), is_there(chr(0))
        (True, False, False)
    """
    return os.path.exists(text)  # noqa: PTH110 - Path.exists raises for a name that cannot be


def is_folder(text: str) -> bool:
    """Return whether a word that may be anything, a long text too, is the path of a folder.

    Example:
        >>> is_folder("."), is_folder(__file__), is_folder("word " * 1000)
        (True, False, False)
    """
    return os.path.isdir(text)  # noqa: PTH112 - Path.is_dir raises for a name that cannot be


def is_pipe(text: str) -> bool:
    """Return whether a word that may be anything is the path of a pipe, which is read once.

    Example:
        >>> is_pipe("."), is_pipe("word " * 1000)
        (False, False)
    """
    try:
        return stat.S_ISFIFO(os.stat(text).st_mode)  # noqa: PTH116 - as above
    except (OSError, ValueError):
        return False


def nearest_path(path: Path, *, folders_only: bool = False) -> str:
    """Return a hint at files or folders beside a path that is not there, named like it, or ""."""
    if not path.parent.is_dir():
        return ""
    beside = sorted(one.name for one in path.parent.iterdir() if one.is_dir() or not folders_only)
    found = [f"'{path.with_name(one)}'" for one in near(path.name, beside)] if path.name else []
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _short(text: str) -> str:
    shown = scrub(text)  # before it is cut, as the end of an address matters
    return repr(shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}...")


def _in_file_system_encoding(text: str) -> str:
    """Return a name in Python's form for the same UTF-8 bytes on disk, whatever the encoding."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8"))
    return text


def check_utf8_name(path: Path, flag: str) -> Path:
    """Return a path, refusing one whose name on disk is not UTF-8.

    The libraries that read and write weights and tokenizers accept names in UTF-8 alone.

    Example:
        >>> check_utf8_name(Path("runs/café"), "--out").name
        'café'
    """
    try:
        is_utf8 = str(path.absolute()).encode("utf-8") == os.fsencode(path.absolute())
    except UnicodeEncodeError:
        is_utf8 = False
    if not is_utf8:
        raise ConfigError(
            [
                f"{flag} {str(path)!a}: models are kept under names in UTF-8, and this is none on "
                "disk. Give or rename it to another, or type PYTHONUTF8=1 before the command."
            ]
        )
    return path


def is_glob(text: str) -> bool:
    """Return whether a text has wildcards, as in ``notes/**/*.md``.

    Example:
        >>> is_glob("notes/*.md"), is_glob("notes/a.md")
        (True, False)
    """
    return any(mark in text for mark in "*?[")


def address_without_scheme(text: str) -> str:
    """Return the address that a text is without its ``https://``, or "".

    Example:
        >>> address_without_scheme("www.gutenberg.org/book.txt")
        'https://www.gutenberg.org/book.txt'
        >>> address_without_scheme("notes.d/book.txt"), address_without_scheme("book.txt")
        ('', '')
    """
    return f"https://{text}" if _HOST.match(text) else ""


def is_address(text: str) -> bool:
    """Return whether a text is an address such as ``s3://bucket/notes.txt``, not a path.

    Example:
        >>> is_address("https://example.org/a.txt"), is_address("notes/a.txt")
        (True, False)
    """
    return "://" in text
