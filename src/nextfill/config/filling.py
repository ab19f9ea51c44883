"""Settings of what is put into the blanks of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, MinLen

from nextfill.settings import STRICT, option


@dataclass(frozen=True, kw_only=True)
class FillingConfig:
    """How blanks are filled."""

    __pydantic_config__: ClassVar[Any] = STRICT

    top_k: Annotated[int, Ge(1)] = option(5, "answers for each blank, likeliest first")
    targets: list[Annotated[str, MinLen(1)]] = option(
        list,
        "compare this word with the other targets alone; may be given several times",
        hint='From Python give a list: targets=["spiral", "dwarf"]',
    )
    answer_tokens: Annotated[int, Ge(1)] = option(
        1, "tokens of an answer at most; above 1 --top-k beams search for it"
    )
    fill_batch_size: Annotated[int, Ge(1)] = option(
        32, "texts, or beams, computed at once; in fp32 it changes no answer"
    )
