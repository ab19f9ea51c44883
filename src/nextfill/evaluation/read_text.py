"""A text as a model saw it: what each token cost, and what it thought likelier there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nextfill.rendering.html import Html
from nextfill.rendering.result_cards import card, card_text, token_style


@dataclass(frozen=True)
class ReadToken:
    """A token of a text as a model saw it.

    Args:
        text: What it adds to the text; joined these are the text that the tokens spell.
        nats: Its surprisal; None where it was not predicted.
        other_nats: That by another model, where there is one.
        alternatives: The likeliest tokens in its place and their probabilities, likeliest first.
    """

    text: str
    nats: float | None
    other_nats: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def change(self) -> float | None:
        """Nats more than by the other model; below 0 where this one is the better."""
        if self.nats is None or self.other_nats is None:
            return None
        return self.nats - self.other_nats

    def card_part(self, *, compared: bool) -> tuple[str, str | None, str | None]:
        """Return its text, its style and what the mouse tells, for a card in a notebook."""
        if self.nats is None:
            return self.text, None, None
        told = [f"{self.nats:.2f} nats"]
        if self.change is not None:
            told.append(f"{self.change:+.2f}")
        told += [f"{text!r} {probability:.1%}" for text, probability in self.alternatives]
        return self.text, token_style(self.nats, self.change if compared else None), "; ".join(told)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        alternatives = [{"text": text, "probability": p} for text, p in self.alternatives]
        found = {"text": self.text, "nats": self.nats, "alternatives": alternatives}
        return found if self.other_nats is None else {**found, "other_nats": self.other_nats}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ReadToken:
        """Return what `to_json` made plain."""
        alternatives = tuple((one["text"], one["probability"]) for one in found["alternatives"])
        return cls(found["text"], found["nats"], found.get("other_nats"), alternatives)


def drawn_tokens(tokens: Sequence[ReadToken]) -> list[tuple[ReadToken, int]]:
    """Return tokens as they can be drawn: those that add no letter with the one before them.

    A character of several tokens stands with the first of them, so that the others are nothing that
    could be seen or pointed at; what they cost is added to it.

    Example:
        >>> drawn_tokens([ReadToken("a", 1.0), ReadToken("\u732b", 2.0), ReadToken("", 0.5)])[1]
        (ReadToken(text='\u732b', nats=2.5, other_nats=None, alternatives=()), 2)
    """
    found: list[tuple[ReadToken, int]] = []
    for token in tokens:
        if token.text or not found:
            found.append((token, 1))
            continue
        one, count = found[-1]
        nats, other = _sum(one.nats, token.nats), _sum(one.other_nats, token.other_nats)
        found[-1] = replace(one, nats=nats, other_nats=other), count + 1
    return found


def _sum(first: float | None, second: float | None) -> float | None:
    return first if second is None else second if first is None else first + second


@dataclass(frozen=True)
class ReadText:
    """A text as a model saw it, token by token.

    Args:
        record: Number of its record in the data.
        tokens: Its tokens, the first of them.
        nats: Of all its tokens that were predicted, those that are not shown as well.
        targets: Tokens that were predicted.
        other_nats: Those of another model, where there is one.
        left_out: Tokens after these that are not shown.
        why: Why this text is shown.
    """

    record: int
    tokens: tuple[ReadToken, ...]
    nats: float
    targets: int
    other_nats: float | None = None
    left_out: int = 0
    why: str = ""

    @property
    def mean(self) -> float:
        """Nats per token of the whole text."""
        return self.nats / max(1, self.targets)

    @property
    def change(self) -> float | None:
        """Nats per token more than by the other model; below 0 where this one is the better."""
        if self.other_nats is None:
            return None
        return (self.nats - self.other_nats) / max(1, self.targets)

    def heading(self) -> str:
        """Return why it is shown, which one it is, what it cost, and how that changed."""
        why = f"{self.why}: " if self.why else ""
        change = "" if self.change is None else f" ({self.change:+.3f})"
        return f"{why}record {self.record}, {self.mean:.3f} nats per token{change}"

    def _repr_html_(self) -> str:
        return card("Token by token", self.card_part())

    def card_part(self) -> Html:
        """Return the text in colour, for a card in a notebook."""
        compared = self.other_nats is not None
        tokens = [token.card_part(compared=compared) for token, _ in drawn_tokens(self.tokens)]
        return card_text(self.heading(), tokens)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        other = {} if self.other_nats is None else {"other_nats": self.other_nats}
        return {
            "record": self.record,
            "why": self.why,
            "nats": self.nats,
            "targets": self.targets,
            **other,
            "tokens": [token.to_json() for token in self.tokens],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ReadText:
        """Return what `to_json` made plain."""
        tokens = tuple(map(ReadToken.from_json, found["tokens"]))
        return cls(**{**found, "tokens": tokens})
