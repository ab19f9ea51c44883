"""How much is told on stderr: Nextfill's warnings, its progress, and the logs of libraries.

With ``error`` neither warnings nor progress, with ``warning`` no progress, with ``info`` both, and
with ``debug`` also what transformers, datasets, huggingface_hub and PEFT log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

from nextfill.core.progress import Observer, Silent
from nextfill.core.streams import printable
from nextfill.core.url_redaction import scrub_of_library

OURS = "nextfill"
LIBRARIES = ("transformers", "datasets", "huggingface_hub", "peft", "httpx", "fsspec")

_before: list[tuple[logging.Logger, int, list[logging.Handler], bool]] = []
"""Each logger that was changed, with its level, its handlers, and whether it hands on."""

_changing = RLock()
_callers: list[None] = []
"""One entry for each verb that is at work."""


class _Plain(logging.Formatter):
    """Lines without secrets and control characters: libraries log addresses."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(scrub_of_library(super().format(record)))


def at_log_level(observer: Observer, level: str | None) -> Observer:
    """Set what is told from here on; return the observer, or a silent one where it is too much.

    Args:
        observer: Shows progress and notes.
        level: ``error``, ``warning``, ``info`` or ``debug``; None leaves all as it is.
    """
    if level is None:
        return observer
    if level == "debug":
        _log_all()
    else:
        names = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.WARNING}
        _change(logging.getLogger(OURS), names[level])
    if level in ("info", "debug"):
        return observer
    observer.on_end()  # of what it shows of the data so far
    return Silent()


def _log_all() -> None:
    from transformers.utils import logging as of_transformers

    of_transformers.get_verbosity()  # which gives its logger the handler that ours replaces
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(levelname)s %(name)s: %(message)s"))
    for name in (OURS, *LIBRARIES):
        _change(logging.getLogger(name), logging.DEBUG, handler)


def _change(logger: logging.Logger, level: int, handler: logging.Handler | None = None) -> None:
    with _changing:
        _before.append((logger, logger.level, logger.handlers, logger.propagate))
        logger.setLevel(level)
        if handler is not None:
            logger.handlers, logger.propagate = [handler], False


@contextmanager
def log_levels_restored() -> Iterator[None]:
    """Put back afterwards what `at_log_level` changed, for the program that goes on.

    Of verbs that are at work in several threads, or within one another, the last puts it back.
    """
    with _changing:
        _callers.append(None)
    try:
        yield
    finally:
        with _changing:
            _callers.pop()
            while _before and not _callers:
                logger, level, handlers, propagates = _before.pop()
                logger.setLevel(level)
                logger.handlers, logger.propagate = handlers, propagates


def shown_by_level(keywords: Any) -> bool:
    """Return whether a program asks for progress by its keywords.

    Example:
        >>> shown_by_level({"log_level": "info"}), shown_by_level({})
        (True, False)
    """
    return keywords.get("log_level") in ("info", "debug")
