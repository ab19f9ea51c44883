"""Settings of masked language modelling: which tokens are hidden, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt

from nextfill.settings import STRICT, option

MaskingUnit = Literal["token", "word", "span"]


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """What a masked model has to fill in; a causal one leaves all this alone."""

    __pydantic_config__: ClassVar[Any] = STRICT

    unit: MaskingUnit = option(
        "token", "hide single tokens, whole words, or spans of 1 to 10 words", flag="--masking"
    )
    rate: Annotated[float, Gt(0), Lt(1)] = option(
        0.15, "share of the tokens that have to be filled in", flag="--mask-rate"
    )
    rate_start: Annotated[float, Gt(0), Lt(1)] | None = option(
        None,
        "share at the first step of training, from which it goes evenly to --mask-rate",
        flag="--mask-rate-start",
    )
    mask_share: Annotated[float, Ge(0), Le(1)] = option(
        0.8, "share of them that the mask token replaces"
    )
    random_share: Annotated[float, Ge(0), Le(1)] = option(
        0.1, "share of them that a random token replaces; the rest stay as they are"
    )
