"""Training in a thread of its own, so that the main one hears Ctrl-C and tells of progress.

`tokenizers` returns to Python only when it is done, and takes the texts from threads of its own,
where Python hears no signals.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress

POLL_S = 0.1


class _Unwanted(Exception):  # noqa: N818 - ends a training that nobody waits for any more
    pass


class _Feed:
    """Texts on their way to the trainer, counted, and cut off when nobody waits any more."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.num_characters = 0
        self.ended = False
        self.unwanted = False

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if self.unwanted:
                raise _Unwanted
            yield text
            self.num_characters += len(text)
        self.ended = True


def train_watched(
    train: Callable[[Iterator[str]], None],
    texts: Iterable[str],
    on_progress: Callable[[int, bool], None] = lambda num_characters, ended: None,
) -> None:
    """Train in the background until it is done or interrupted."""
    feed = _Feed(texts)
    future: Future[None] = Future()

    def work() -> None:
        try:
            train(iter(feed))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name="tokenizer training", daemon=True).start()
    try:
        while not future.done():
            on_progress(feed.num_characters, feed.ended)
            with suppress(TimeoutError):  # one of the training's own is raised below
                future.result(timeout=POLL_S)
        future.result()
    finally:
        feed.unwanted = True
