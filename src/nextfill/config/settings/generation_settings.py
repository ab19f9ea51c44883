"""Settings of generated text: continuations, middles, and answers to blanks.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from nextfill.config.bounds import Ge, Gt, Le, MinLen
from nextfill.config.options import Section, option

SuffixOrder = Literal["psm", "spm"]


@dataclass(frozen=True, kw_only=True, repr=False)
class FillingConfig(Section):
    """How blanks are filled."""

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


@dataclass(frozen=True, kw_only=True, repr=False)
class GenerationConfig(Section):
    """How text is continued."""

    max_new_tokens: Annotated[int, Ge(1)] = option(100, "tokens to add at most")
    min_new_tokens: Annotated[int, Ge(0)] = option(0, "tokens to add before the text may end")
    stop: list[Annotated[str, MinLen(1)]] = option(
        list,
        "end the text before this string; may be given several times",
        hint='From Python give a list: stop=["\\n"]',
    )
    suffix: str | None = option(
        None,
        "text after the prompt: what stands between the two is filled in, by a model that was "
        "trained for it (--fim-rate)",
    )
    suffix_order: SuffixOrder = option(
        "psm", "what the model reads first of the two: psm, the prompt; spm, the suffix"
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
        """The explicit settings of sampling by name; any of them asks for sampling."""
        names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def samples(self) -> bool:
        """Whether tokens are random draws; with beams only by an explicit setting of sampling."""
        return not self.greedy and (self.num_beams == 1 or bool(self.sampling))


@dataclass(frozen=True, kw_only=True, repr=False)
class PromptsConfig(Section):
    """Prompts that come from a file."""

    shorthand: ClassVar[str] = "source"

    source: str | None = option(
        None,
        "prompts: anything that --data takes; of .txt and .md, a prompt a line",
        flag="--prompts",
        hint="It names a file; texts themselves follow the model, generate(MODEL, TEXTS)",
    )
    prompt_field: str | None = option(
        None, "path to the prompt in a record; default: prompt, text, or the only text"
    )
