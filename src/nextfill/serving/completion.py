"""One text that a server makes for somebody: what was asked, what has come so far, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from nextfill.config import GenerationConfig
from nextfill.generation.decoding import UniformNumbers
from nextfill.generation.text_stream import REPLACEMENT, certain_length, find_stop

EndReason = Literal["stop", "length", "time"]

_WINDOW = 6
"""Tokens before a new one that its text can depend on: a space, the rest of a character."""

_MOST_PENDING = 16
"""Tokens that can be parts of one character; more of them are no character."""


@dataclass(frozen=True)
class ChosenToken:
    """A token of a text, and how likely it and others were there.

    Args:
        token: Its id.
        nats: Its log-probability by the model; None where nothing was asked, or none stands before.
        likeliest: Ids and log-probabilities of the likeliest tokens there, likeliest first.
    """

    token: int
    nats: float | None = None
    likeliest: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class End:
    """Why a text ended, and the string that ended it."""

    reason: EndReason
    stop: str | None = None


@dataclass(frozen=True)
class Part:
    """A piece of a text, perhaps empty, with its tokens; the last has the end."""

    index: int
    text: str
    tokens: tuple[ChosenToken, ...]
    end: End | None = None


@dataclass(frozen=True)
class WantedText:
    """What is asked of one text.

    Args:
        index: Its number among those of a request.
        ids: Tokens of the prompt.
        sample: Its number among those of the prompt, for the random numbers.
        generation: How tokens are chosen, and how many at most.
        ends: Tokens that end it.
        frequency_penalty: Taken from a token's score for each time that it was made.
        presence_penalty: Taken from the score of a token that was made.
        bias: Added to the scores of tokens.
        num_likeliest: Likeliest tokens to tell at each place; None to tell no log-probability.
        tells_prompt: Whether to tell those of the prompt's tokens, too.
        streams: Whether its parts are wanted as they come.
    """

    index: int
    ids: tuple[int, ...]
    sample: int
    seed: int
    generation: GenerationConfig
    ends: frozenset[int]
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)
    num_likeliest: int | None = None
    tells_prompt: bool = False
    streams: bool = False


class Completion:
    """A text that grows token by token.

    Args:
        wanted: What is asked.
        tokenizer: The model's.
        deadline_s: Of the clock `time.monotonic`: when it ends whatever it has come to.
        on_part: Receives its parts, in the thread that decodes; False where nobody wants more.
    """

    def __init__(
        self,
        wanted: WantedText,
        tokenizer: Any,
        deadline_s: float,
        on_part: Callable[[Part], None],
    ) -> None:
        self.wanted, self.deadline_s = wanted, deadline_s
        self.is_cancelled = False
        self.new: list[int] = []
        self.prompt_tokens: tuple[ChosenToken, ...] = ()
        ids, added = [*wanted.bias], [*wanted.bias.values()]
        self.bias = (torch.tensor(ids), torch.tensor(added)) if ids else None
        self.prompt_logits: Tensor | None = None  # after it, [V], once it is read
        self.numbers: Iterator[float] = UniformNumbers(wanted.seed, wanted.ids, wanted.sample)
        self._tokenizer = tokenizer
        self._on_part = on_part
        self._ids = list(wanted.ids)
        self._first, self._read = max(0, len(self._ids) - _WINDOW), len(self._ids)
        self._before: str | None = None
        self._text, self._shown = "", 0
        self._untold: list[ChosenToken] = []

    def has_prompt_of(self, other: WantedText) -> bool:
        """Return whether its prompt was read as another text wants its own to be."""
        own = self.wanted
        told = own.tells_prompt or not other.tells_prompt
        same = own.num_likeliest == other.num_likeliest or not other.tells_prompt
        return self.prompt_logits is not None and told and same and own.ids == other.ids

    def add(self, chosen: ChosenToken) -> bool:
        """Add a token; tell what is certain of the text; return whether that was the last."""
        self._untold.append(chosen)
        stops = self.wanted.generation.stop
        end = None
        if chosen.token in self.wanted.ends:
            end = End("stop")
        else:
            self.new.append(chosen.token)
            self._ids.append(chosen.token)
            start = len(self._text)
            self._grow()
            at = find_stop(self._text, stops, start) if stops and self._text[start:] else None
            if at is not None:
                ended_by = next(one for one in stops if self._text.startswith(one, at))
                self._text = self._text[:at]
                end = End("stop", ended_by)
            elif len(self.new) >= self.wanted.generation.max_new_tokens:
                end = End("length")
        if end is not None:
            self.finish(end)
        elif self.wanted.streams:
            self._tell(certain_length(self._text, stops) if stops else len(self._text), None)
        return end is not None

    def finish(self, end: End) -> None:
        """Tell the rest of the text, and its end."""
        if end.stop is None:
            self._grow(whole=True)
        self._tell(len(self._text), end)

    def _tell(self, length: int, end: End | None) -> None:
        piece = self._text[self._shown : length]
        self._shown = max(self._shown, length)
        has_tokens = self.wanted.num_likeliest is not None
        if piece or end is not None or has_tokens:
            part = Part(self.wanted.index, piece, tuple(self._untold), end)
            self._untold = []
            self._on_part(part)

    def _grow(self, *, whole: bool = False) -> None:
        """Add to the text what the tokens since the last whole character spell."""
        if self._read == len(self._ids):
            return
        if self._before is None:
            self._before = self._decode(self._ids[self._first : self._read])
        text = self._decode(self._ids[self._first :])
        pending = len(self._ids) - self._read
        if text.endswith(REPLACEMENT) and not whole and pending < _MOST_PENDING:
            return
        self._text += text[len(self._before) :]
        self._first, self._read, self._before = self._read, len(self._ids), None

    def _decode(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)
