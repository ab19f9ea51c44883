"""What documents and tokens cost, before anything is added up over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import DataError
from nextfill.evaluation.rows import NOTHING_TO_SCORE


@dataclass(frozen=True)
class DocumentScores:
    """What each document cost, and its size in every unit; all arrays are ``[D]``.

    Args:
        document: Number of the document in its store, int64.
        nats: Summed negative log-likelihood, float64.
        targets: Tokens scored, int64.
        bytes: UTF-8 bytes of the text scored, int64.
        characters: Characters scored, int64.
        words: Words, separated by white space, int64.
        correct: Tokens scored that the model thought likeliest, int64.
    """

    document: NDArray[np.int64]
    nats: NDArray[np.float64]
    targets: NDArray[np.int64]
    bytes: NDArray[np.int64]
    characters: NDArray[np.int64]
    words: NDArray[np.int64]
    correct: NDArray[np.int64]

    def __getitem__(self, some: NDArray[np.bool_]) -> DocumentScores:
        """Return the scores of some documents, chosen by a mask ``[D] bool``."""
        return DocumentScores(**{f.name: getattr(self, f.name)[some] for f in fields(self)})


@dataclass(frozen=True)
class TokenScores:
    """What each target cost, in the order of the documents; all arrays are ``[N]``.

    Args:
        document: Number of its document in the store, ascending, int64.
        place: Which of its document's tokens it is, from 0, int64; ascending in a document.
        nats: Its negative log-likelihood, float32, as computed.
        correct: Whether the model thought it likeliest.
    """

    document: NDArray[np.int64]
    place: NDArray[np.int64]
    nats: NDArray[np.float32]
    correct: NDArray[np.bool_]

    def of(self, document: int) -> slice:
        """Return where the targets of a document are."""
        first, stop = np.searchsorted(self.document, [document, document + 1]).tolist()
        return slice(first, stop)

    def spread(self, document: int, length: int) -> NDArray[np.float32]:
        """Return what each token of a document cost, NaN where it was no target, ``[length]``."""
        here = self.of(document)
        nats = np.full(length, np.nan, np.float32)
        nats[self.place[here]] = self.nats[here]
        return nats


@dataclass(frozen=True)
class ScoredGroup:
    """Some documents that were scored, whole.

    Args:
        scores: What each of them cost, if it had a target.
        tokens: What each of their targets cost.
    """

    scores: DocumentScores
    tokens: TokenScores


def join_scores(parts: Sequence[DocumentScores]) -> DocumentScores:
    """Return the scores of several groups of documents as one."""
    if not any(len(part.document) for part in parts):
        raise DataError(NOTHING_TO_SCORE)
    names = [field.name for field in fields(DocumentScores)]
    return DocumentScores(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def join_tokens(parts: Sequence[TokenScores]) -> TokenScores:
    """Return the targets of several groups of documents as one."""
    names = [field.name for field in fields(TokenScores)]
    return TokenScores(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )
