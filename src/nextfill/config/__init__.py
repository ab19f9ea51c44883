"""Every setting, defined once: flags, recipes and keyword arguments are these fields.

Plain frozen dataclasses, so that ``--help`` needs nothing heavy; ``nextfill.recipe`` merges a
recipe with the flags and has pydantic validate the whole, which reports all mistakes together. A
field's name is its key in a recipe's section; its flag is that name with dashes, or the one given.
"""

from nextfill.config.data import (
    DEFAULT_BLOCK_SIZE,
    BlocksConfig,
    DataConfig,
    Format,
    Packing,
    TxtMode,
)
from nextfill.config.evaluating import EvaluationConfig, EvaluationSet, PseudoMetric, Scope
from nextfill.config.filling import FillingConfig
from nextfill.config.generating import GenerationConfig, PromptsConfig
from nextfill.config.jobs import (
    CacheConfig,
    Device,
    EvaluateConfig,
    FillConfig,
    GenerateConfig,
    LoginConfig,
    NoConfig,
    Objective,
    PackConfig,
    Precision,
    PrepareConfig,
    PruneConfig,
    SharingConfig,
    TrainConfig,
)
from nextfill.config.masking import MaskingConfig, MaskingUnit
from nextfill.config.tokenizing import (
    InspectTokenizerConfig,
    NamedConfig,
    TokenizerKind,
    TrainTokenizerConfig,
    VocabularyConfig,
)
from nextfill.config.training import LoraConfig, ModelConfig, Schedule, ShareConfig, TrainingConfig

__all__ = [
    "DEFAULT_BLOCK_SIZE",
    "BlocksConfig",
    "CacheConfig",
    "DataConfig",
    "Device",
    "EvaluateConfig",
    "EvaluationConfig",
    "EvaluationSet",
    "FillConfig",
    "FillingConfig",
    "Format",
    "GenerateConfig",
    "GenerationConfig",
    "InspectTokenizerConfig",
    "LoginConfig",
    "LoraConfig",
    "MaskingConfig",
    "MaskingUnit",
    "ModelConfig",
    "NamedConfig",
    "NoConfig",
    "Objective",
    "PackConfig",
    "Packing",
    "Precision",
    "PrepareConfig",
    "PromptsConfig",
    "PruneConfig",
    "PseudoMetric",
    "Schedule",
    "Scope",
    "ShareConfig",
    "SharingConfig",
    "TokenizerKind",
    "TrainConfig",
    "TrainTokenizerConfig",
    "TrainingConfig",
    "TxtMode",
    "VocabularyConfig",
]
