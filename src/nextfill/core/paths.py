"""Paths as the user writes them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from nextfill.core.errors import ConfigError
from nextfill.core.url_redaction import scrub, without_secrets

MOST_SHOWN = 80
"""Characters of a path that a message shows."""

_ADDRESS = re.compile(
    r"[a-z][\w+.-]+:/|(https?|s3a?|gs|gcs)(:|//)|(?![./~]).*::\w+:?//", re.IGNORECASE
)
"""How addresses begin, malformed ones too; not C:/, and not builtin:NAME."""

STANDARD_INPUT = "-"
"""What stands for standard input in the place of a path."""


def user_path(text: str, flag: str) -> Path:
    """Return the path that a setting names, which need not exist.

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
        path = Path(_in_the_systems_encoding(text)).expanduser()
        # Not Path.exists, which in newer Pythons says no to what can be no name.
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")
        raise ConfigError([f"{flag} {_short(text)} cannot be used as a path: {reason}."]) from error
    return path


def _short(text: str) -> str:
    shown = scrub(text)  # whole, because of an address cut short its end would not be known
    return repr(shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}...")


def _in_the_systems_encoding(text: str) -> str:
    """Return a name as Python has it where names are not in UTF-8, for the same bytes on disk."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return os.fsdecode(text.encode("utf-8"))
    return text


def check_utf8_name(path: Path, flag: str) -> Path:
    """Return a path as it is, refusing one that is not in UTF-8 on disk.

    Weights and tokenizers are read and written by libraries that know names in UTF-8 alone.

    Example:
        >>> check_utf8_name(Path("runs/café"), "--out").name
        'café'
    """
    try:
        whole = str(path.absolute()).encode("utf-8") == os.fsencode(path.absolute())
    except UnicodeEncodeError:
        whole = False
    if not whole:
        raise ConfigError(
            [
                f"{flag} {str(path)!a}: models are kept under names in UTF-8, and this is none on "
                "disk. Give or rename it to another, or type PYTHONUTF8=1 before the command."
            ]
        )
    return path


def is_glob(text: str) -> bool:
    """Tell whether a text holds wildcards, as in ``notes/**/*.md``.

    Example:
        >>> is_glob("notes/*.md"), is_glob("notes/a.md")
        (True, False)
    """
    return any(mark in text for mark in "*?[")


def is_address(text: str) -> bool:
    """Tell an address such as ``s3://bucket/notes.txt`` from a path.

    Example:
        >>> is_address("https://example.org/a.txt"), is_address("notes/a.txt")
        (True, False)
    """
    return "://" in text
