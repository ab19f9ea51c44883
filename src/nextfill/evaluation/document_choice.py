"""Which documents of an evaluation are worth showing token by token."""

from __future__ import annotations

import numpy as np

from nextfill.evaluation.scores import DocumentScores

FEWEST_TARGETS = 16
"""Tokens of a document below which its mean says little; shorter ones where more are asked for."""

COSTS_MOST, COSTS_LEAST = "costs most", "costs least"


def choose_documents(
    scores: DocumentScores, others: DocumentScores | None, number: int
) -> dict[int, str]:
    """Choose documents from both ends of how they differ.

    Returns:
        Their numbers, and why each was chosen: those that gained most against the other model,
        most first, then those that lost most, or gained least; or those that cost most and least.
        What counts is nats per token.

    Example:
        >>> ones = np.full(3, 20)
        >>> cheap, dear = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 9.0])
        >>> made = lambda nats: DocumentScores(np.arange(3), nats, *[ones] * 5)
        >>> choose_documents(made(cheap), made(dear), 2)
        {2: 'gained most', 1: 'as before'}
    """
    if others is not None:
        shared = np.intersect1d(scores.document, others.document)
        scores = scores[np.isin(scores.document, shared)]
        others = others[np.isin(others.document, shared)]
    number = min(number, len(scores.targets))
    if number == 0:
        return {}
    long = scores.targets >= min(FEWEST_TARGETS, int(np.sort(scores.targets)[-number]))
    scores, others = scores[long], others and others[long]
    more = (scores.nats if others is None else scores.nats - others.nats) / scores.targets
    order = np.argsort(more, kind="stable")
    first, last = order[: (number + 1) // 2], order[::-1][: number // 2]
    if others is None:  # what is hard is looked at first
        first, last = order[::-1][: (number + 1) // 2], order[: number // 2]
        return dict.fromkeys(scores.document[first].tolist(), COSTS_MOST) | dict.fromkeys(
            scores.document[last].tolist(), COSTS_LEAST
        )
    return {
        int(scores.document[at]): _why(float(more[at]), most_gained=at in first)
        for at in np.concatenate([first, last]).tolist()
    }


def _why(change: float, *, most_gained: bool) -> str:
    """Say what a document stands for: at one end are those that gained most."""
    if change == 0:
        return "as before"
    if most_gained:
        return "gained most" if change < 0 else "lost least"
    return "lost most" if change > 0 else "gained least"
