"""Plain words on how well a model predicts a text: how many tokens of a hundred it has right.

A token is right where no other was likelier by the model; of those equally likely the first in the
vocabulary counts. Whether a model got better is decided by the interval of its nats, which weighs
every probability, and not by the tokens that it has right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from nextfill.config import Objective
from nextfill.evaluation.bootstrap import Interval

Verdict = Literal["better", "worse", "unclear", "same", "unknown"]
"""Whether predictions changed: ``unclear`` where chance could explain it, ``unknown`` without an
interval, as of a single document."""

SCALES = (100, 1000, 10_000)
"""Numbers of tokens to count the right ones of: the first that shows a difference is taken.

Where there are fewer than the last, all of them come at the end."""


class Hits(NamedTuple):
    """Tokens that a model has right, and all that it predicted."""

    correct: int
    targets: int


class Count(NamedTuple):
    """A number of a sentence.

    Args:
        name: ``of``, the tokens counted from; ``before`` or ``after``, those right among them.
        value: Its exact value.
    """

    name: str
    value: float

    @property
    def text(self) -> str:
        """The nearest whole number, as text."""
        return f"{int(self.value + 0.5):,}"


Words = Sequence[str | Count]
"""A sentence in parts."""


def plain_text(words: Words) -> str:
    """Return a sentence as text.

    Example:
        >>> plain_text(["Of ", Count("of", 1000), " tokens ", Count("after", 421.6), "."])
        'Of 1,000 tokens 422.'
    """
    return "".join(part.text if isinstance(part, Count) else part for part in words)


def verdict_of(change: Interval) -> Verdict:
    """Return the verdict on a change in nats, or in anything else that is better where it is lower.

    Example:
        >>> verdict_of(Interval(-0.2, -0.3, -0.1)), verdict_of(Interval(-0.2, -0.5, 0.1))
        ('better', 'unclear')
        >>> verdict_of(Interval(-0.2)), verdict_of(Interval(0.0))
        ('unknown', 'same')
    """
    if change.value == 0:
        return "same"
    if not change.has_ends:
        return "unknown"
    if change.low <= 0 <= change.high:
        return "unclear"
    return "better" if change.value < 0 else "worse"


def hits_of(event: Mapping[str, Any] | None) -> Hits | None:
    """Return the hits in an evaluation's plain form; None where it has not kept them.

    Example:
        >>> hits_of({"accuracy": 0.25, "targets": 400}), hits_of({"targets": 400})
        (Hits(correct=100, targets=400), None)
    """
    share, targets = ((event or {}).get(key) for key in ("accuracy", "targets"))
    if not isinstance(share, int | float) or not isinstance(targets, int) or not 0 <= share <= 1:
        return None
    return Hits(round(share * targets), targets) if targets > 0 else None


def share_words(hits: Hits, objective: Objective, subject: str = "it") -> list[str | Count]:
    """Return a sentence on how many tokens of a hundred a model has right.

    Example:
        >>> plain_text(share_words(Hits(4217, 10_040), "causal"))
        'Of 100 next tokens it has 42 right.'
        >>> plain_text(share_words(Hits(3, 40_000), "masked"))
        'Of 10,000 hidden tokens it has 1 right.'
    """
    scale = _scale([hits])
    tokens = f" {_tokens(objective, scale)} {subject} has "
    return ["Of ", Count("of", scale), tokens, _right("after", hits, scale), " right."]


def change_words(
    before: Hits | None,
    after: Hits | None,
    verdict: Verdict,
    objective: Objective,
    *,
    subject: str = "it",
    text: str = "your text",
) -> list[str | Count]:
    """Return a sentence on how much better a model predicts a text than before its training.

    Args:
        before: Its hits before training; None leaves out how many of a hundred are right.
        after: The same after.
        verdict: Whether its predictions got better.
        objective: ``causal`` or ``masked``.
        subject: The model, in the middle of a sentence.
        text: The text, likewise.

    Example:
        >>> plain_text(change_words(Hits(340, 1000), Hits(421, 1000), "better", "causal"))
        'It predicts your text better: of 100 next tokens it now has 42 right, before 34.'
        >>> plain_text(change_words(Hits(340, 1000), Hits(342, 1000), "unclear", "masked"))
        'No clear change in how it predicts your text: of 1,000 hidden tokens it now has 342 right, before 340.'
    """  # noqa: E501 - a sentence is a line
    opening = _opening(before, after, verdict, subject, text)
    if before is None or after is None or before.targets != after.targets:
        return [opening, "."]
    scale = _scale([before, after])
    words: list[str | Count] = [f"{opening}: of ", Count("of", scale)]
    now = "has" if before == after else "now has"
    words += [f" {_tokens(objective, scale)} it {now} ", _right("after", after, scale), " right, "]
    if before == after:
        return [*words, "as before."]
    return [*words, "before ", _right("before", before, scale), "."]


def _opening(
    before: Hits | None, after: Hits | None, verdict: Verdict, subject: str, text: str
) -> str:
    if verdict in ("better", "worse"):
        gained = 0 if before is None or after is None else after.correct - before.correct
        against = gained <= 0 if verdict == "better" else gained >= 0
        aside = ", though not by its first guesses" if against and before and after else ""
        lead = "It" if subject == "it" else subject
        return f"{lead} predicts {text} {verdict}{aside}"
    what = {
        "same": "No change",
        "unclear": "No clear change",
        "unknown": "Too few documents to tell chance from a change",
    }[verdict]
    return f"{what} in how {subject} predicts {text}"


def comparison_words(
    models: tuple[str, str],
    hits: tuple[Hits, Hits] | None,
    verdict: Verdict,
    objective: Objective,
) -> list[str | Count]:
    """Return a sentence on which of two models predicts a text better.

    Args:
        models: Their names; the verdict is that on the second.
        hits: Their hits; None where they do not predict the same tokens.
        verdict: Whether the second is better.
        objective: ``causal`` or ``masked``.

    Example:
        >>> hits = Hits(340, 1000), Hits(421, 1000)
        >>> plain_text(comparison_words(("a", "b"), hits, "better", "causal"))
        'b predicts the text better than a: of 100 next tokens it has 42 right, and a has 34.'
        >>> plain_text(comparison_words(("a", "b"), None, "unclear", "causal"))
        'Chance could explain what differs between a and b in predicting the text.'
    """
    first, second = models
    opening = {
        "same": f"{second} predicts the text as {first} does",
        "unclear": f"Chance could explain what differs between {first} and {second} in predicting "
        "the text",
        "unknown": f"Too few documents to tell chance from what differs between {first} and "
        f"{second} in predicting the text",
    }.get(verdict, f"{second} predicts the text {verdict} than {first}")
    if hits is None:
        return [opening, "."]
    theirs, own = hits
    gained = own.correct - theirs.correct
    if (verdict == "better" and gained <= 0) or (verdict == "worse" and gained >= 0):
        opening += ", though not by first guesses"
    scale = _scale(hits)
    who = "it" if verdict in ("better", "worse", "same") else second
    words: list[str | Count] = [f"{opening}: of ", Count("of", scale)]
    words += [f" {_tokens(objective, scale)} {who} has ", _right("after", own, scale), " right, "]
    if own == theirs:
        return [*words, f"and so has {first}."]
    return [*words, f"and {first} has ", _right("before", theirs, scale), "."]


def _tokens(objective: Objective, number: int) -> str:
    kind = "hidden" if objective == "masked" else "next"
    return f"{kind} token{'' if number == 1 else 's'}"


def _right(name: str, hits: Hits, scale: int) -> Count:
    return Count(name, scale * hits.correct / hits.targets)


def _scale(every: Sequence[Hits]) -> int:
    """Return how many tokens to count the right ones of.

    It is the smallest number on which different shares look different, and neither few look like
    none nor many like all, as far as 10,000; never more than there are.
    """
    fewest = min(hits.targets for hits in every)
    scales = [scale for scale in SCALES if scale <= fewest]
    scales += [fewest] if fewest < SCALES[-1] else []
    return next((scale for scale in scales if _tells(every, scale)), scales[-1])


def _tells(every: Sequence[Hits], scale: int) -> bool:
    shown = [int(scale * hits.correct / hits.targets + 0.5) for hits in every]
    for hits, number in zip(every, shown, strict=True):
        if number == 0 < hits.correct or (number == scale and hits.correct < hits.targets):
            return False
    return len(set(shown)) == len({hits.correct for hits in every})
