"""Root configs of the commands that make blocks of tokens of text, and train nothing.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from nextfill.config.bounds import Ge, Le, Lt
from nextfill.config.options import Section, option
from nextfill.config.settings.command_settings import LogLevel, Objective
from nextfill.config.settings.common_descriptions import CACHE as _CACHE
from nextfill.config.settings.common_descriptions import CACHE_LIMIT as _CACHE_LIMIT
from nextfill.config.settings.common_descriptions import LOG_LEVEL as _LOG_LEVEL
from nextfill.config.settings.common_descriptions import STORE
from nextfill.config.settings.data_settings import (
    BlocksConfig,
    DataConfig,
    InfillingConfig,
    MaskingConfig,
)
from nextfill.config.settings.model_settings import ModelConfig

PreparationEngine = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True, repr=False)
class BlockSettings(Section):
    """Settings of all that makes blocks of tokens of text, and no more."""

    objective: Objective | None = option(
        None, "what the blocks are for, which says where special tokens stand; default: causal"
    )
    seed: Annotated[int, Ge(0), Lt(2**63)] = option(0, "seeds the split")
    cache_dir: str | None = option(None, f"where token stores lie{_CACHE}")
    cache_limit: str | None = option(None, _CACHE_LIMIT)
    store: str | None = option(None, STORE)
    log_level: LogLevel | None = option(None, _LOG_LEVEL)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    blocks: BlocksConfig = field(default_factory=BlocksConfig)
    infilling: InfillingConfig = field(default_factory=InfillingConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class PrepareConfig(BlockSettings):
    """Settings of `nextfill prepare`."""

    engine: PreparationEngine = option(
        "local", "what reads and encodes: this process, or the workers of Ray, part by part"
    )
    ray_address: str | None = option(
        None, "a cluster's address, HOST:PORT, or auto; default: Ray on this machine, for as long"
    )
    workers: Annotated[int, Ge(1)] | None = option(
        None, "processes of Ray on this machine; default: one for each processor"
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class PackConfig(BlockSettings):
    """Settings of `nextfill.packed_dataset`, which masks, too."""

    masking: MaskingConfig = field(default_factory=MaskingConfig)


@dataclass(frozen=True, kw_only=True, repr=False)
class LookConfig(PackConfig):
    """Settings of `nextfill look`, those of a preparation and of masks."""

    records: Annotated[int, Ge(1), Le(1000)] = option(3, "records to show")
    full: bool = option(False, "show records, the first document and the first block whole")
