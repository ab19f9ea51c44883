"""The base of a run that was held in 4 bits, as its events record it, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.core.amounts import amount
from nextfill.evaluation.figures import Evaluation
from nextfill.rendering.result_cards import figure_text

QUANTIZATION = "quantization"
"""Name of the event that records it."""


@dataclass(frozen=True)
class QuantizedBase:
    """The weights below a run's adapter that were held in 4 bits.

    The run's figures before and after training are both of the model with them, like with like.

    Args:
        type: How a number is held: ``nf4``.
        layers: Number of the linear layers that are held so.
        weights: Number of their weights.
        bytes_before: Bytes that these took in float32.
        bytes_now: Bytes that they take, their scales with them.
        left: The linear layers that stay whole, the head's among them, by the ends of their names
            where these name no other.
        without: The figures of the model with whole weights, before training, on the held-out
            documents; None of a base that an adapter was trained over before.
    """

    type: str
    layers: int
    weights: int
    bytes_before: int
    bytes_now: int
    left: Sequence[str]
    without: Evaluation | None

    def lines(self, before: Evaluation | None) -> list[str]:
        """Return sentences on the weights in 4 bits, and on what holding them so cost.

        Args:
            before: The figures of the model in 4 bits, before training.
        """
        lines = [
            f"{amount(self.weights, 'weight')} of {amount(self.layers, 'linear layer')} are held "
            f"in 4 bits ({self.type}): {self.bytes_now / 1e6:,.1f} MB in place of "
            f"{self.bytes_before / 1e6:,.1f} MB"
        ]
        if self.without is None or before is None:
            return lines
        return [*lines, cost_line(self.without.perplexity, before.perplexity)]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        without = None if self.without is None else self.without.to_json()
        return {**asdict(self), "left": list(self.left), "without": without}


def cost_line(whole: float, held: float) -> str:
    """Return a sentence on what holding weights in 4 bits costs.

    Args:
        whole: The perplexity with whole weights, before training.
        held: The same in 4 bits.

    Example:
        >>> print(cost_line(80.0, 82.0).partition(";")[0].partition(", ")[2])
        80.000 with whole weights (+2.50%)
    """
    return (
        f"cost of the 4 bits: perplexity {figure_text(held)} before training, "
        f"{figure_text(whole)} with whole weights ({held / whole - 1:+.2%}); before and after are "
        "both in 4 bits"
    )


def quantized_base_of(event: Mapping[str, Any], without: Evaluation | None) -> QuantizedBase:
    """Return the base of an event, with the figures of the model with whole weights."""
    return QuantizedBase(
        type=event["type"],
        layers=event["layers"],
        weights=event["weights"],
        bytes_before=event["bytes_before"],
        bytes_now=event["bytes_now"],
        left=tuple(event["left"]),
        without=without,
    )
