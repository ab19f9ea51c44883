"""A model beside its exported form, on real text: nats, bits per byte and the likeliest texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nextfill.core.amounts import amount, part_of
from nextfill.core.errors import ModelError
from nextfill.exporting.comparison_text import NAME, NEW_TOKENS, NOT_SCORED, ComparisonText
from nextfill.exporting.runtime import Rows, Runtime

NATS_TOLERANCE = 1e-3
"""Of weights in full: the largest difference of the nats of a token, relative to the model's."""

_TIE = 1e-3
"""Two tokens are as likely as one another where their logits are no further apart."""


@dataclass(frozen=True)
class Agreement:
    """How an exported model compares with the one that it was made from.

    Args:
        runtime: The program that computed it, with its version.
        text: The text.
        places: Tokens that were scored.
        nats: Nats of such a token by the exported model.
        nats_of_model: The same by the model itself.
        bits_per_byte: Of the exported model, and ``bits_per_byte_of_model`` of the model itself;
            None of a masked model.
        largest_difference: Of the logarithm of a token's probability, over the whole vocabulary;
            with llama.cpp over the tokens that were scored and the 20 likeliest in their places.
        texts: Texts that were continued, or whose hidden token was told, by the likeliest tokens.
        equal_texts: Those that were the same.
        tied_texts: Those that parted where two tokens were as likely as one another.
    """

    runtime: str
    text: str
    places: int
    nats: float
    nats_of_model: float
    bits_per_byte: float | None
    bits_per_byte_of_model: float | None
    largest_difference: float
    texts: int
    equal_texts: int
    tied_texts: int

    @property
    def relative_difference(self) -> float:
        """The difference of the nats, as a part of the model's own."""
        return (self.nats - self.nats_of_model) / self.nats_of_model

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "relative_difference": self.relative_difference}

    def __str__(self) -> str:
        bits = ""
        if self.bits_per_byte is not None and self.bits_per_byte_of_model is not None:
            bits = f", {self.bits_per_byte:.4f} and {self.bits_per_byte_of_model:.4f} bits per byte"
        places = amount(self.places, "token")
        return (
            f"{self.nats:.4f} nats a token in {self.runtime}, {self.nats_of_model:.4f} here "
            f"({self.relative_difference:+.3%}{bits}), on {places} of {self.text}; "
            f"{part_of(self.equal_texts, self.texts, 'likeliest text')} the same"
        )


class Comparison:
    """What a model computes, kept to compare exported forms with.

    Args:
        own: The model itself.
        text: The text.
        ends: Tokens that end a text.
        causal: Whether the texts are continued; else their hidden tokens are told.
    """

    def __init__(
        self, own: Runtime, text: ComparisonText, ends: frozenset[int], *, causal: bool
    ) -> None:
        self._own, self._text, self._ends, self._causal = own, text, ends, causal
        self._greedy = self._likeliest(own)

    def compare(self, other: Runtime, *, exact: bool) -> Agreement:
        """Return how an exported model compares.

        Args:
            other: The exported model.
            exact: Whether its weights are whole, so that a difference is an error.

        Raises:
            ModelError: If they are, and it computes something else.
        """
        ours = theirs = largest = 0.0
        for row, targets in zip(self._text.rows, self._text.targets, strict=True):
            expected = self._own.log_probabilities(row, targets)
            found = other.log_probabilities(row, targets)
            if expected.shape != found.shape:
                raise ModelError(
                    f"{other.name} gives numbers of the shape {tuple(found.shape)}; expected "
                    f"{tuple(expected.shape)}: report this, with the model's config.json."
                )
            largest = max(largest, float((expected - found).nan_to_num(0.0).abs().max()))
            ours += _nats(expected, targets)
            theirs += _nats(found, targets)
        agreement = self._agreement(other, ours, theirs, largest)
        if exact:
            self._refuse_difference(agreement)
        return agreement

    def _agreement(self, other: Runtime, ours: float, theirs: float, largest: float) -> Agreement:
        places, num_bytes = self._text.places, self._text.num_bytes
        per_byte = None if num_bytes is None else math.log(2) * num_bytes
        agreement = Agreement(
            runtime=other.name,
            text=NAME,
            places=places,
            nats=theirs / places,
            nats_of_model=ours / places,
            bits_per_byte=None if per_byte is None else theirs / per_byte,
            bits_per_byte_of_model=None if per_byte is None else ours / per_byte,
            largest_difference=largest,
            texts=len(self._text.prompts),
            equal_texts=0,
            tied_texts=0,
        )
        found = self._likeliest(other)
        equal = sum(one == two for one, two in zip(self._greedy, found, strict=True))
        each = zip(self._text.prompts, self._greedy, found, strict=True)
        tied = sum(one != two and self._is_tie(prompt, one, two) for prompt, one, two in each)
        return replace(agreement, equal_texts=equal, tied_texts=tied)

    def _likeliest(self, runtime: Runtime) -> Rows:
        if self._causal:
            longest = max(map(len, self._text.prompts))
            new = min(NEW_TOKENS, max(1, len(self._text.rows[0]) - longest))
            return runtime.greedy(self._text.prompts, new, self._ends)
        each = self._text.prompts
        return [runtime.log_probabilities(one, one).argmax(-1).tolist() for one in each]

    def _is_tie(self, prompt: Sequence[int], one: list[int], two: list[int]) -> bool:
        """Return whether two texts part where the model itself can hardly tell the tokens apart."""
        same = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
        if same is None:  # one of them has ended
            same = min(len(one), len(two))
        if self._causal:
            prompt, same = [*prompt, *one[:same]], -1
        odds = self._own.log_probabilities(prompt, prompt)[same]
        first, second = odds.topk(2).values.tolist()
        return bool(first - second <= _TIE)

    def _refuse_difference(self, found: Agreement) -> None:
        others = found.texts - found.equal_texts - found.tied_texts
        if not abs(found.relative_difference) <= NATS_TOLERANCE or others:
            raise ModelError(
                f"Read back by {found.runtime}, the exported model computes something else: "
                f"{found}. Expected the same texts, and nats within {NATS_TOLERANCE:.1%}. Nothing "
                "was written: report this, with the model's config.json."
            )


def _nats(log_probabilities: Tensor, targets: Sequence[int]) -> float:
    """Return the summed nats of the tokens of a row that are scored."""
    wanted = torch.tensor(targets)
    chosen = functional.nll_loss(
        log_probabilities.double(), wanted, ignore_index=NOT_SCORED, reduction="sum"
    )
    return float(chosen)
