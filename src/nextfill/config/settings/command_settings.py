"""Root configs, one a command: the sections that it reads, and its own settings.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from nextfill.config.bounds import Ge, Le, Lt
from nextfill.config.options import Section, option
from nextfill.config.settings.adapter_settings import LoraConfig
from nextfill.config.settings.common_descriptions import CACHE as _CACHE
from nextfill.config.settings.common_descriptions import CACHE_LIMIT as _CACHE_LIMIT
from nextfill.config.settings.common_descriptions import LOG_LEVEL as _LOG_LEVEL
from nextfill.config.settings.common_descriptions import STORE
from nextfill.config.settings.data_settings import (
    BlocksConfig,
    DataConfig,
    InfillingConfig,
    MaskingConfig,
    ReplayConfig,
    VocabularyConfig,
)
from nextfill.config.settings.generation_settings import (
    FillingConfig,
    GenerationConfig,
    PromptsConfig,
)
from nextfill.config.settings.model_settings import (
    DistillationConfig,
    EvaluationConfig,
    ModelConfig,
    NamedConfig,
    NewTokensConfig,
    PseudoMetric,
    ShareConfig,
)
from nextfill.config.settings.tracking_settings import WANTED_TRACKERS, TrackingConfig
from nextfill.config.settings.training_settings import TrainingConfig

Objective = Literal["causal", "masked"]
Precision = Literal["auto", "fp32", "bf16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Nproc = Annotated[int, Ge(1)] | Literal["auto"]
Parallel = Literal["auto", "ddp", "fsdp"]
LogLevel = Literal["error", "warning", "info", "debug"]
GenerationEngine = Literal["auto", "torch", "ctranslate2"]
WeightBits = Literal["full", "int8"]
ExportFormat = Literal["ctranslate2", "gguf", "onnx", "openvino"]
ExportQuantization = Literal["none", "int8", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainConfig(Section):
    """Settings of `nextfill train`."""

    objective: Objective | None = option(
        None, "next token, or fill in the blank; default: what the model was made for"
    )
    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, the order and dropout")
    out: str | None = option(
        None,
        "run directory; default: runs/ and a name made from the job",
        hint="Give the name of a new folder",
    )
    cache_dir: str | None = option(None, f"where token stores lie{_CACHE}")
    cache_limit: str | None = option(None, _CACHE_LIMIT)
    store: str | None = option(None, STORE)
    device: Device = option("auto", "where to compute")
    precision: Precision = option("auto", "auto is bf16 where the hardware has it")
    nproc: Nproc | None = option(
        None,
        "processes of this machine that train together; auto is one for each GPU; on many machines "
        "torchrun starts them",
    )
    parallel: Parallel | None = option(
        None, "what each of them holds: the whole model (ddp) or a share of it (fsdp)"
    )
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    infilling: InfillingConfig = field(default_factory=InfillingConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    new_tokens: NewTokensConfig = field(default_factory=NewTokensConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    share: ShareConfig = field(default_factory=ShareConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class EvaluateConfig(Section):
    """Settings of `nextfill evaluate`."""

    objective: Objective | None = option(
        None, "next token, or fill in the blank; default: what the model was made for"
    )
    base: bool = option(True, "put the model that a run was made from beside it")
    show: Annotated[int, Ge(0)] = option(
        0,
        "documents to show token by token: those that gained and lost (or cost) most and least",
    )
    show_tokens: Annotated[int, Ge(1)] = option(300, "tokens to show of each")
    alternatives: Annotated[int, Ge(0), Le(20)] = option(
        5, "likeliest tokens to tell at each place that is shown"
    )
    page: str | None = option(
        None, "show it as a page, in colour, in this new .html file; 6 documents unless --show"
    )
    pseudo: bool = option(
        False, "hide each token of the text once, and fill it in: a masked model's figures per byte"
    )
    pseudo_metric: PseudoMetric = option(
        "within-word", "hide a token with the rest of its word, or alone (original)"
    )
    out: str | None = option(
        None, "write what each document costs into this new .jsonl file, one a line"
    )
    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split")
    cache_dir: str | None = option(None, f"where token stores lie{_CACHE}")
    cache_limit: str | None = option(None, _CACHE_LIMIT)
    store: str | None = option(None, STORE)
    device: Device = option("auto", "where to compute")
    precision: Precision = option("fp32", "fp32 gives the same nats at any batch size")
    nproc: Nproc | None = option(
        None,
        "processes of this machine that evaluate together; auto is one for each GPU, and 1 this "
        "one alone; on many machines torchrun starts them",
    )
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class GenerateConfig(Section):
    """Settings of `nextfill generate`."""

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the sampling")
    out: str | None = option(None, "write the texts into this new .jsonl file, one a line")
    cache_dir: str | None = option(None, f"where models converted for ctranslate2 lie{_CACHE}")
    device: Device = option("auto", "where to compute")
    precision: Precision = option("auto", "auto is bf16 where the hardware has it")
    weights: WeightBits = option(
        "full", "int8 holds weights in 8 bits, for speed on a CPU; what it costs is measured"
    )
    engine: GenerationEngine = option(
        "auto", "what computes: auto is torch; ctranslate2 draws other random numbers"
    )
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: ModelConfig = field(default_factory=ModelConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class FillConfig(Section):
    """Settings of `nextfill fill`."""

    out: str | None = option(None, "write the answers into this new .jsonl file, one a line")
    device: Device = option("auto", "where to compute")
    precision: Precision = option("fp32", "fp32 gives the same answers at any batch size")
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: ModelConfig = field(default_factory=ModelConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    filling: FillingConfig = field(default_factory=FillingConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class NoConfig(Section):
    """Root config of a command without settings, such as `nextfill login`."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ReportConfig(Section):
    """Settings of `nextfill report`."""

    out: str | None = option(None, "the .html file of the page of several runs; default: runs.html")
    live: bool = option(
        False, "follow one run under way, on a page of this machine alone, until Ctrl-C"
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class CacheConfig(Section):
    """Settings of `nextfill cache list` and `nextfill cache size`."""

    cache_dir: str | None = option(None, f"the cache folder{_CACHE}")


@dataclass(frozen=True, kw_only=True, repr=False)
class PruneConfig(Section):
    """Settings of `nextfill cache prune`."""

    cache_dir: str | None = option(None, f"the cache folder{_CACHE}")
    older_than: str | None = option(
        None, "what was not used for so long, such as 12h or 30d; default: 30d"
    )
    max_size: str | None = option(
        None, "what was not used for longest, until the rest is no larger, such as 5GB"
    )
    inputs: bool = option(False, "data handed over from Python, too, which cannot be made again")
    dry_run: bool = option(False, "only say what would be removed")


@dataclass(frozen=True, kw_only=True, repr=False)
class SharingConfig(Section):
    """Settings of `nextfill share`."""

    private: bool = option(False, "make a new repository private")
    adapter: bool = option(False, "push the adapter alone, not merged into its model")
    license: str | None = option(
        None, "the license that the model's card states, such as apache-2.0"
    )
    log_level: LogLevel | None = option(None, _LOG_LEVEL)


@dataclass(frozen=True, kw_only=True, repr=False)
class BundleConfig(Section):
    """Settings of `nextfill bundle`."""

    out: str | None = option(None, "a new .zip file; default: the run's name, in this folder")
    adapter: bool = option(False, "the adapter alone, not merged into its model")
    license: str | None = option(
        None, "the license that the model's card states, such as apache-2.0"
    )
    log_level: LogLevel | None = option(None, _LOG_LEVEL)


@dataclass(frozen=True, kw_only=True, repr=False)
class TrackConfig(Section):
    """Settings of `nextfill track`."""

    trackers: str | None = option(
        None,
        "tensorboard, trackio, wandb or mlflow; several are joined by commas; default: those that "
        "the run was trained with",
        hint=WANTED_TRACKERS,
    )
    samples: bool = option(False, "send the texts of samples, too")
    follow: bool = option(False, "go on until the run ends, or Ctrl-C")
    log_level: LogLevel | None = option(None, _LOG_LEVEL)


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportConfig(Section):
    """Settings of `nextfill export`."""

    to: ExportFormat | None = option(None, "the program's format: that of its library, or ONNX")
    out: str | None = option(None, "folder of the exported model, new or empty")
    quantization: ExportQuantization = option(
        "none",
        "weights of fewer bits: int8, or for gguf any but none; what they cost is measured",
    )
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: ModelConfig = field(default_factory=ModelConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainTokenizerConfig(Section):
    """Settings of `nextfill tokenizer train`."""

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, as in nextfill train")
    out: str | None = option(None, "folder of the tokenizer, new or empty")
    cache_dir: str | None = option(None, f"where data handed over from Python are kept{_CACHE}")
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class InspectTokenizerConfig(Section):
    """Settings of `nextfill tokenizer inspect`."""

    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split, as in nextfill train")
    examples: Annotated[int, Ge(0), Le(1000)] = option(10, "words and tokens that are listed")
    cache_dir: str | None = option(None, f"where data handed over from Python are kept{_CACHE}")
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: NamedConfig = field(default_factory=NamedConfig)
    data: DataConfig = field(default_factory=DataConfig)
