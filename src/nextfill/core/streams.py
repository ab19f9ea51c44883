"""Standard streams of any encoding, closed, full or without a reader, and text safe for a terminal.

Texts of models and names of files may hold characters that a terminal's encoding lacks. Those are
escaped, so that nothing, least of all the end of a long run, fails because of its own output.
"""

from __future__ import annotations

import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nextfill.core.errors import NextfillError
from nextfill.core.json_text import has_surrogates, to_json
from nextfill.core.url_redaction import scrub

_NUMBER = re.compile(r"[0-9]{1,9}")
_FEWEST_COLUMNS, _MOST_COLUMNS = 20, 10_000
_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows them; right-to-left letters need none."""


def printable(text: str) -> str:
    r"""Remove the control characters and changes of direction that would steer a terminal.

    An escape sequence in a text of a model or of data could move the cursor or change the screen.

    Example:
        >>> printable("a\x1b[2Jb\tc")
        'a[2Jb\tc'
    """
    return "".join(
        c for c in text if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in TURNING)
    )


@contextmanager
def lenient_streams() -> Iterator[None]:
    r"""Make the standard streams accept any text, and restore them at the end.

    Characters that the output's encoding lacks are escaped, as in ``\\u96ea``; bytes that the
    input's encoding lacks become lone surrogates, for `as_utf8`. A stream that was closed before
    the program began leads to the null device, so that no later file gets its number.
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
        errors_to = sys.stderr  # for Python's traceback of a defect of ours
        raise
    finally:
        sys.stderr = errors_to
        for stream, errors in before:
            # An input that was read from cannot be changed any more.
            if not stream.closed:
                with suppress(io.UnsupportedOperation):
                    stream.reconfigure(errors=errors)


@contextmanager
def plausible_screen_size() -> Iterator[None]:
    """Unset COLUMNS and LINES where they cannot be a screen's size, and restore them at the end.

    Tables follow them: at 0 columns nothing is shown, at 1 single letters.
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
    """Standard error without secrets of addresses, for which a lost reader is no error."""

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
        """Write buffered text."""
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
    r"""Decode text anew as UTF-8 that was read in another encoding; return any other unchanged.

    Example:
        >>> as_utf8("caf\udcc3\udca9", "ascii")
        'café'
    """
    if not has_surrogates(text):
        return text
    try:
        return text.encode(encoding, "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text


def print_json(value: Any) -> None:
    """Print one JSON object on stdout, in ASCII escapes where its encoding lacks Unicode."""
    encoding = str(getattr(sys.stdout, "encoding", None) or "utf-8")
    with to_stdout():
        print(to_json(value, ascii_only=not encoding.lower().startswith("utf")))


@contextmanager
def to_stdout() -> Iterator[None]:
    """Turn an error of writing standard output into a message; a lost reader raises as it is."""
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
    """Write buffered output, so that it fails here and not after everything."""
    with to_stdout():
        sys.stdout.flush()


def leave_stdout() -> None:
    """Redirect standard output to the null device after its reader is gone, as in ``| head``."""
    _lead_nowhere(sys.stdout)


def print_error(message: str) -> None:
    """Print a message on stderr; a lost reader is no error."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:  # in a program with its own stderr
        _lead_nowhere(sys.stderr)


def _lead_nowhere(stream: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
