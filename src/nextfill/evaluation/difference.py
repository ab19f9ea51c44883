"""By how much a model differs from another on the same documents."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from nextfill.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Difference:
    """By how much a model differs from another on the documents that both were scored on.

    Args:
        first: The one.
        second: The other; differences are its figure less the first one's, and so below 0 where
            it is better.
        documents: Documents.
        better: Of these, how many cost the second fewer nats.
        bits_per_byte: With a 95% interval over documents; None where a model scores a part of the
            text only.
        nats_per_token: The same; None where the tokens are not the same ones.
        winner: The better one, None where the interval holds 0.
    """

    first: str
    second: str
    documents: int
    better: int
    bits_per_byte: Interval | None
    nats_per_token: Interval | None
    winner: str | None

    @property
    def perplexity_percent(self) -> Interval | None:
        """By how many percent perplexities per token differ, where the tokens are the same."""
        if self.nats_per_token is None:
            return None
        return Interval(*(100 * math.expm1(min(nats, 700.0)) for nats in self.nats_per_token))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data: differences as value, low and high."""
        found: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        found["perplexity_percent"] = self.perplexity_percent
        return {
            key: value._asdict() if isinstance(value, Interval) else value
            for key, value in found.items()
        }

    def told(self) -> tuple[str, str, str]:
        """Return the difference as text, its interval, and what it says of the second model."""
        percent, bits = self.perplexity_percent, self.bits_per_byte
        told, interval = "", ""
        if percent is not None:
            told, interval = f"{percent.value:+.1f}%", f"{percent.low:+.1f} to {percent.high:+.1f}"
        elif bits is not None:
            told, interval = f"{bits.value:+.4f}", f"{bits.low:+.4f} to {bits.high:+.4f}"
        if self.documents < 2:
            interval = "unknown"
        return (
            told,
            interval,
            {self.second: "better", self.first: "worse"}.get(self.winner or "", "unclear"),
        )
