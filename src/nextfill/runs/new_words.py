"""The new words of a run, as its events record them, beside the model that had none of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nextfill.core.amounts import amount
from nextfill.evaluation.figures import Evaluation
from nextfill.rendering.result_cards import figure_text


@dataclass(frozen=True)
class NewWords:
    """The words that a run gave tokens of their own.

    A token is no longer what it was, so that the figures over bytes alone compare with those of the
    model without them; its perplexity is that of other tokens.

    Args:
        words: The words, in the order of their ids.
        tokens: Their tokens: two of a word that is one with the space before it and one without.
        already: Words that were asked for and were tokens before.
        held_out_tokens: Tokens of the held-out documents with the new words.
        held_out_tokens_without: The same without them.
        without: The figures of the model without them and before training, in its own tokens, on
            the held-out documents; None of a model of random weights.
    """

    words: Sequence[str]
    tokens: int
    already: Sequence[str]
    held_out_tokens: int
    held_out_tokens_without: int
    without: Evaluation | None

    @property
    def saved(self) -> float:
        """The share of the held-out documents' tokens that the new words save."""
        before = self.held_out_tokens_without
        return (before - self.held_out_tokens) / before if before else 0.0

    def lines(self, after: Evaluation | None) -> list[str]:
        """Return sentences on the words, the tokens saved, and how the model was without them."""
        fewer = "more" if self.saved < 0 else "fewer"
        lines = [
            f"{amount(self.tokens, 'new token')} for {amount(len(self.words), 'word')}: the "
            f"held-out text is {self.held_out_tokens:,} tokens long, and was "
            f"{self.held_out_tokens_without:,} ({abs(self.saved):.1%} {fewer})"
        ]
        if self.without is None:
            return lines
        bits = self.without.bits_per_byte
        if math.isnan(bits):
            return [
                *lines,
                "other tokens are masked than without them, so that no figure compares with the "
                "model's before",
            ]
        now = "" if after is None else f", and after training {figure_text(after.bits_per_byte)}"
        return [
            *lines,
            f"bits per byte: {figure_text(bits)} without them and before training{now}; "
            "perplexities of other tokens do not compare",
        ]


def new_words_of(event: Mapping[str, Any], without: Evaluation | None) -> NewWords:
    """Return the new words of an event, with the figures of the model without them."""
    return NewWords(
        words=tuple(event["words"]),
        tokens=event["tokens"],
        already=tuple(event["already"]),
        held_out_tokens=event["held_out_tokens"],
        held_out_tokens_without=event["held_out_tokens_without"],
        without=without,
    )
