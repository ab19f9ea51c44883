"""Settings of text: its sources, the held-out part, blocks of tokens, masks, vocabulary.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from nextfill.config.bounds import Ge, Gt, Le, Lt
from nextfill.config.options import Section, option

TxtMode = Literal["paragraph", "line", "file"]
Format = Literal[
    "txt",
    "md",
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "arrow",
    "docx",
    "odt",
    "epub",
    "html",
    "rtf",
    "pdf",
]
Packing = Literal["concat", "best-fit", "pad"]

DEFAULT_BLOCK_SIZE = 256
"""Tokens per block, unless the user sets another number or the model has fewer positions."""


MOST_POSITIONS = 2**24
"""Tokens of a row, more than any model has positions for."""


@dataclass(frozen=True, kw_only=True, repr=False)
class DataConfig(Section):
    """Which text, which part of each record, and what is held out.

    From Python, ``data=[DataConfig(source="a.jsonl", text_field="body"), ...]`` names several.
    What one of them says holds for it, be it the default; what it leaves open is as it is said for
    all: ``explode=False`` is not the same as nothing.
    """

    shorthand: ClassVar[str] = "source"
    listed_tables: ClassVar[str] = "sources"

    source: str = option(
        "builtin:torch-docs",
        "file (.txt .md .docx .odt .rtf .html .epub .pdf .jsonl .json .csv .tsv .parquet .arrow, "
        "each also .gz .zst .xz .bz2), folder, quoted glob, .zip, - (standard input), address "
        "(web, s3://, gs://, hf://), Hub id, or builtin:NAME",
        flag="--data",
    )
    streaming: bool = option(
        False, "train on text as it comes, without reading, or downloading, all of it first"
    )
    portion_size: Annotated[float, Gt(0)] = option(
        16.0,
        "streaming: million characters whose blocks are shuffled together, and that are read ahead",
    )
    split: str | None = option(
        None,
        "slice of the data, such as 'train[:5000]'; default: train",
        hint="Give one text: several splits are joined by a plus sign, 'train+validation'",
    )
    text_field: str | None = option(
        None,
        "path to the text in a record, such as answers.text",
        hint="One field is taken: join several in the records, as one field, and name that",
    )
    context_field: str | None = option(
        None,
        "path to a text that comes before it and is not learnt, such as question; default: prompt, "
        "where records have prompt and completion",
    )
    join: str | None = option(
        None, "what joins a list of texts; default: a space, or a blank line for built-in corpora"
    )
    explode: bool = option(False, "make each text of a list a document of its own")
    keep_fields: list[str] = option(
        list,
        "a field to keep beside the text, for figures by group; may be given again",
        hint='From Python, and in a recipe, give a list: keep_fields = ["label"]',
    )
    format: Format | None = option(
        None, "format of every file of --data; default: as its name, or standard input, tells"
    )
    encoding: str | None = option(
        None,
        "encoding of the text files that are not UTF-8, such as cp1252; default: detected",
    )
    txt: TxtMode | None = option(
        None,
        "what a document is in plain text; default: paragraph in a single .txt file, else file",
    )
    test_size: Annotated[float, Gt(0)] | None = option(
        None, "held-out share (below 1) or number of records; default: 0.1, or the data's own part"
    )
    validation_size: Annotated[float, Gt(0)] | None = option(
        None,
        "share (below 1) or number of training records set apart to choose the best step by; "
        "default: 0.05 where --keep best or --early-stopping needs them",
    )
    weight: Annotated[float, Gt(0)] | None = option(
        None,
        "of one source among several: its share of an epoch's blocks; those without one share "
        "what the others leave, by their size",
        flag="",
    )
    repeat: Annotated[float, Gt(0)] | None = option(
        None,
        "of one source among several: how many times an epoch takes its blocks; default: once",
        flag="",
    )
    eval_source: str | None = option(None, "data to evaluate on, not split off", flag="--eval-data")
    eval_split: str | None = option(None, "slice of the evaluation data")
    verify: bool = option(
        False,
        "read local files and token stores again to see that they are as before, though their "
        "times are",
    )
    sources: list["DataConfig"] = option(
        list, "several sources, each with settings of its own: [[data]] in a recipe", flag=""
    )

    def __new__(cls, **settings: Any) -> Self:
        """Remember which settings were explicit."""
        made = super().__new__(cls)
        object.__setattr__(made, "_explicit", tuple(settings))
        return made

    @property
    def explicit(self) -> dict[str, Any]:
        """The settings that were passed to the constructor, or differ from their defaults."""
        names = getattr(self, "_explicit", ())
        if len(names) == len(fields(self)):  # nobody writes all; dataclasses.replace does
            names = ()
        plain = DataConfig()
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {k: v for k, v in values.items() if k in names or v != getattr(plain, k)}

    @property
    def each(self) -> tuple["DataConfig", ...]:
        """The sources one by one, each with the settings of them all."""
        return tuple(self.sources) or (self,)

    def keeping(self, field: str | None) -> Self:
        """Return the settings with a further field kept beside the text."""
        if field is None:
            return self
        own = self.keep_fields if field in self.keep_fields else [*self.keep_fields, field]
        sources = [one.keeping(field) for one in self.sources]
        return replace(self, keep_fields=own, sources=sources)

    @property
    def name(self) -> str:
        """The name of the data in messages."""
        first, *others = [one.source for one in self.each]
        return f"{first} and {len(others)} more" if others else first


@dataclass(frozen=True, kw_only=True, repr=False)
class BlocksConfig(Section):
    """How documents become rows of tokens."""

    block_size: Annotated[int, Ge(2), Le(MOST_POSITIONS)] | None = option(
        None, "tokens per row; default: 256, or the model's positions where those are fewer"
    )
    packing: Packing = option("best-fit", "best-fit keeps documents whole where they fit")
    end_of_document: bool = option(
        True, "put the tokenizer's start and end tokens around each document"
    )
    isolate: bool = option(True, "keep packed documents from seeing one another")
    window_rows: Annotated[int, Ge(1)] | None = option(
        None, "concat within windows of this many rows and drop each tail, as the guide does"
    )


REPLAY = "replay"
"""The evaluation set that the held-out part of the general text is."""

DEFAULT_REPLAY = 0.05
"""Share of the training blocks that are of general text, where some is named and no share."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ReplayConfig(Section):
    """General text that is mixed back in, so that less of it is forgotten."""

    shorthand: ClassVar[str] = "share"

    share: Annotated[float, Gt(0), Lt(1)] | None = option(
        None,
        "share of the training blocks that are of general text, against forgetting it; what is "
        "forgotten is measured on a part of that text, the evaluation set replay; default: 0.05 "
        "where there is --replay-data",
        flag="--replay",
        hint="Give a share of the blocks, such as 0.05",
    )
    source: str | None = option(
        None, "the general text, such as builtin:stdlib-docs", flag="--replay-data"
    )
    split: str | None = option(None, "slice of it, such as 'train[:5000]'", flag="--replay-split")
    text_field: str | None = option(
        None, "path to the text in its records", flag="--replay-text-field"
    )
    test_size: Annotated[float, Gt(0)] | None = option(
        None,
        "share (below 1) or number of its records that are scored, and not trained on; "
        "default: as --test-size",
        flag="--replay-test-size",
    )

    @property
    def sets(self) -> tuple[str, ...]:
        """The evaluation set of general text, if there is any."""
        return () if self.source is None else (REPLAY,)

    @property
    def share_of_blocks(self) -> float | None:
        """The share of the training blocks that are of general text; None without any."""
        return None if self.source is None else self.share or DEFAULT_REPLAY


MaskingUnit = Literal["token", "word", "span"]


@dataclass(frozen=True, kw_only=True, repr=False)
class MaskingConfig(Section):
    """What a masked model has to fill in; a causal one leaves all this alone."""

    unit: MaskingUnit = option(
        "token", "hide single tokens, whole words, or spans of 1 to 10 words", flag="--masking"
    )
    rate: Annotated[float, Gt(0), Lt(1)] = option(
        0.15, "share of the tokens that have to be filled in", flag="--mask-rate"
    )
    rate_start: Annotated[float, Gt(0), Lt(1)] | None = option(
        None,
        "share at the first step of training, from which it goes evenly to --mask-rate-end",
        flag="--mask-rate-start",
    )
    rate_end: Annotated[float, Gt(0), Lt(1)] | None = option(
        None,
        "share at the last step of training; default: --mask-rate, which an evaluation hides",
        flag="--mask-rate-end",
    )
    mask_share: Annotated[float, Ge(0), Le(1)] = option(
        0.8, "share of them that the mask token replaces"
    )
    random_share: Annotated[float, Ge(0), Le(1)] = option(
        0.1, "share of them that a random token replaces; the rest stay as they are"
    )

    @property
    def training_rates(self) -> tuple[float, float]:
        """The shares that are hidden at the first step of training and at the last."""
        last = self.rate_end or self.rate
        return self.rate_start or last, last


@dataclass(frozen=True, kw_only=True, repr=False)
class InfillingConfig(Section):
    """Training documents whose middle comes last, for causal models that fill in middles."""

    rate: Annotated[float, Ge(0), Le(1)] = option(
        0.0,
        "share of the training documents whose middle is put at the end, so that a causal model "
        "learns to fill it in; 0.5 in the paper",
        flag="--fim-rate",
    )
    spm_rate: Annotated[float, Ge(0), Le(1)] = option(
        0.5,
        "share of them whose suffix comes first (SPM), and not the prefix (PSM)",
        flag="--fim-spm-rate",
    )
    tokens: str | None = option(
        None,
        "the tokens that stand before a prefix, a suffix and a middle: PREFIX,SUFFIX,MIDDLE; "
        "default: those that the tokenizer has under a known name",
        flag="--fim-tokens",
    )
    min_characters: Annotated[int, Ge(1)] = option(
        32, "a document of fewer characters stays as it is", flag="--fim-min-characters"
    )
    max_middle: Annotated[int, Ge(1)] | None = option(
        None,
        "a middle has at most so many characters: 40 for words and parts of a line; "
        "default: up to the whole document, as in the paper",
        flag="--fim-max-middle",
    )


TokenizerKind = Literal["bpe", "wordpiece"]


@dataclass(frozen=True, kw_only=True, repr=False)
class VocabularyConfig(Section):
    """Kind and size of a new tokenizer."""

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
