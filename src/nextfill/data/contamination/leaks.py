"""What is found of leaks, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextfill.core.errors import DataError
from nextfill.data.contamination.word_hashes import Ints
from nextfill.data.train_test_split import Part

LEAKED = "held out, nearly in the training data"
"""Why a held-out document is dropped."""

MOST_TOLD = 3
"""Of these, those that a line of text names."""


@dataclass(frozen=True)
class Leak:
    """A held-out document and the training document that shares most with it.

    Args:
        record: Number of the held-out document's record.
        train_record: Number of the training document's record.
        share: Share of its runs of 13 words that stand in the training data; 1 for the same text.
    """

    record: int
    train_record: int
    share: float


@dataclass(frozen=True)
class Leaks:
    """What stands on both sides.

    Args:
        documents: Numbers of the held-out documents that leaked, ascending, ``[L] int64``.
        checked: Held-out documents that were looked at.
        too_short: Of these, how many are shorter than 13 words: only the same text is found.
        exact: Documents whose words are those of a training document.
        near: Others of which half and more stands in the training data.
        tokens: Tokens of all of them.
        pairs: Some of them, the surest first.
    """

    documents: Ints
    checked: int
    too_short: int
    exact: int
    near: int
    tokens: int
    pairs: tuple[Leak, ...]

    def to_json(self) -> dict[str, int]:
        """Return the counts as plain data."""
        return {
            "checked": self.checked,
            "too_short": self.too_short,
            "exact": self.exact,
            "near": self.near,
            "tokens": self.tokens,
        }

    def told(self, *, dropped: bool = False) -> str:
        """Say how many documents stand on both sides, and what to type."""
        named = [f"{leak.record} ({leak.share:.0%} in {leak.train_record})" for leak in self.pairs]
        more = " ..." if len(named) > MOST_TOLD else ""
        records = f"; records {', '.join(named[:MOST_TOLD])}{more}" if named else ""
        return (
            f"{self.exact + self.near:,} of {self.checked:,} documents that are evaluated stand in "
            f"the training data, too: {self.exact:,} word for word, {self.near:,} nearly{records}. "
            + (
                "They are left out."
                if dropped
                else "train and evaluate leave them out with --drop-leaks."
            )
        )


def without(part: Part, documents: Ints) -> Part:
    """Return a part without some documents."""
    left = Part(part.store, np.setdiff1d(part.documents, documents))
    if left.num_texts == 0 and part.num_texts > 0:
        raise DataError(
            f"all {part.num_texts:,} documents that are evaluated stand in the training data, too: "
            "leave --drop-leaks out, or give other text with --eval-data (--data of evaluate)"
        )
    return left
