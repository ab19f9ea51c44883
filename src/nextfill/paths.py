"""Paths as the user writes them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nextfill.errors import ConfigError

STANDARD_INPUT = "-"
"""What stands for standard input in the place of a path."""


def user_path(text: str, flag: str) -> Path:
    """Return the path that a setting names, which need not exist.

    Args:
        text: What the user wrote; ``~`` stands for a home folder.
        flag: Where, for the message.

    Returns:
        The path, of which the system can say whether it exists.

    Raises:
        ConfigError: If it cannot: there is no such user, the name is too long, or the like.

    Example:
        >>> user_path("notes.txt", "--data").name
        'notes.txt'
    """
    try:
        path = Path(text).expanduser()
        # Not Path.exists, which in newer Pythons says no to what can be no name.
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")
        shown = repr(text if len(text) <= 80 else f"{text[:80]}...")
        raise ConfigError([f"{flag} {shown} cannot be used as a path: {reason}."]) from error
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
