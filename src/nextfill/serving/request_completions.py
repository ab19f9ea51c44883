"""From the thread that decodes to the request that waits: the texts of a request as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request

from nextfill.serving.completion import Completion, Part, WantedText
from nextfill.serving.decoding_loop import BusyError, ClosedError
from nextfill.serving.http_errors import RequestError
from nextfill.serving.served_model import ServedModel


class GoneError(Exception):
    """The client has gone, and nobody waits for an answer."""


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class RequestCompletions:
    """The texts that a request waits for.

    Args:
        request: It ends them where its client goes away.
        model: Makes them.
        wanted: What is asked of each.
        most_s: Seconds after which they end with what they have.
    """

    def __init__(
        self, request: Request, model: ServedModel, wanted: Sequence[WantedText], most_s: float
    ) -> None:
        self._events: asyncio.Queue[Part | _Failure] = asyncio.Queue()
        self._event_loop = asyncio.get_running_loop()
        self._model = model
        deadline_s = time.monotonic() + most_s
        self.texts = [Completion(one, model.tokenizer, deadline_s, self._put) for one in wanted]
        self._watch = asyncio.create_task(self._end_with_client(request))

    def begin(self) -> None:
        """Have the texts made.

        Raises:
            RequestError: Where too many wait already, or the server ends.
        """
        try:
            self._model.loop.submit(self.texts, lambda error: self._put(_Failure(error)))
        except (BusyError, ClosedError) as error:
            self.cancel()
            raise refusal(error) from error

    async def parts(self) -> AsyncIterator[Part]:
        """Yield the parts of all texts as they come.

        Raises:
            GoneError: If the client has gone.
            RequestError: If the model fails.
        """
        left = len(self.texts)
        try:
            while left:
                event = await self._events.get()
                if isinstance(event, _Failure):
                    raise refusal(event.error) from event.error
                yield event
                left -= event.end is not None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End what is not finished."""
        self._watch.cancel()
        for text in self.texts:
            text.is_cancelled = True
        self._model.loop.wake()

    def _put(self, event: Part | _Failure) -> None:
        """Hand over from the decoding thread; where the server's own loop has ended, to nobody."""
        with suppress(RuntimeError):
            self._event_loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def _end_with_client(self, request: Request) -> None:
        await until_gone(request)
        self._put(_Failure(GoneError()))
        for text in self.texts:
            text.is_cancelled = True


async def until_gone(request: Request) -> None:
    """Wait until the client of a request, whose body is read, has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def refusal(error: BaseException) -> BaseException:
    """Return the refusal of a request for the error of the thread that decodes."""
    if isinstance(error, RequestError | GoneError):
        return error
    if isinstance(error, BusyError):
        return RequestError(
            "Too many requests wait already (--max-queued): try again later.",
            429,
            code="queue_full",
        )
    if isinstance(error, ClosedError):
        return RequestError("The server ends: try again later.", 503)
    if isinstance(error, TimeoutError):
        return RequestError("The request waited too long for its turn: try again later.", 503)
    return RequestError(f"The model fails: {str(error)[:300]}", 500)
