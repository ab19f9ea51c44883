"""Every setting, defined once: flags, recipes and keyword arguments are these fields.

Plain frozen dataclasses, so that ``--help`` needs nothing heavy; `recipe_file` merges a recipe with
the flags and has pydantic validate the whole, which reports all mistakes together. A field's name
is its key in a recipe's section; its flag is that name with dashes, or the one given.
"""

from nextfill.config.data_settings import (
    DEFAULT_BLOCK_SIZE,
    BlocksConfig,
    DataConfig,
    Format,
    MaskingConfig,
    MaskingUnit,
    Packing,
    TxtMode,
)
from nextfill.config.inference_settings import (
    EvaluationConfig,
    EvaluationSet,
    FillingConfig,
    GenerationConfig,
    PromptsConfig,
    PseudoMetric,
    Scope,
)
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
from nextfill.config.tokenizer_settings import (
    InspectTokenizerConfig,
    NamedConfig,
    TokenizerKind,
    TrainTokenizerConfig,
    VocabularyConfig,
)
from nextfill.config.training_settings import (
    LoraConfig,
    ModelConfig,
    Schedule,
    ShareConfig,
    TrainingConfig,
)

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
