"""The special tokens of infilling: found in a tokenizer, recorded in it, and put around text.

No two families of models spell them alike, and a tokenizer does not say which of its tokens they
are. So they are known here by their names, or named by the user; and a tokenizer that a model was
trained with says them in its ``tokenizer_config.json``, which transformers keeps and reads back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from nextfill.core.errors import ConfigError
from nextfill.core.shell_command import shell_word
from nextfill.data.store.tokenizer_backend import TokenizerFacts

T = TypeVar("T")

KNOWN: Sequence[tuple[str, str, str, str | None]] = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", None),  # Qwen Coder, CodeGemma, Yi
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>", None),  # StarCoder, Granite, StableCode
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>", None),  # SantaCoder
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", "\u2581<EOT>"),  # Code Llama
    ("<PRE>", "<SUF>", "<MID>", "<EOT>"),  # as the paper writes them
    (
        "<\uff5cfim\u2581begin\uff5c>",
        "<\uff5cfim\u2581hole\uff5c>",
        "<\uff5cfim\u2581end\uff5c>",
        None,
    ),  # DeepSeek Coder
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", None),  # CodeGeeX, GLM
    ("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", None),  # Seed Coder
)
"""Prefix, suffix, middle, and the token that ends a middle, where that is not the text's end."""

RECORD = "fim_tokens"
"""Their key in a tokenizer's configuration."""

_PARTS = ("prefix", "suffix", "middle")


@dataclass(frozen=True)
class InfillingTokens:
    """Ids of the tokens of infilling, and their names.

    Args:
        prefix: Stands before a prefix.
        suffix: Stands before a suffix.
        middle: Stands before a middle.
        end: Stands after a middle, before the end of the text; None in most tokenizers.
        names: Their texts: prefix, suffix, middle, and end where there is one.
    """

    prefix: int
    suffix: int
    middle: int
    end: int | None
    names: tuple[str, ...]

    @property
    def ids(self) -> frozenset[int]:
        """All of them, none of which a middle holds."""
        every = (self.prefix, self.suffix, self.middle, self.end)
        return frozenset(one for one in every if one is not None)

    def around(
        self, pieces: tuple[T, T, T], join: Callable[[int], T], *, suffix_first: bool
    ) -> list[T]:
        """Return the parts of a text in the order of a training document.

        Args:
            pieces: Prefix, middle and suffix.
            join: Makes a part of a single token.
            suffix_first: Suffix, prefix, middle (SPM), and not prefix, suffix, middle (PSM).

        Source:
            Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle";
            with the suffix first it is the form of appendix D, in which the middle follows the
            prefix with nothing between them, as models that are trained in both orders have it.
        """
        before, middle, after = pieces
        end = [] if self.end is None else [join(self.end)]
        return [*self.opening(before, after, join, suffix_first=suffix_first), middle, *end]

    def opening(
        self, before: T, after: T, join: Callable[[int], T], *, suffix_first: bool
    ) -> list[T]:
        """Return the parts that a middle follows."""
        if suffix_first:
            return [join(self.prefix), join(self.suffix), after, join(self.middle), before]
        return [join(self.prefix), before, join(self.suffix), after, join(self.middle)]


def find_infilling_tokens(tokenizer: Any, named: str | None = None) -> InfillingTokens | None:
    """Return a tokenizer's tokens of infilling; None if it has none by the names that are known.

    Args:
        tokenizer: A transformers tokenizer, or the facts of one.
        named: The user's own names, ``PREFIX,SUFFIX,MIDDLE``, before those on record.

    Raises:
        ConfigError: The user's names are not three tokens of this tokenizer.
    """
    if isinstance(tokenizer, TokenizerFacts):
        tokenizer = tokenizer.load()
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    if named is not None:
        return _ids(_check_names(named, vocabulary), None, vocabulary)
    recorded = getattr(tokenizer, "init_kwargs", {}).get(RECORD)
    if isinstance(recorded, Mapping):
        names = tuple(str(recorded.get(part)) for part in _PARTS)
        end = recorded.get("end")
        if all(name in vocabulary for name in names) and (end is None or end in vocabulary):
            return _ids(names, end, vocabulary)
    for *known, end in KNOWN:
        if all(name in vocabulary for name in known):
            return _ids(known, end if end in vocabulary else None, vocabulary)
    return None


def is_recorded(tokenizer: Any) -> bool:
    """Return whether a tokenizer says its tokens of infilling, as one that we trained with does."""
    return isinstance(getattr(tokenizer, "init_kwargs", {}).get(RECORD), Mapping)


def record_infilling_tokens(tokenizer: Any, tokens: InfillingTokens) -> None:
    """Have a tokenizer say its tokens of infilling wherever it is saved."""
    parts = (*_PARTS, "end")[: len(tokens.names)]
    tokenizer.init_kwargs[RECORD] = dict(zip(parts, tokens.names, strict=True))


def no_tokens(flag: str, name: str, *, can_add: bool) -> ConfigError:
    """Return the error of a tokenizer without the tokens of infilling."""
    own = "name them with --fim-tokens PREFIX,SUFFIX,MIDDLE"
    add = " ".join(f"--add-tokens {shell_word(token)}" for token in KNOWN[0][:3])
    remedy = f"give it some: {add}. Or, if it has others, {own}."
    if not can_add:
        remedy = f"give another --tokenizer, or, if it has others, {own}."
    return ConfigError(
        [
            f"{flag}: the tokenizer of {name} has no tokens that mark a prefix, a suffix and a "
            f"middle, such as {KNOWN[0][0]}: {remedy}"
        ]
    )


def _check_names(named: str, vocabulary: Mapping[str, int]) -> list[str]:
    names = [name.strip() for name in named.split(",")]
    if len(names) != len(_PARTS) or len({*names}) != len(_PARTS) or not all(names):
        raise ConfigError(
            [
                f"--fim-tokens {shell_word(named)}: expected three tokens, those before a prefix, "
                f"a suffix and a middle: --fim-tokens {shell_word(','.join(KNOWN[0][:3]))}"
            ]
        )
    if missing := [name for name in names if name not in vocabulary]:
        verb = "is no token" if len(missing) == 1 else "are no tokens"
        raise ConfigError(
            [
                f"--fim-tokens: {', '.join(missing)} {verb} of the tokenizer: name three that it "
                "has, or leave this out."
            ]
        )
    return names


def _ids(names: Sequence[str], end: str | None, vocabulary: Mapping[str, int]) -> InfillingTokens:
    prefix, suffix, middle = (vocabulary[name] for name in names)
    last = None if end is None else vocabulary[end]
    return InfillingTokens(prefix, suffix, middle, last, (*names, *([] if end is None else [end])))
