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

from nextfill.version import VERSION

__version__ = VERSION
_HOMES = {
    "Collator": "nextfill.models.collate",
    "DataConfig": "nextfill.config",
    "Interrupted": "nextfill.errors",
    "NextfillError": "nextfill.errors",
    "PackedDataset": "nextfill.packed",
    "evaluate": "nextfill.api.evaluating",
    "fill": "nextfill.api.filling",
    "generate": "nextfill.api.generating",
    "inspect_tokenizer": "nextfill.api.tokenizing",
    "list_cache": "nextfill.api.caching",
    "login": "nextfill.api.sharing",
    "packed_dataset": "nextfill.packed",
    "prepare": "nextfill.api.preparing",
    "prune_cache": "nextfill.api.caching",
    "read_records": "nextfill.api.preparing",
    "recipe_schema": "nextfill.schema",
    "recipes": "nextfill.api.recipes",
    "report": "nextfill.api.reporting",
    "share": "nextfill.api.sharing",
    "train": "nextfill.api.training",
    "train_tokenizer": "nextfill.api.tokenizing",
}
__all__ = [
    "Collator",
    "DataConfig",
    "Interrupted",
    "NextfillError",
    "PackedDataset",
    "evaluate",
    "fill",
    "generate",
    "inspect_tokenizer",
    "list_cache",
    "login",
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
    from nextfill.api.caching import list_cache, prune_cache
    from nextfill.api.evaluating import evaluate
    from nextfill.api.filling import fill
    from nextfill.api.generating import generate
    from nextfill.api.preparing import prepare, read_records
    from nextfill.api.recipes import recipes
    from nextfill.api.reporting import report
    from nextfill.api.sharing import login, share
    from nextfill.api.tokenizing import inspect_tokenizer, train_tokenizer
    from nextfill.api.training import train
    from nextfill.config import DataConfig
    from nextfill.errors import Interrupted, NextfillError
    from nextfill.models.collate import Collator
    from nextfill.packed import PackedDataset, packed_dataset
    from nextfill.schema import recipe_schema


def __getattr__(name: str) -> Any:  # importing nextfill.cli for --help must not import the rest
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nextfill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
