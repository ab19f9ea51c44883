"""Paths as the user writes them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nextfill.errors import ConfigError


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
