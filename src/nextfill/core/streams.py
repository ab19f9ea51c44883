"""Standard streams as a system has them: of any encoding, closed, full, or read by nobody any more.

What a model says or a file is called may hold characters that a terminal's encoding lacks. Those
are escaped, so that nothing, least of all the end of a long run, fails on being told.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nextfill.core.errors import NextfillError
from nextfill.core.text_safety import to_json
from nextfill.core.url_redaction import scrub

_NUMBER = re.compile(r"[0-9]{1,9}")
_FEWEST_COLUMNS, _MOST_COLUMNS = 20, 10_000
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


@contextmanager
def any_text() -> Iterator[None]:
    r"""Let the standard streams take any text, and put them back afterwards.

    What the encoding of the output lacks is escaped, as in ``\\u96ea``; bytes that the encoding of
    the input lacks stand as half characters, for `as_utf8`. A stream that was closed before the
    program began leads nowhere, so that no file that is opened later gets its number.
    """
    for name, mode in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    before = []
    errors_to = sys.stderr
    for name, mode in _STREAMS:
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            before.append((stream, stream.errors))
            stream.reconfigure(errors="backslashreplace" if mode == "w" else "surrogateescape")
    sys.stderr = _Messages(errors_to)
    try:
        yield
    except Exception:
        errors_to = sys.stderr  # where Python shows a defect of ours
        raise
    finally:
        sys.stderr = errors_to
        for stream, errors in before:
            # An input that was read from keeps its way to the end.
            if not stream.closed:
                with suppress(io.UnsupportedOperation):
                    stream.reconfigure(errors=errors)


@contextmanager
def size_of_screen() -> Iterator[None]:
    """Let COLUMNS and LINES count only where they can be the size of a screen; put them back.

    What shows tables believes them: at 0 columns it shows nothing, at 1 what is cut to letters.
    """
    limits = {"COLUMNS": _FEWEST_COLUMNS, "LINES": 1}
    odd = {
        name: text
        for name, fewest in limits.items()
        if (text := os.environ.get(name)) is not None
        and not (_NUMBER.fullmatch(text) and fewest <= int(text) <= _MOST_COLUMNS)
    }
    for name in odd:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(odd)


class _Messages:
    """Standard error for all that is told there, by libraries, too: without secrets, and for good.

    Whether anybody reads it must not matter to what is done.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text without the secrets of the addresses in it."""
        try:
            self._stream.write(scrub(text))
        except OSError:
            _lead_nowhere(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write what still waits."""
        try:
            self._stream.flush()
        except OSError:
            _lead_nowhere(self._stream)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several pieces of text."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def as_utf8(text: str, encoding: str) -> str:
    r"""Return text that was read in another encoding and is UTF-8; any other as it is.

    Example:
        >>> as_utf8("caf\udcc3\udca9", "ascii")
        'café'
    """
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    try:
        return text.encode(encoding, "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def print_json(value: Any) -> None:
    """Print one JSON object on stdout; in ASCII where that carries no more, which loses nothing."""
    with to_stdout():
        print(to_json(value, ascii_only=not _carries_unicode(sys.stdout)))


def _carries_unicode(stream: Any) -> bool:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return str(encoding).lower().startswith("utf")


@contextmanager
def to_stdout() -> Iterator[None]:
    """Say why standard output cannot be written, but for a reader that has gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _lead_nowhere(sys.stdout)
        raise NextfillError(
            f"Standard output cannot be written: {error.strerror or error}."
        ) from error


def flush_stdout() -> None:
    """Write what still waits, so that it fails here and not after everything."""
    with to_stdout():
        sys.stdout.flush()


def leave_stdout() -> None:
    """Let standard output lead nowhere, its reader being gone, as in ``| head``."""
    _lead_nowhere(sys.stdout)


def print_error(message: str) -> None:
    """Print a message on stderr, if anybody reads that."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:  # of a program that shows messages by itself
        _lead_nowhere(sys.stderr)


def _lead_nowhere(stream: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
