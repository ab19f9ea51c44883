"""Every setting, defined once: flags, recipes and keyword arguments are these fields.

Plain frozen dataclasses, so that ``--help`` needs nothing heavy; ``nextfill.recipe`` merges a
recipe with the flags and has pydantic validate the whole, which reports all mistakes together. A
field's name is its key in a recipe's section; its flag is that name with dashes, or the one given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from nextfill.settings import option

Objective = Literal["causal"]
Packing = Literal["concat", "best-fit", "pad"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["linear", "cosine", "wsd"]
TokenizerKind = Literal["bpe", "wordpiece"]
TxtMode = Literal["paragraph", "line", "file"]
Format = Literal["txt", "md", "jsonl", "json", "csv", "tsv", "parquet", "arrow"]
Device = Literal["auto", "cpu", "cuda", "mps"]

_STRICT = {"extra": "forbid", "coerce_numbers_to_str": True, "allow_inf_nan": False}

Scope = Literal["all", "held-out", "own"]
"""Which documents are scored: all, those that a run would hold out, or those that a run did."""

DEFAULT_BLOCK_SIZE = 256
"""Tokens per row where the user gives none and the model has as many positions."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model and tokenizer, and how a new one is shaped."""

    __pydantic_config__: ClassVar[Any] = _STRICT
    shorthand: ClassVar[str] = "name"

    name: str = option(
        "builtin:base-causal",
        "Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights",
        flag="--model",
    )
    tokenizer: str | None = option(None, "Hub id or folder; default: the model's own")
    revision: str | None = option(None, "branch, tag or commit of the model on the Hub")
    config: dict[str, Any] = option(
        dict, "overrides of a scratch model's config: --set model.config.n_layer=6", flag=""
    )
    trust_remote_code: bool = option(False, "run code that comes with the model (unsafe)")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which text, which part of each record, and what is held out.

    From Python, ``data=[DataConfig(source="a.jsonl", text_field="body"), ...]`` names several.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT
    shorthand: ClassVar[str] = "source"
    listed_tables: ClassVar[str] = "sources"
    """The field that a list of tables in the place of the section belongs to: [[data]]."""

    source: str = option(
        "builtin:torch-docs",
        "file (.txt .md .jsonl .json .csv .tsv .parquet .arrow, each also .gz .zst .xz .bz2), "
        "folder, quoted glob, .zip, - (standard input), address (web, s3://, gs://, hf://), "
        "Hub id, or builtin:NAME",
        flag="--data",
    )
    streaming: bool = option(
        False, "read a Hub data set row by row as it comes, without downloading it first"
    )
    split: str | None = option(None, "slice of the data, such as 'train[:5000]'; default: train")
    text_field: str | None = option(None, "path to the text in a record, such as answers.text")
    join: str | None = option(
        None, "what joins a list of texts; default: a space, or a blank line for built-in corpora"
    )
    explode: bool = option(False, "make each text of a list a document of its own")
    format: Format | None = option(
        None, "format of every file of --data; default: as its name, or standard input, tells"
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
    eval_source: str | None = option(None, "data to evaluate on, not split off", flag="--eval-data")
    eval_split: str | None = option(None, "slice of the evaluation data")
    verify: bool = option(
        False, "read local files again to see that they are as before, though their times are"
    )
    sources: list[DataConfig] = option(
        list, "several sources, each with settings of its own: [[data]] in a recipe", flag=""
    )

    @property
    def each(self) -> tuple[DataConfig, ...]:
        """The sources one by one; what one leaves open is as it is said for all."""
        if not self.sources:
            return (self,)
        plain = DataConfig()
        said = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in ("source", "sources")
            and getattr(self, item.name) != getattr(plain, item.name)
        }
        return tuple(
            replace(one, **{k: v for k, v in said.items() if getattr(one, k) == getattr(plain, k)})
            for one in self.sources
        )

    @property
    def name(self) -> str:
        """What messages call the data."""
        first, *others = [one.source for one in self.each]
        return f"{first} and {len(others)} more" if others else first


@dataclass(frozen=True, kw_only=True)
class BlocksConfig:
    """How documents become rows of tokens."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    block_size: Annotated[int, Ge(2)] | None = option(
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


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimizer, its schedule, and how long."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    epochs: Annotated[float, Gt(0)] = option(3.0, "passes over the training part")
    max_steps: Annotated[int, Ge(1)] | None = option(
        None, "exactly so many steps, instead of epochs"
    )
    batch_size: Annotated[int, Ge(1)] = option(8, "blocks per optimizer step, over all devices")
    micro_batch_size: Annotated[int, Ge(1)] | None = option(
        None, "blocks per forward pass; below batch_size, gradients accumulate"
    )
    learning_rate: Annotated[float, Gt(0)] = option(
        5e-5, "peak learning rate; of an adapter (--lora-rank) 5e-4, unless given"
    )
    weight_decay: Annotated[float, Ge(0)] = option(0.01, "AdamW's, none on biases and norms")
    beta1: Annotated[float, Ge(0), Lt(1)] = option(0.9, "AdamW's first moment decay")
    beta2: Annotated[float, Ge(0), Lt(1)] = option(0.999, "AdamW's second moment decay")
    epsilon: Annotated[float, Gt(0)] = option(1e-8, "AdamW's epsilon")
    max_grad_norm: Annotated[float, Ge(0)] = option(1.0, "gradient clipping norm; 0 for none")
    schedule: Schedule = option("linear", "learning rate after the warm-up")
    warmup_steps: Annotated[float, Ge(0)] = option(
        0.0, "warm-up: steps, or below 1 a share of all steps"
    )
    dropout: Annotated[float, Ge(0), Lt(1)] | None = option(
        None, "dropout everywhere in the model; default: as the model's config says"
    )
    normalize_by: Literal["targets", "tokens"] = option(
        "targets", "the divisor of a step's loss; tokens is transformers.Trainer's for GPT-2"
    )
    eval_every: Annotated[int, Ge(1)] | None = option(None, "steps; default: each epoch")
    save_every: Annotated[int, Ge(1)] | None = option(None, "steps; default: each epoch")
    keep: Literal["last", "best"] = option(
        "last", "the weights that are saved: the last, or those with the best validation"
    )
    early_stopping: Annotated[int, Ge(1)] | None = option(
        None, "stop after so many validations in a row without a new best"
    )
    gradient_checkpointing: bool = option(
        False, "compute activations again on the way back: less memory, about a third slower"
    )
    sample_prompt: str | None = option(None, "text continued at each evaluation")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Training an adapter instead of all weights."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    rank: Annotated[int, Ge(1)] | None = option(
        None,
        "train adapters of this rank (LoRA) and leave the model's own weights as they are",
        flag="--lora-rank",
    )
    alpha: Annotated[float, Gt(0)] | None = option(
        None, "the adapter's scale is alpha / rank; default: twice the rank", flag="--lora-alpha"
    )
    dropout: Annotated[float, Ge(0), Lt(1)] = option(
        0.0, "dropout before the adapter", flag="--lora-dropout"
    )
    targets: str | None = option(
        None,
        "names of the layers, such as q_proj,v_proj; default: every linear layer but the head",
        flag="--lora-targets",
    )
    merge: bool = option(False, "save the model with its adapter merged in", flag="--lora-merge")


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Further text to evaluate on beside the held-out part, such as what may be forgotten."""

    __pydantic_config__: ClassVar[Any] = _STRICT
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

    __pydantic_config__: ClassVar[Any] = _STRICT
    named_tables: ClassVar[str] = "sets"
    """The field that sub-tables of other names belong to: [evaluation.general]."""

    stride: Annotated[int, Ge(1)] | None = option(
        None, "new targets per further window of a long document; default: the block size"
    )
    eval_batch_size: Annotated[int, Ge(1)] = option(32, "windows per forward pass")
    sets: dict[str, EvaluationSet] = option(
        dict, "further sets by name: --set evaluation.general=builtin:stdlib-docs", flag=""
    )


@dataclass(frozen=True, kw_only=True)
class ShareConfig:
    """Where a finished run's model is pushed on the Hugging Face Hub; never a token."""

    __pydantic_config__: ClassVar[Any] = _STRICT
    shorthand: ClassVar[str] = "repo"

    repo: str | None = option(
        None, "push the model to this repository of the Hub, USER/NAME, at the end", flag="--share"
    )
    private: bool = option(False, "make a new repository private", flag="--share-private")
    adapter: bool = option(
        False, "push the adapter alone, not merged into its model", flag="--share-adapter"
    )
    license: str | None = option(
        None, "the license that the model's card states, such as apache-2.0", flag="--share-license"
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything `nextfill train` does."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    objective: Objective = option("causal", "next token")
    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, the order and dropout")
    out: str | None = option(None, "run directory; default: runs/ and a name made from the job")
    cache_dir: str | None = option(None, "where token stores lie; default: ~/.cache/nextfill")
    device: Device = option("auto", "where to compute")
    precision: Precision = option("auto", "auto is bf16 where the hardware has it")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    share: ShareConfig = field(default_factory=ShareConfig)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Everything `nextfill prepare` does: tokens and ledger only."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split")
    cache_dir: str | None = option(None, "where token stores lie; default: ~/.cache/nextfill")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Everything `nextfill evaluate` does."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split")
    cache_dir: str | None = option(None, "where token stores lie; default: ~/.cache/nextfill")
    device: Device = option("auto", "where to compute")
    precision: Precision = option("fp32", "fp32 gives the same nats at any batch size")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How text is continued."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    max_new_tokens: Annotated[int, Ge(1)] = option(100, "tokens to add at most")
    min_new_tokens: Annotated[int, Ge(0)] = option(0, "tokens to add before the text may end")
    stop: list[Annotated[str, MinLen(1)]] = option(
        list, "end the text before this string; may be given several times"
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

    __pydantic_config__: ClassVar[Any] = _STRICT
    shorthand: ClassVar[str] = "source"

    source: str | None = option(
        None,
        "prompts: anything that --data takes; of .txt and .md, a prompt a line",
        flag="--prompts",
    )
    prompt_field: str | None = option(
        None, "path to the prompt in a record; default: prompt, text, or the only text"
    )


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Everything `nextfill generate` does."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the sampling")
    out: str | None = option(None, "write the texts into this new .jsonl file, one a line")
    device: Device = option("auto", "where to compute")
    precision: Precision = option("auto", "auto is bf16 where the hardware has it")
    model: ModelConfig = field(default_factory=ModelConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    """A command without settings, such as `nextfill report`: it shows what there is."""

    __pydantic_config__: ClassVar[Any] = _STRICT


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """Where the cache lies that `nextfill cache list` and `size` tell of."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    cache_dir: str | None = option(None, "the cache folder; default: ~/.cache/nextfill")


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """What `nextfill cache prune` removes."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    cache_dir: str | None = option(None, "the cache folder; default: ~/.cache/nextfill")
    older_than: str | None = option(
        None, "what was not used for so long, such as 12h or 30d; default: 30d"
    )
    max_size: str | None = option(
        None, "what was not used for longest, until the rest is no larger, such as 5GB"
    )
    inputs: bool = option(False, "data handed over from Python, too, which cannot be made again")
    dry_run: bool = option(False, "only say what would be removed")


@dataclass(frozen=True, kw_only=True)
class VocabularyConfig:
    """What a new tokenizer is like."""

    __pydantic_config__: ClassVar[Any] = _STRICT

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

    __pydantic_config__: ClassVar[Any] = _STRICT

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

    __pydantic_config__: ClassVar[Any] = _STRICT

    revision: str | None = option(None, "branch, tag or commit on the Hub")
    trust_remote_code: bool = option(False, "run code that comes with it (unsafe)")


@dataclass(frozen=True, kw_only=True)
class InspectTokenizerConfig:
    """Everything `nextfill tokenizer inspect` does."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, as in nextfill train")
    examples: Annotated[int, Ge(0), Le(1000)] = option(10, "words and tokens that are listed")
    cache_dir: str | None = option(
        None, "where data handed over from Python are kept; default: ~/.cache/nextfill"
    )
    model: NamedConfig = field(default_factory=NamedConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True, kw_only=True)
class SharingConfig:
    """Everything `nextfill share` does."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    private: bool = option(False, "make a new repository private")
    adapter: bool = option(False, "push the adapter alone, not merged into its model")
    license: str | None = option(
        None, "the license that the model's card states, such as apache-2.0"
    )


@dataclass(frozen=True, kw_only=True)
class LoginConfig:
    """`nextfill login` has no settings."""

    __pydantic_config__: ClassVar[Any] = _STRICT
