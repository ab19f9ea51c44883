"""Every figure of an evaluation, derived from the scores of its documents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Objective, PseudoMetric
from nextfill.display import card, card_table, figure_text, text_table

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
class PseudoFigures:
    """A masked model's figures where each token is predicted from all the others.

    They are no likelihoods of the text, and compare with those of masked models alone.

    Args:
        metric: ``original``, or ``within-word``: the later tokens of its word are hidden as well.
        log_likelihood: Summed, in nats.
        perplexity: exp(-log_likelihood / tokens).
        word_perplexity: exp(-log_likelihood / words).
        byte_perplexity: exp(-log_likelihood / bytes).
        bits_per_byte: -log_likelihood / (bytes x ln 2).
    """

    metric: PseudoMetric
    log_likelihood: float
    perplexity: float
    word_perplexity: float
    byte_perplexity: float
    bits_per_byte: float


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
        word_perplexity: exp(nats / words); NaN for a masked model, which scores a part of them.
        byte_perplexity: exp(nats / bytes); NaN for a masked model.
        bits_per_byte: nats / (bytes x ln 2); comparable between tokenizers; NaN for a masked model.
        standard_error: Of the nats per target, over documents.
        interval: 95% interval of the perplexity, from that standard error.
        groups: The same by group, where a column was asked for.
        objective: ``causal`` or ``masked``: what a target is.
        pseudo: What every token costs a masked model that sees all the others, if that was asked
            for; the nats, targets and perplexity are those then.
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
    objective: Objective = "causal"
    pseudo: PseudoFigures | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data, those of a pseudo-likelihood by names of their own."""
        figures = asdict(self)
        pseudo = figures.pop("pseudo")
        return figures | {f"pseudo_{name}": value for name, value in (pseudo or {}).items()}

    def in_a_line(self) -> str:
        """Return the perplexity, and what it can be judged by, for a line of progress."""
        bits = self.bits_per_byte
        masked = f"over {self.targets:,} masked tokens"
        return f"perplexity {self.perplexity:.2f}, " + (
            masked if math.isnan(bits) else f"{bits:.3f} bits per byte"
        )

    def __repr__(self) -> str:
        return text_table("Evaluation", FIGURES, figure_rows(self))

    def _repr_html_(self) -> str:
        return card("Evaluation", card_table(FIGURES, figure_rows(self)))


FIGURES = ("figure", "value", "over")
"""What the columns of `figure_rows` are."""


def figure_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return each figure as text, with what it is over: name, value, denominator."""
    pseudo = evaluation.pseudo
    masked = "masked " if evaluation.objective == "masked" and pseudo is None else ""
    tokens, words = f"{evaluation.targets:,} {masked}tokens", f"{evaluation.words:,} words"
    documents, size = f"{evaluation.documents:,} documents", f"{evaluation.bytes:,} bytes"
    low, high = (figure_text(end) for end in evaluation.interval)
    groups = evaluation.groups or {}
    of = evaluation if pseudo is None else pseudo
    kind = "" if pseudo is None else "pseudo-"
    over_text = [
        (f"{kind}word perplexity", of.word_perplexity, words),
        (f"{kind}byte perplexity", of.byte_perplexity, size),
        (f"{kind}bits per byte", of.bits_per_byte, size),
    ]
    told = "" if pseudo is None else f" ({pseudo.metric})"
    summed = []
    if pseudo is not None:
        summed = [("pseudo-log-likelihood", f"{pseudo.log_likelihood:,.1f} nats", tokens)]
    return [
        *summed,
        (f"{kind}perplexity{told}", figure_text(evaluation.perplexity), tokens),
        ("  95% interval", f"{low} to {high}", documents),
        *(
            (name, figure_text(value), over)
            for name, value, over in over_text
            if not math.isnan(value)
        ),
        *(
            (f"perplexity of {name}", figure_text(one.perplexity), f"{one.targets:,} tokens")
            for name, one in groups.items()
        ),
    ]


def summarize(
    scores: DocumentScores,
    objective: Objective = "causal",
    pseudo_metric: PseudoMetric | None = None,
) -> Evaluation:
    """Derive every figure from the scores of the documents.

    Args:
        scores: Of at least one document.
        objective: What the targets were; a masked model has no figures per word or byte.
        pseudo_metric: How each token was hidden, if they were hidden one by one.

    Returns:
        The evaluation.
    """
    nats, targets = float(scores.nats.sum()), int(scores.targets.sum())
    words, size = int(scores.words.sum()), int(scores.bytes.sum())
    count = len(scores.nats)
    mean, error = mean_and_error(scores.nats, scores.targets)
    per_word = exp_or_inf(nats / words) if words else math.nan
    per_byte, bits = exp_or_inf(nats / size), nats / math.log(2) / size
    pseudo = None
    if pseudo_metric is not None:
        pseudo = PseudoFigures(pseudo_metric, -nats, exp_or_inf(mean), per_word, per_byte, bits)
    if objective == "masked":
        per_word = per_byte = bits = math.nan
    return Evaluation(
        nats=nats,
        targets=targets,
        documents=count,
        words=words,
        bytes=size,
        characters=int(scores.characters.sum()),
        perplexity=exp_or_inf(mean),
        word_perplexity=per_word,
        byte_perplexity=per_byte,
        bits_per_byte=bits,
        standard_error=error,
        interval=(exp_or_inf(mean - Z_95 * error), exp_or_inf(mean + Z_95 * error)),
        objective=objective,
        pseudo=pseudo,
    )


def mean_and_error(nats: NDArray[np.float64], sizes: NDArray[np.int64]) -> tuple[float, float]:
    """Return nats per unit and their standard error.

    Args:
        nats: Of each document, ``[D] float64``; or by how much two models differ there.
        sizes: Each document's tokens, words or bytes, ``[D] int64``.

    Returns:
        ``sum(nats) / sum(sizes)``, and the standard error of a ratio estimator with documents as
        the sampling unit, because tokens of one document are not independent. The error is NaN for
        a single document, both are where all sizes are 0.

    Source:
        Cochran 1977, Sampling Techniques, section 6.3 (variance of a ratio).

    Example:
        >>> mean_and_error(np.array([2.0, 4.0]), np.array([1, 2]))
        (2.0, 0.0)
    """
    total = int(sizes.sum())
    if total == 0:
        return math.nan, math.nan
    mean = float(nats.sum()) / total
    count = len(nats)
    if count < 2:
        return mean, math.nan
    residual = nats - mean * sizes
    return mean, math.sqrt(float(residual @ residual) * count / (count - 1)) / total


def exp_or_inf(value: float) -> float:
    """Return e to the value, infinity where no float64 holds it."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
