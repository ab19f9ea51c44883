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
    "Bundle": "nextfill.hub.bundle",
    "BaseEvaluation": "nextfill.evaluation.figures",
    "BeforeAfter": "nextfill.runs.results",
    "CacheEntry": "nextfill.data.store.cache_entries",
    "CacheListing": "nextfill.api.cache",
    "Change": "nextfill.tokenizers.inspection_result",
    "Collator": "nextfill.models.collator",
    "Comparison": "nextfill.evaluation.comparison",
    "ConfigError": "nextfill.core.errors",
    "DataConfig": "nextfill.config",
    "DataError": "nextfill.core.errors",
    "Difference": "nextfill.evaluation.figures",
    "Evaluation": "nextfill.evaluation.figures",
    "ExampleBlock": "nextfill.api.look_result",
    "Export": "nextfill.exporting.export_result",
    "HubError": "nextfill.core.errors",
    "Interrupted": "nextfill.core.errors",
    "Interval": "nextfill.evaluation.bootstrap",
    "Login": "nextfill.hub.account",
    "LongToken": "nextfill.tokenizers.inspection_result",
    "Look": "nextfill.api.look_result",
    "ModelError": "nextfill.core.errors",
    "NewWords": "nextfill.runs.new_words",
    "NextfillError": "nextfill.core.errors",
    "NotSharedError": "nextfill.core.errors",
    "OtherRankError": "nextfill.core.errors",
    "Observer": "nextfill.core.progress",
    "PackedDataset": "nextfill.api.packed_dataset",
    "PrepareResult": "nextfill.runs.preparation_result",
    "Pruning": "nextfill.api.cache",
    "PseudoFigures": "nextfill.evaluation.figures",
    "QuantizedBase": "nextfill.runs.quantization_cost",
    "Recipe": "nextfill.config.recipe_file",
    "RunError": "nextfill.core.errors",
    "ScoredText": "nextfill.evaluation.token_view",
    "ScoredToken": "nextfill.evaluation.token_view",
    "Server": "nextfill.serving.server",
    "Shared": "nextfill.hub.upload",
    "SplitWord": "nextfill.tokenizers.inspection_result",
    "Stage": "nextfill.runs.stages",
    "TeacherEvaluation": "nextfill.runs.results",
    "TextField": "nextfill.data.first_records",
    "TokenizerFigures": "nextfill.tokenizers.inspection_result",
    "TokenizerInspection": "nextfill.tokenizers.inspection_result",
    "TokenizerResult": "nextfill.tokenizers.train",
    "TrainResult": "nextfill.runs.results",
    "UnknownWord": "nextfill.tokenizers.inspection_result",
    "UnreachableModelError": "nextfill.core.errors",
    "bundle": "nextfill.api.share",
    "evaluate": "nextfill.api.inference",
    "export": "nextfill.api.export",
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
    "report": "nextfill.api.report",
    "serve": "nextfill.api.serve",
    "share": "nextfill.api.share",
    "track": "nextfill.api.track",
    "train": "nextfill.api.train",
    "train_tokenizer": "nextfill.api.tokenizer",
}
__all__ = [
    "BaseEvaluation",
    "BeforeAfter",
    "Bundle",
    "CacheEntry",
    "CacheListing",
    "Change",
    "Collator",
    "Comparison",
    "ConfigError",
    "DataConfig",
    "DataError",
    "Difference",
    "Evaluation",
    "ExampleBlock",
    "Export",
    "HubError",
    "Interrupted",
    "Interval",
    "Login",
    "LongToken",
    "Look",
    "ModelError",
    "NewWords",
    "NextfillError",
    "NotSharedError",
    "Observer",
    "OtherRankError",
    "PackedDataset",
    "PrepareResult",
    "Pruning",
    "PseudoFigures",
    "QuantizedBase",
    "Recipe",
    "RunError",
    "ScoredText",
    "ScoredToken",
    "Server",
    "Shared",
    "SplitWord",
    "Stage",
    "TeacherEvaluation",
    "TextField",
    "TokenizerFigures",
    "TokenizerInspection",
    "TokenizerResult",
    "TrainResult",
    "UnknownWord",
    "UnreachableModelError",
    "bundle",
    "evaluate",
    "export",
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
    "serve",
    "share",
    "track",
    "train",
    "train_tokenizer",
]

if TYPE_CHECKING:
    from nextfill.api.cache import CacheListing, Pruning, list_cache, prune_cache
    from nextfill.api.export import export
    from nextfill.api.inference import evaluate, fill, generate
    from nextfill.api.look import look
    from nextfill.api.look_result import ExampleBlock, Look
    from nextfill.api.packed_dataset import PackedDataset, packed_dataset
    from nextfill.api.prepare import prepare, read_records
    from nextfill.api.report import report
    from nextfill.api.serve import serve
    from nextfill.api.share import bundle, login, share
    from nextfill.api.tokenizer import inspect_tokenizer, train_tokenizer
    from nextfill.api.track import track
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
        OtherRankError,
        RunError,
        UnreachableModelError,
    )
    from nextfill.core.progress import Observer
    from nextfill.data.first_records import TextField
    from nextfill.data.store.cache_entries import CacheEntry
    from nextfill.evaluation.bootstrap import Interval
    from nextfill.evaluation.comparison import Comparison
    from nextfill.evaluation.figures import BaseEvaluation, Difference, Evaluation, PseudoFigures
    from nextfill.evaluation.token_view import ScoredText, ScoredToken
    from nextfill.exporting.export_result import Export
    from nextfill.hub.account import Login
    from nextfill.hub.bundle import Bundle
    from nextfill.hub.upload import Shared
    from nextfill.models.collator import Collator
    from nextfill.runs.new_words import NewWords
    from nextfill.runs.preparation_result import PrepareResult
    from nextfill.runs.quantization_cost import QuantizedBase
    from nextfill.runs.results import (
        BeforeAfter,
        TeacherEvaluation,
        TrainResult,
    )
    from nextfill.runs.stages import Stage
    from nextfill.serving.server import Server
    from nextfill.tokenizers.inspection_result import (
        Change,
        LongToken,
        SplitWord,
        TokenizerFigures,
        TokenizerInspection,
        UnknownWord,
    )
    from nextfill.tokenizers.train import TokenizerResult


def __getattr__(
    name: str,
) -> Any:  # importing nextfill.cli.main for --help must not import the rest
    from importlib import import_module

    if name == "keras":
        return import_module("nextfill.keras")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name.startswith("_"):  # which Python itself looks for
        raise AttributeError(f"module 'nextfill' has no attribute '{name}'")
    from nextfill.config.foreign.foreign_names import missing_name

    of_keras = import_module("nextfill.keras").__all__
    raise AttributeError(missing_name("nextfill", name, __all__, "nextfill.keras", of_keras))


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
