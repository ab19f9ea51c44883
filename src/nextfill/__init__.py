"""Nextfill adapts language models to your own text and says honestly how much better they got.

Every capability is a function here and a command of the same name::

    import nextfill

    result = nextfill.train(data="notes.txt", epochs=3)
    print(result.before.perplexity, "->", result.after.perplexity)
    print(nextfill.generate(result.run, "Dear diary,", seed=0)[0]["generated_text"])

For those who train with transformers' Trainer there are `packed_dataset` and `Collator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextfill.core import VERSION

__version__ = VERSION
_HOMES = {
    "CacheListing": "nextfill.api.cache",
    "Collator": "nextfill.models.collator",
    "Comparison": "nextfill.evaluation.comparison",
    "ConfigError": "nextfill.core.errors",
    "DataConfig": "nextfill.config",
    "DataError": "nextfill.core.errors",
    "Evaluation": "nextfill.evaluation.figures",
    "HubError": "nextfill.core.errors",
    "Interrupted": "nextfill.core.errors",
    "Login": "nextfill.hub.account",
    "Look": "nextfill.api.look_result",
    "ModelError": "nextfill.core.errors",
    "NextfillError": "nextfill.core.errors",
    "NotSharedError": "nextfill.core.errors",
    "Observer": "nextfill.core.progress",
    "PackedDataset": "nextfill.api.packed_dataset",
    "PrepareResult": "nextfill.runs.results",
    "Pruning": "nextfill.api.cache",
    "Recipe": "nextfill.config.recipe_file",
    "RunError": "nextfill.core.errors",
    "Shared": "nextfill.hub.upload",
    "TokenizerInspection": "nextfill.tokenizers.inspection_result",
    "TokenizerResult": "nextfill.tokenizers.train",
    "TrainResult": "nextfill.runs.results",
    "evaluate": "nextfill.api.inference",
    "fill": "nextfill.api.inference",
    "generate": "nextfill.api.inference",
    "inspect_tokenizer": "nextfill.api.tokenizer",
    "list_cache": "nextfill.api.cache",
    "login": "nextfill.api.share",
    "look": "nextfill.api.look",
    "packed_dataset": "nextfill.api.packed_dataset",
    "prepare": "nextfill.api.prepare",
    "prune_cache": "nextfill.api.cache",
    "read_records": "nextfill.api.prepare",
    "recipe_schema": "nextfill.config.recipe_file",
    "recipes": "nextfill.config.recipe_file",
    "report": "nextfill.api.share",
    "share": "nextfill.api.share",
    "train": "nextfill.api.train",
    "train_tokenizer": "nextfill.api.tokenizer",
}
__all__ = [
    "CacheListing",
    "Collator",
    "Comparison",
    "ConfigError",
    "DataConfig",
    "DataError",
    "Evaluation",
    "HubError",
    "Interrupted",
    "Login",
    "Look",
    "ModelError",
    "NextfillError",
    "NotSharedError",
    "Observer",
    "PackedDataset",
    "PrepareResult",
    "Pruning",
    "Recipe",
    "RunError",
    "Shared",
    "TokenizerInspection",
    "TokenizerResult",
    "TrainResult",
    "evaluate",
    "fill",
    "generate",
    "inspect_tokenizer",
    "list_cache",
    "login",
    "look",
    "packed_dataset",
    "prepare",
    "prune_cache",
    "read_records",
    "recipe_schema",
    "recipes",
    "report",
    "share",
    "train",
    "train_tokenizer",
]

if TYPE_CHECKING:
    from nextfill.api.cache import CacheListing, Pruning, list_cache, prune_cache
    from nextfill.api.inference import evaluate, fill, generate
    from nextfill.api.look import look
    from nextfill.api.look_result import Look
    from nextfill.api.packed_dataset import PackedDataset, packed_dataset
    from nextfill.api.prepare import prepare, read_records
    from nextfill.api.share import login, report, share
    from nextfill.api.tokenizer import inspect_tokenizer, train_tokenizer
    from nextfill.api.train import train
    from nextfill.config import DataConfig
    from nextfill.config.recipe_file import Recipe, recipe_schema, recipes
    from nextfill.core.errors import (
        ConfigError,
        DataError,
        HubError,
        Interrupted,
        ModelError,
        NextfillError,
        NotSharedError,
        RunError,
    )
    from nextfill.core.progress import Observer
    from nextfill.evaluation.comparison import Comparison
    from nextfill.evaluation.figures import Evaluation
    from nextfill.hub.account import Login
    from nextfill.hub.upload import Shared
    from nextfill.models.collator import Collator
    from nextfill.runs.results import PrepareResult, TrainResult
    from nextfill.tokenizers.inspection_result import TokenizerInspection
    from nextfill.tokenizers.train import TokenizerResult


def __getattr__(
    name: str,
) -> Any:  # importing nextfill.cli.main for --help must not import the rest
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nextfill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
