"""Text that is piped into a command whose prompt was left out."""

from __future__ import annotations

import os
import select
import stat
import sys

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
    try:
        number = sys.stdin.fileno()
        kind = os.fstat(number).st_mode
    except (AttributeError, OSError, ValueError):  # there is none, or none of a file
        return ""
    is_file = stat.S_ISREG(kind)
    if not is_file and not stat.S_ISFIFO(kind):
        return ""
    if not is_file and not select.select([number], [], [], _WAIT_S)[0]:
        return _said(f"Nothing came on standard input, and no {noun} is given.", "", quiet=quiet)
    text = as_utf8(sys.stdin.read(), sys.stdin.encoding).removesuffix("\n")
    if not text.strip():
        return ""
    return _said(f"The {noun} is read from standard input.", text, quiet=quiet)


def _said(message: str, text: str, *, quiet: bool) -> str:
    from nextfill.cli.conversation import say

    if not quiet:
        say(message)
    return text
