"""Settings of evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Lt

from nextfill.config.data import Format, TxtMode
from nextfill.settings import STRICT, option

Scope = Literal["all", "held-out", "own"]
"""Which documents are scored: all, those that a run would hold out, or those that a run did."""

PseudoMetric = Literal["original", "within-word"]
"""Which tokens are hidden with the one that is predicted: none, or the rest of its word."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Further text to evaluate on beside the held-out part, such as what may be forgotten."""

    __pydantic_config__: ClassVar[Any] = STRICT
    shorthand: ClassVar[str] = "source"

    source: str
    streaming: bool = False
    split: str | None = None
    text_field: str | None = None
    join: str | None = None
    explode: bool = False
    format: Format | None = None
    txt: TxtMode | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How held-out documents are scored, and what else is."""

    __pydantic_config__: ClassVar[Any] = STRICT
    named_tables: ClassVar[str] = "sets"
    """The field that sub-tables of other names belong to: [evaluation.general]."""

    stride: Annotated[int, Ge(1)] | None = option(
        None,
        "new targets per further window of a long document; default: windows follow one another, "
        "the last reaching back to be full",
    )
    start_token: bool = option(
        True, "begin each document with the start token, so that its first token is scored, too"
    )
    eval_batch_size: Annotated[int, Ge(1)] = option(32, "windows per forward pass")
    by: str | None = option(
        None, "also tell the figures of each group of documents, by this field: category, say"
    )
    drop_leaks: bool = option(
        False, "leave documents out that also stand in the training data, exactly or nearly"
    )
    mask_seed: Annotated[int, Ge(0), Lt(2**63)] = option(
        0, "seeds the masks of evaluations, which are the same for every model and seed"
    )
    sets: dict[str, EvaluationSet] = option(
        dict, "further sets by name: --set evaluation.general=builtin:stdlib-docs", flag=""
    )
