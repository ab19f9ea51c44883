"""How texts are coloured by what their tokens cost: the same steps at a terminal and on a page."""

from __future__ import annotations

from collections.abc import Sequence

COST_LEVELS = (0.5, 1.5, 3.0, 5.0, 8.0)
"""Nats from which on a token is given the next deeper colour."""

CHANGE_LEVELS = (0.25, 1.0, 2.5)
"""Nats of change, either way, from which on it is given the next deeper colour."""

COST_SHARES = (0, 14, 32, 52, 75, 100)
"""How much of the colour each level has, in percent of the deepest."""

CHANGE_SHARES = (0, 26, 64, 95)


def level(nats: float, levels: Sequence[float]) -> int:
    """Return how many levels a value has reached.

    Args:
        nats: The value.
        levels: Where each next level begins, ascending.

    Example:
        >>> level(2.0, COST_LEVELS)
        2
    """
    return sum(nats >= each for each in levels)


def background(nats: float, change: float | None) -> str | None:
    """Return the style of a token: dear ones orange, or what changed blue and orange.

    Args:
        nats: What it costs.
        change: How much more than before, where that is what is shown.

    Example:
        >>> background(9.0, -3.0)
        'background:color-mix(in srgb,var(--nf-1) 57%,transparent)'
    """
    if change is None:
        share, colour = COST_SHARES[level(nats, COST_LEVELS)], 2
    else:
        share, colour = CHANGE_SHARES[level(abs(change), CHANGE_LEVELS)], 1 if change < 0 else 2
    if not share:
        return None
    line = ";text-decoration:underline dotted" if change is not None and change > 0 else ""
    return f"background:color-mix(in srgb,var(--nf-{colour}) {0.6 * share:.0f}%,transparent){line}"


def page_rules() -> str:
    """Return the rules of CSS that colour the tokens of a page, one for each step of each view.

    Example:
        >>> page_rules().splitlines()[0]
        '.tokens[data-view="after"] .a1{background:color-mix(in srgb,var(--nf-2) \
calc(var(--most)*14%),transparent)}'
    """
    costs = {'[data-view="after"] .a': 2, '[data-view="before"] .b': 2, " .key .c": 2}
    changes = {
        '[data-view="change"] .g': 1,
        " .key .g": 1,
        '[data-view="change"] .w': 2,
        " .key .w": 2,
    }
    rules = [
        f".tokens{place}{step}{{background:color-mix(in srgb,var(--nf-{colour}) "
        f"calc(var(--most)*{share}%),transparent)}}"
        for places, shares in ((costs, COST_SHARES), (changes, CHANGE_SHARES))
        for place, colour in places.items()
        for step, share in enumerate(shares)
        if share
    ]
    return "\n".join(rules) + "\n"
