"""Regular expressions from files: those that take ages for a short text are refused.

A pattern such as ``(a+)+$`` takes twice as long for every further letter. It is tried on texts that
grow by a letter at a time, so that it shows within milliseconds what it would do with a long one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from nextfill.errors import ModelError

_SHORT = 32
_LONG = (64, 128, 256, 512, 1024)
_MOST_LETTERS = 16
_PATIENCE_S = 0.05
"""Of the processor's time, for one text; an honest pattern takes some microseconds."""


def check_pattern(
    pattern: str, match: Callable[[str], object], texts: Iterable[str], where: str
) -> None:
    """Refuse a regular expression that takes ages.

    Args:
        pattern: The expression, for messages.
        match: Matches a text against it.
        texts: What it is tried on, every text a little longer than the one before.
        where: What it stands in, for messages.

    Raises:
        ModelError: With the expression.
    """
    for text in texts:
        if min(_seconds(match, text) for _ in range(2)) > _PATIENCE_S:
            raise ModelError(
                f"{where}: the regular expression {pattern[:200]!r} takes ages, more than "
                f"{_PATIENCE_S * 1000:.0f} ms for {len(text)} characters: mend it, or take another "
                "file."
            )


def runs(pattern: str) -> Iterator[str]:
    """Yield texts that repeat a character and end in another, for some of a pattern's own.

    Args:
        pattern: A regular expression.
    """
    letters = dict.fromkeys([*"a1 .\né", *(c for c in pattern if c.isalnum())])
    for letter in list(letters)[:_MOST_LETTERS]:
        for length in (*range(1, _SHORT), *_LONG):
            yield letter * length + "\0"


def beginnings(names: Iterable[str]) -> Iterator[str]:
    """Yield the beginnings of names, each longer and longer."""
    for name in names:
        for length in range(1, len(name) + 1):
            yield name[:length]


def _seconds(match: Callable[[str], object], text: str) -> float:
    """Return the time of this thread's own, so that a busy machine makes no pattern slow."""
    before = time.thread_time()
    match(text)
    return time.thread_time() - before
