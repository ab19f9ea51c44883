"""Settings of evaluations, of generated text, and of blanks that are filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from nextfill.config.data_settings import Format, TxtMode
from nextfill.config.options import STRICT, option

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


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How text is continued."""

    __pydantic_config__: ClassVar[Any] = STRICT

    max_new_tokens: Annotated[int, Ge(1)] = option(100, "tokens to add at most")
    min_new_tokens: Annotated[int, Ge(0)] = option(0, "tokens to add before the text may end")
    stop: list[Annotated[str, MinLen(1)]] = option(
        list,
        "end the text before this string; may be given several times",
        hint='From Python give a list: stop=["\\n"]',
    )
    num_samples: Annotated[int, Ge(1)] = option(1, "continuations per prompt")
    greedy: bool = option(False, "always take the likeliest token")
    temperature: Annotated[float, Gt(0)] | None = option(
        None,
        "flattens (above 1) or sharpens (below); default: 1",
        hint="For the likeliest token each time: --greedy",
    )
    top_k: Annotated[int, Ge(0)] | None = option(
        None, "sample from the k likeliest tokens; 0 for all; default: 50"
    )
    top_p: Annotated[float, Gt(0), Le(1)] | None = option(
        None, "and from the likeliest that hold this share of probability; default: 0.95"
    )
    min_p: Annotated[float, Ge(0), Le(1)] | None = option(
        None, "and from those at least this share as likely as the likeliest; default: 0, all"
    )
    typical_p: Annotated[float, Gt(0), Le(1)] | None = option(
        None, "and from the most typical that hold this share of probability; default: 1, all"
    )
    repetition_penalty: Annotated[float, Gt(0)] = option(
        1.0, "makes tokens of the text so far less likely (above 1) or more (below)"
    )
    no_repeat_ngram_size: Annotated[int, Ge(0)] = option(
        0, "let no so many tokens in a row occur twice, the prompt's included; 0 for no limit"
    )
    num_beams: Annotated[int, Ge(1)] = option(
        1, "search for the likeliest text with so many beams; samples only where asked to"
    )
    length_penalty: Annotated[float, Ge(-10), Le(10)] | None = option(
        None, "prefers long (above 0) or short (below) texts among the beams; default: 1"
    )
    generation_batch_size: Annotated[int, Ge(1)] = option(
        16, "continuations, or beams, computed at once; in fp32 it changes no text"
    )

    @property
    def sampling(self) -> Mapping[str, float]:
        """What the user said about sampling, by name; that it is said asks for it."""
        names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn at random: not greedily, and with beams only if asked to."""
        return not self.greedy and (self.num_beams == 1 or bool(self.sampling))


@dataclass(frozen=True, kw_only=True)
class PromptsConfig:
    """Prompts that come from a file."""

    __pydantic_config__: ClassVar[Any] = STRICT
    shorthand: ClassVar[str] = "source"

    source: str | None = option(
        None,
        "prompts: anything that --data takes; of .txt and .md, a prompt a line",
        flag="--prompts",
    )
    prompt_field: str | None = option(
        None, "path to the prompt in a record; default: prompt, text, or the only text"
    )
