"""A stream of text from generated tokens: its end, its stop strings, and its certain part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from nextfill.models.libraries import REFUSALS


def find_stop(text: str, stops: Sequence[str], start: int = 0) -> int | None:
    r"""Return the beginning of the stop string that is complete first, or None.

    No stop string ends within the first ``start`` characters. The answer stays as the text grows.

    Example:
        >>> find_stop("one\n\ntwo", ["two", "\n\n"])
        3
    """
    complete = []
    for stop in stops:
        at = text.find(stop, max(0, start - len(stop) + 1))
        if at >= 0:
            complete.append((at + len(stop), at))
    return min(complete)[1] if complete else None


def certain_length(text: str, stops: Sequence[str]) -> int:
    r"""Return the length of the part of a text in which no stop string can begin any more.

    Example:
        >>> certain_length("one\n", ["\n\n"])
        3
    """
    longest = max((len(stop) for stop in stops), default=0)
    for at in range(max(0, len(text) - longest + 1), len(text)):
        if any(stop.startswith(text[at:]) for stop in stops):
            return at
    return len(text)


REPLACEMENT = "\ufffd"
"""A decoder's sign for incomplete bytes of a character."""

_MARGIN = 8
"""Characters before a stop string that are decoded with it, because the first may be cut off."""


@dataclass(frozen=True)
class Decoder:
    """Decodes a continuation up to its end, an end token or a stop string, both left out.

    Within the first ``min_new_tokens`` no stop string counts.
    """

    tokenizer: Any
    end_ids: frozenset[int]
    stops: tuple[str, ...] = ()
    min_new_tokens: int = 0

    def text(self, prompt: Sequence[int], new: Sequence[int]) -> tuple[str, bool]:
        """Return a continuation without its stop string, and whether there was one.

        It is decoded with its prompt, on which the text of a token can depend: a space, or the rest
        of a character.
        """
        new = new[: self._end(new)]
        text = self._after(prompt, new)
        at = None
        if self.stops:
            start = len(self._after(prompt, new[: self.min_new_tokens]))
            at = find_stop(text, self.stops, start)
        return text[:at], at is not None

    def may_have_stopped(self, prompt: Sequence[int], new: Sequence[int]) -> bool:
        """Return quickly whether a stop string may be complete with the last of these ids.

        Only the end is decoded, or long texts would take a time that grows with their square.
        """
        longest = max(map(len, self.stops))
        count = 2 * longest + _MARGIN
        ids = [*prompt, *new]
        while True:
            last = ids[-count:]
            # A stop string that this token completes begins so many characters before it at most.
            known = len(self._decode(last[:-1]))
            if known >= longest + _MARGIN or count >= len(ids):
                text = self._decode(last)
                return any(stop in text for stop in self.stops)
            count *= 2  # tokens without text, or parts of characters

    def _end(self, new: Sequence[int]) -> int:
        # Beam search fills short texts with ids below 0 where a model has no end token.
        ends = (n for n, token in enumerate(new) if token in self.end_ids or token < 0)
        return next(ends, len(new))

    def _after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        return self._decode([*prompt, *new])[len(self._decode(prompt)) :]

    def _decode(self, ids: Sequence[int]) -> str:
        # Cleaned-up spaces would change text that was already shown.
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)


class StopAtStrings(StoppingCriteria):  # type: ignore[misc]
    """Ends each row of a batch where its own text is at a stop string.

    transformers' own ``stop_strings`` also count where they begin in the prompt. Prompts are given
    without padding.
    """

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]]) -> None:
        self._decoder = decoder
        self._prompts = prompts
        self._width = max(map(len, prompts))

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return of each row, perhaps one of several beams of a prompt, whether it has ended."""
        beams = len(input_ids) // len(self._prompts)
        prompts = [prompt for prompt in self._prompts for _ in range(beams)]
        ended = [
            self._decoder.may_have_stopped(prompt, new) and self._decoder.text(prompt, new)[1]
            for prompt, new in zip(prompts, input_ids[:, self._width :].tolist(), strict=True)
        ]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)


class Stream(BaseStreamer):  # type: ignore[misc]
    """Streams one continuation as it grows, in the interface of transformers' streamers.

    ``on_text`` receives pieces, none empty, that are the continuation together; no piece ends in
    half a character or in half a stop string.
    """

    def __init__(
        self, decoder: Decoder, prompt: Sequence[int], on_text: Callable[[str], None]
    ) -> None:
        self._decoder = decoder
        self._prompt = prompt
        self._on_text = on_text
        self._new: list[int] | None = None
        self._shown = 0

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt first, then each new token."""
        if self._new is None:
            self._new = []
            return
        self._new += value.flatten().tolist()
        text, stopped = self._decoder.text(self._prompt, self._new)
        if not stopped:
            text = text.rstrip(REPLACEMENT)
            text = text[: certain_length(text, self._decoder.stops)]
        self._show(text)

    def end(self) -> None:
        """Stream the rest, which could have become a stop string or a character."""
        self._show(self._decoder.text(self._prompt, self._new or [])[0])

    def _show(self, text: str) -> None:
        if len(text) > self._shown:
            self._on_text(text[self._shown :])
            self._shown = len(text)


class CallbackError(Exception):
    """Carries an error of the caller's function past those of the model."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def guarded(on_text: Callable[[str], None]) -> Callable[[str], None]:
    """Return the caller's function with its errors marked as no errors of the model."""

    def call(text: str) -> None:
        try:
            on_text(text)
        except REFUSALS as error:
            raise CallbackError(error) from error

    return call
