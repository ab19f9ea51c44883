"""Text that is piped into a command whose prompt was left out."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import termios

from nextfill.config.command_line.flags import CommandLine
from nextfill.core.errors import ConfigError
from nextfill.core.streams import as_utf8

_WAIT_S = 1.0
"""How long a pipe without a word is waited for: it may be one that nobody will write to."""


def piped_text(noun: str, *, quiet: bool) -> str:
    """Return the text on standard input, where one is piped or redirected into it, or "".

    That it was read, or not waited for, is said beside the results.

    Args:
        noun: What the text is to the command: ``prompt`` or ``text``.
        quiet: Whether nothing is said.
    """
    number, kind = _standard_input()
    is_file = stat.S_ISREG(kind)
    if not is_file and not stat.S_ISFIFO(kind):
        return ""
    if not is_file and not select.select([number], [], [], _WAIT_S)[0]:
        return _said(f"Nothing came on standard input, and no {noun} is given.", "", quiet=quiet)
    text = as_utf8(sys.stdin.read(), sys.stdin.encoding).removesuffix("\n")
    if not text.strip():
        return ""
    return _said(f"The {noun} is read from standard input.", text, quiet=quiet)


def refuse_unread_text(line: CommandLine) -> None:
    """Refuse a command without any data into which text is piped, which it would not read.

    It would take the built-in text for it, and train for minutes before anybody saw that.
    """
    named = any(one.path[0] == "data" for one in line.settings)
    if not named and _is_waiting():
        raise ConfigError(
            [
                *line.problems,
                "Text is piped in, and no --data is given. For the built-in text all the same, "
                "name it with --data. To read what is piped in, type: --data -",
            ]
        )


def _is_waiting() -> bool:
    """Tell whether text waits on standard input, of which nothing is read."""
    number, kind = _standard_input()
    if stat.S_ISREG(kind):
        return os.fstat(number).st_size > os.lseek(number, 0, os.SEEK_CUR)
    if not stat.S_ISFIFO(kind):
        return False
    count = fcntl.ioctl(number, termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder) > 0


def _standard_input() -> tuple[int, int]:
    """Return the number and the kind of the file that standard input is; zeros where it is none."""
    try:
        number = sys.stdin.fileno()
        return number, os.fstat(number).st_mode
    except (AttributeError, OSError, ValueError):
        return 0, 0


def _said(message: str, text: str, *, quiet: bool) -> str:
    from nextfill.cli.conversation import say

    if not quiet:
        say(message)
    return text
