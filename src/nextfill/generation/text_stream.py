"""Text from generated tokens: its end, its stop strings, and the part that is certain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer


def cut(text: str, stops: Sequence[str], start: int = 0) -> int | None:
    r"""Return where the stop string begins that is complete first, or None.

    Example:
        >>> cut("one\n\ntwo", ["two", "\n\n"])
        3
    """
    found = []
    for stop in stops:
        at = text.find(stop, max(0, start - len(stop) + 1))
        if at >= 0:
            found.append((at + len(stop), at))
    return min(found)[1] if found else None


def settled(text: str, stops: Sequence[str]) -> int:
    r"""Return how much of a text without stop strings none can begin in any more.

    Example:
        >>> settled("one\n", ["\n\n"])
        3
    """
    longest = max((len(stop) for stop in stops), default=0)
    for at in range(max(0, len(text) - longest + 1), len(text)):
        if any(stop.startswith(text[at:]) for stop in stops):
            return at
    return len(text)


REPLACEMENT = "\ufffd"
"""What a decoder puts where the bytes of a character are incomplete."""

_MARGIN = 8
"""Characters before a stop string that are decoded with it, because the first may be cut off."""


@dataclass(frozen=True)
class Decoder:
    """What a continuation's tokens say, and where it ends.

    Args:
        tokenizer: A transformers tokenizer.
        end_ids: Tokens that end a text and are none of it.
        stops: Strings that end a text and are none of it.
        min_new_tokens: Tokens within which no stop string counts.
    """

    tokenizer: Any
    end_ids: frozenset[int]
    stops: tuple[str, ...] = ()
    min_new_tokens: int = 0

    def text(self, prompt: Sequence[int], new: Sequence[int]) -> tuple[str, bool]:
        """Return a continuation without its stop string, and whether there was one.

        Decoded with its prompt, because what a token looks like can depend on what stands before
        it: a space, or the rest of a character.
        """
        new = new[: self._end(new)]
        text = self._after(prompt, new)
        at = None
        if self.stops:
            start = len(self._after(prompt, new[: self.min_new_tokens]))
            at = cut(text, self.stops, start)
        return text[:at], at is not None

    def may_have_stopped(self, prompt: Sequence[int], new: Sequence[int]) -> bool:
        """Say quickly whether a stop string may be complete with the last of these ids.

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
        # Below 0 is what beam search fills short texts with where a model has no end token.
        ends = (n for n, token in enumerate(new) if token in self.end_ids or token < 0)
        return next(ends, len(new))

    def _after(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        return self._decode([*prompt, *new])[len(self._decode(prompt)) :]

    def _decode(self, ids: Sequence[int]) -> str:
        # Cleaned-up spaces would change what was already shown.
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)


class StopAtStrings(StoppingCriteria):  # type: ignore[misc]
    """Ends each row of a batch where its own text is at a stop string.

    Source:
        transformers' own ``stop_strings`` also counts what begins in the prompt.

    Args:
        decoder: Knows the stop strings.
        prompts: Token ids of each prompt of the batch, without padding.
    """

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]]) -> None:
        self._decoder = decoder
        self._prompts = prompts
        self._width = max(map(len, prompts))

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Say of each row, which may be one of several beams of a prompt, whether it has ended."""
        beams = len(input_ids) // len(self._prompts)
        prompts = [prompt for prompt in self._prompts for _ in range(beams)]
        ended = [
            self._decoder.may_have_stopped(prompt, new) and self._decoder.text(prompt, new)[1]
            for prompt, new in zip(prompts, input_ids[:, self._width :].tolist(), strict=True)
        ]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)


class Stream(BaseStreamer):  # type: ignore[misc]
    """Hands on one continuation as it grows, in the interface of transformers' streamers.

    Nothing is handed on that could still turn out to be half a character or half a stop string.

    Args:
        decoder: Makes the text.
        prompt: Token ids of the prompt.
        on_text: Called with pieces, none empty; together they are the continuation.
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
            text = text[: settled(text, self._decoder.stops)]
        self._show(text)

    def end(self) -> None:
        """Hand on what was waited for in vain."""
        self._show(self._decoder.text(self._prompt, self._new or [])[0])

    def _show(self, text: str) -> None:
        if len(text) > self._shown:
            self._on_text(text[self._shown :])
            self._shown = len(text)
