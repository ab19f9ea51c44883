"""Rules of infilling's settings: what they need, and what does not go with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nextfill.config import BlockSettings, TrainConfig
from nextfill.config.options import Assignment

_SECTION = "infilling"


def infilling_problems(
    config: TrainConfig | BlockSettings, layer: Sequence[Assignment]
) -> Iterator[str]:
    """Yield the contradictions between settings of infilling, a layer in normal form.

    Example:
        >>> layer = [Assignment(("infilling", "spm_rate"), 0.9, "--fim-spm-rate")]
        >>> print(*infilling_problems(TrainConfig(), layer))
        --fim-spm-rate is of infilling: give --fim-rate 0.5, too, or leave it out.
    """
    rate = config.infilling.rate
    typed = [one.label for one in layer if one.path[0] == _SECTION and one.path[-1] != "rate"]
    if not rate:
        for label in dict.fromkeys(typed):
            yield f"{label} is of infilling: give --fim-rate 0.5, too, or leave it out."
        return
    flag = f"--fim-rate {rate:g}"
    if config.objective == "masked":
        yield f"{flag} is for causal models, and a masked one fills in blanks anyway: leave it out."
    if not config.blocks.end_of_document:
        yield (
            f"{flag} needs the tokenizer's end token after each middle, by which a model learns "
            "where to stop: leave --no-end-of-document out."
        )
    each = config.data.each
    if any(one.context_field is not None for one in each):
        yield (
            f"{flag} moves parts of a whole text, and nothing is learnt of a --context-field: "
            "leave that out, or give --fim-rate 0."
        )
