"""The change that decides whether a model got better, with its interval, in a line of text."""

from __future__ import annotations

import math

from nextfill.core.amounts import amount
from nextfill.evaluation.bootstrap import FEWEST_RESAMPLED, Interval

_HUGE = 1e6


def in_percent(nats_per_token: Interval) -> Interval:
    """Return a change in nats per token as one of the perplexity, in percent."""
    return Interval(*(100 * math.expm1(min(nats, 700.0)) for nats in nats_per_token))


def change_line(nats_per_token: Interval, documents: int) -> str:
    """Return the change of a perplexity in percent with its interval; nothing without one.

    Args:
        nats_per_token: The change, after less before.
        documents: The documents that the interval is over.

    Example:
        >>> change_line(Interval(-0.2, -0.3, -0.1), 40)
        'the perplexity changed by -18.1% (95% interval -25.9 to -9.5%, over 40 documents)'
        >>> change_line(Interval(-0.2, -2.0, -0.1), 2).partition("; ")[2]
        'so few documents make the interval wide'
    """
    if not nats_per_token.has_ends:
        return ""
    value, low, high = map(_percent, in_percent(nats_per_token))
    over = f"{low} to {high}%, over {amount(documents, 'document')}"
    few = "; so few documents make the interval wide" if is_few(documents) else ""
    return f"the perplexity changed by {value}% (95% interval {over}){few}"


def is_few(documents: int) -> bool:
    """Check for so few documents that their interval is wide for that reason alone."""
    return 1 < documents < FEWEST_RESAMPLED


def paired_text(documents: int) -> str:
    """Return what a paired interval is over, as text.

    Example:
        >>> paired_text(40), paired_text(2)
        ('40 documents, paired', '2 documents, paired; few, so it is wide')
    """
    few = "; few, so it is wide" if is_few(documents) else ""
    return f"{amount(documents, 'document')}, paired{few}"


def _percent(value: float) -> str:
    return f"{value:+,.1f}" if abs(value) < _HUGE else f"{value:+.3g}"
