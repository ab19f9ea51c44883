"""Settings of tokenizers that are trained or looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le, Lt

from nextfill.config.data_settings import DataConfig
from nextfill.config.options import STRICT, option

TokenizerKind = Literal["bpe", "wordpiece"]


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig:
    """What a new tokenizer is like."""

    __pydantic_config__: ClassVar[Any] = STRICT

    kind: TokenizerKind = option(
        "bpe", "bpe, on bytes, gives every text back as it was; wordpiece is BERT's"
    )
    vocab_size: Annotated[int, Ge(1), Le(1_000_000)] = option(
        8192, "entries, special tokens included"
    )
    min_frequency: Annotated[int, Ge(0), Lt(2**31)] = option(
        2, "times that two pieces have to stand together to become one"
    )
    lowercase: bool = option(False, "wordpiece: write everything in lower case, without accents")


@dataclass(frozen=True, kw_only=True)
class TrainTokenizerConfig:
    """Everything `nextfill tokenizer train` does."""

    __pydantic_config__: ClassVar[Any] = STRICT

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, as in nextfill train")
    out: str | None = option(None, "folder of the tokenizer, new or empty")
    cache_dir: str | None = option(
        None, "where data handed over from Python are kept; default: ~/.cache/nextfill"
    )
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True, kw_only=True)
class NamedConfig:
    """How what is named before the flags is found on the Hub, and opened."""

    __pydantic_config__: ClassVar[Any] = STRICT

    revision: str | None = option(None, "branch, tag or commit on the Hub")
    trust_remote_code: bool = option(False, "run code that comes with it (unsafe)")


@dataclass(frozen=True, kw_only=True)
class InspectTokenizerConfig:
    """Everything `nextfill tokenizer inspect` does."""

    __pydantic_config__: ClassVar[Any] = STRICT

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, as in nextfill train")
    examples: Annotated[int, Ge(0), Le(1000)] = option(10, "words and tokens that are listed")
    cache_dir: str | None = option(
        None, "where data handed over from Python are kept; default: ~/.cache/nextfill"
    )
    model: NamedConfig = field(default_factory=NamedConfig)
    data: DataConfig = field(default_factory=DataConfig)
