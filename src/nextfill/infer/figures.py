"""Every figure of an evaluation, derived from the scores of its documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95% interval."""


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
    """

    document: NDArray[np.int64]
    nats: NDArray[np.float64]
    targets: NDArray[np.int64]
    bytes: NDArray[np.int64]
    characters: NDArray[np.int64]
    words: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a set of documents, with every denominator.

    Args:
        nats: Summed negative log-likelihood, float64.
        targets: Tokens scored.
        documents: Documents scored.
        words: Words, separated by white space.
        bytes: UTF-8 bytes.
        characters: Characters.
        perplexity: exp(nats / targets).
        word_perplexity: exp(nats / words).
        byte_perplexity: exp(nats / bytes).
        bits_per_byte: nats / (bytes x ln 2); comparable between tokenizers.
        standard_error: Of the nats per target, over documents.
        interval: 95% interval of the perplexity, from that standard error.
        groups: The same by group, where a column was asked for.
    """

    nats: float
    targets: int
    documents: int
    words: int
    bytes: int
    characters: int
    perplexity: float
    word_perplexity: float
    byte_perplexity: float
    bits_per_byte: float
    standard_error: float
    interval: tuple[float, float]
    groups: Mapping[str, Evaluation] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return asdict(self)


def summarize(scores: DocumentScores) -> Evaluation:
    """Derive every figure from the scores of the documents.

    Args:
        scores: Of at least one document.

    Returns:
        The evaluation. The standard error is that of a ratio estimator with documents as the
        sampling unit, because tokens of one document are not independent.

    Source:
        Cochran 1977, Sampling Techniques, section 6.3 (variance of a ratio).
    """
    nats, targets = float(scores.nats.sum()), int(scores.targets.sum())
    words, size = int(scores.words.sum()), int(scores.bytes.sum())
    mean = nats / targets
    count = len(scores.nats)
    residual = scores.nats - mean * scores.targets
    if count > 1:
        error = math.sqrt(float(residual @ residual) * count / (count - 1)) / targets
    else:
        error = math.nan
    return Evaluation(
        nats=nats,
        targets=targets,
        documents=count,
        words=words,
        bytes=size,
        characters=int(scores.characters.sum()),
        perplexity=_exp(mean),
        word_perplexity=_exp(nats / words) if words else math.nan,
        byte_perplexity=_exp(nats / size),
        bits_per_byte=nats / math.log(2) / size,
        standard_error=error,
        interval=(_exp(mean - Z_95 * error), _exp(mean + Z_95 * error)),
    )


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
