"""The loop that decodes for everybody at once: texts come and go between the tokens of others.

A thread of a model's own, so that nothing else computes with it at the same time. A text is read by
itself and then grows beside the others; its random numbers are its own, so that at a seed it is the
same whoever else is served.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import torch
from torch import Tensor

from nextfill.core.errors import NextfillError
from nextfill.models.inference.row_pool import Rows
from nextfill.models.libraries import REFUSALS
from nextfill.serving.completion import ChosenToken, Completion, End
from nextfill.serving.http_errors import RequestError
from nextfill.serving.next_tokens import chosen_tokens, drawing_key, drawn_tokens_of

T = TypeVar("T")

_READ_AT_ONCE = 1024
"""Tokens of prompts that are read between two tokens of the texts that grow already."""

FAILURES = (NextfillError, RequestError, *REFUSALS)
"""Errors of a request, or of a model that computes: they end what is at hand and nothing else."""


class BusyError(Exception):
    """Too many wait already."""


class ClosedError(Exception):
    """The server is about to end."""


class DecodingLoop:
    """Decodes texts, and does other work on a model between their tokens.

    Args:
        rows: The model's growing texts; None for a model that continues none.
        most_rows: Texts that grow at once.
        most_waiting: Texts and other work that may wait for their turn.
    """

    def __init__(self, rows: Rows | None, most_rows: int, most_waiting: int) -> None:
        self._rows = rows
        self._most_rows, self._most_waiting = most_rows, most_waiting
        self._active: list[tuple[Completion, Callable[[BaseException], None]]] = []
        self._waiting: deque[tuple[Completion, Callable[[BaseException], None]]] = deque()
        self._work: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self.tokens_made = 0
        self.tokens_read = 0
        self.steps = 0
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self._thread.start()

    @property
    def num_active(self) -> int:
        """Texts that grow."""
        return len(self._active)

    @property
    def num_waiting(self) -> int:
        """Texts and other work that wait for their turn."""
        return len(self._waiting) + len(self._work)

    @property
    def is_alive(self) -> bool:
        """Whether it decodes."""
        return self._thread.is_alive()

    def submit(
        self, texts: Sequence[Completion], on_failure: Callable[[BaseException], None]
    ) -> None:
        """Have texts made; ``on_failure`` is told in their stead of an error of the model.

        Raises:
            BusyError: Where they would have to wait behind too many.
            ClosedError: At the end of the server.
        """
        with self._changed:
            self._refuse(len(texts))
            self._waiting.extend((text, on_failure) for text in texts)
            self._changed.notify()

    def run(self, work: Callable[[], T]) -> Future[T]:
        """Have other work done with the model; it is left out if it is cancelled before.

        Raises:
            BusyError: Where it would have to wait behind too many.
            ClosedError: At the end of the server.
        """
        future: Future[T] = Future()
        with self._changed:
            self._refuse(1)
            self._work.append((work, future))
            self._changed.notify()
        return future

    def logits(self, ids: Sequence[int]) -> Tensor:
        """Return the logits of all places of a text, ``[T, V]``: of the loop's own thread."""
        rows = self._rows_of_model
        found = rows.read(ids, all_places=True)
        rows.remove(len(self._active))
        self.tokens_read += len(ids)
        return found

    def wake(self) -> None:
        """Look at once for texts that nobody wants any more."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End; texts that are not finished are told so."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _refuse(self, number: int) -> None:
        if self._is_closed or not self._thread.is_alive():
            raise ClosedError
        free = self._most_rows - len(self._active)
        if self.num_waiting + number > self._most_waiting + max(0, free):
            raise BusyError

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._next():
                    pass
        finally:
            self._is_closed = True
            error = ClosedError("the server ends")
            for _, on_failure in (*self._active, *self._waiting):
                on_failure(error)
            for _, future in self._work:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            for left in (self._active, self._waiting, self._work):
                left.clear()

    def _next(self) -> bool:
        """Do the next piece of everything; return whether there may be more."""
        with self._changed:
            while not (self._is_closed or self._active or self._waiting or self._work):
                self._changed.wait()
            if self._is_closed:
                return False
            work = self._work.popleft() if self._work else None
        if work is not None:
            _do(*work)
        self._leave_out()
        self._admit()
        if self._active:
            self._step()
        return True

    def _leave_out(self) -> None:
        """Take out texts that nobody wants any more, and those whose time is over."""
        now = time.monotonic()
        for place in reversed(range(len(self._active))):
            text, _ = self._active[place]
            if text.is_cancelled:
                self._remove(place)
            elif now > text.deadline_s:
                text.finish(End("time"))
                self._remove(place)
        with self._changed:
            waiting = [one for one in self._waiting if not one[0].is_cancelled]
            late = [one for one in waiting if now > one[0].deadline_s]
            self._waiting = deque(one for one in waiting if now <= one[0].deadline_s)
        for _, on_failure in late:
            on_failure(TimeoutError())

    def _remove(self, place: int) -> None:
        self._rows_of_model.remove(place)
        last = self._active.pop()
        if place < len(self._active):
            self._active[place] = last

    @property
    def _rows_of_model(self) -> Rows:
        assert self._rows is not None  # noqa: S101 - a masked model is never given texts to grow
        return self._rows

    def _admit(self) -> None:
        """Read the prompts of texts that there is a place for."""
        enough = self.tokens_read + _READ_AT_ONCE
        while self._waiting and len(self._active) < self._most_rows and self.tokens_read < enough:
            text, on_failure = self._waiting.popleft()
            if text.is_cancelled:
                continue
            try:
                logits = self._prompt_logits(text)
            except FAILURES as error:
                on_failure(error)
                continue
            self._active.append((text, on_failure))
            if text.wanted.generation.max_new_tokens == 0:
                text.finish(End("length"))
                self._remove(len(self._active) - 1)
                continue
            self._choose([len(self._active) - 1], logits[None])

    def _prompt_logits(self, text: Completion) -> Tensor:
        """Give a text a row behind the others; return the logits after its prompt, ``[V]``.

        A prompt that stands at the beginning of another row, as that of another of ``n`` texts
        does, is copied from there: it is read once.
        """
        wanted, rows = text.wanted, self._rows_of_model
        for place, (other, _) in enumerate(self._active):
            if other.has_prompt_of(wanted) and rows.copy(place, len(wanted.ids)):
                text.prompt_logits, text.prompt_tokens = other.prompt_logits, other.prompt_tokens
                break
        else:
            logits = rows.read(wanted.ids, all_places=wanted.tells_prompt)
            self.tokens_read += len(wanted.ids)
            if wanted.tells_prompt:
                text.prompt_tokens = chosen_tokens(
                    logits[:-1], wanted.ids[1:], wanted.num_likeliest or 0
                )
                logits = logits[-1].clone()
            text.prompt_logits = logits
        assert text.prompt_logits is not None  # noqa: S101 - for the type checker
        return text.prompt_logits

    def _step(self) -> None:
        """Add the last token of each text to the model's rows, and choose the next."""
        tokens = torch.tensor([text.new[-1] for text, _ in self._active])
        try:
            logits = self._rows_of_model.add(tokens)
        except FAILURES as error:
            for _, on_failure in self._active:
                on_failure(error)
            for place in reversed(range(len(self._active))):
                self._remove(place)
            return
        self.steps += 1
        self._choose(range(len(self._active)), logits)

    def _choose(self, places: Sequence[int], logits: Tensor) -> None:
        """Choose the next token of texts by the logits after them, ``[B, V]``."""
        texts = [self._active[place] for place in places]
        ended: list[int] = []
        order = sorted(range(len(texts)), key=lambda n: drawing_key(texts[n][0]))
        for _, group in itertools.groupby(order, key=lambda n: drawing_key(texts[n][0])):
            numbers = list(group)
            rows = logits if len(numbers) == len(texts) else logits[torch.tensor(sorted(numbers))]
            some = [texts[n][0] for n in sorted(numbers)]
            try:
                tokens = drawn_tokens_of(some, rows)
            except FAILURES as error:
                for number in numbers:
                    texts[number][1](error)
                ended += [places[n] for n in numbers]
                continue
            self.tokens_made += len(some)
            for row, number, text, token in zip(
                itertools.count(), sorted(numbers), some, tokens.tolist(), strict=False
            ):
                chosen = ChosenToken(token)
                if text.wanted.num_likeliest is not None:
                    (chosen,) = chosen_tokens(
                        rows[row : row + 1], [token], text.wanted.num_likeliest
                    )
                if text.add(chosen):
                    ended.append(places[number])
        for place in sorted(ended, reverse=True):
            self._remove(place)


def _do(work: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except FAILURES as error:
        future.set_exception(error)
    finally:
        if not future.done():  # a defect, which ends the loop
            future.set_exception(ClosedError("the server ends"))
