"""Nextfill adapts language models to your own text and says honestly how much better they got.

Every capability is a function here and a command of the same name::

    import nextfill

    result = nextfill.train(data="notes.txt", epochs=3)
    print(result.before.perplexity, "->", result.after.perplexity)
    print(nextfill.generate(result.run, "Dear diary,", seed=0)[0]["generated_text"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextfill.version import VERSION

__version__ = VERSION
__all__ = ["Interrupted", "NextfillError", "evaluate", "generate", "prepare", "report", "train"]

if TYPE_CHECKING:
    from nextfill.api import evaluate, generate, prepare, report, train
    from nextfill.errors import Interrupted, NextfillError


def __getattr__(name: str) -> Any:  # importing nextfill.cli for --help must not import the rest
    if name in __all__:
        from importlib import import_module

        home = "nextfill.errors" if name in ("Interrupted", "NextfillError") else "nextfill.api"
        return getattr(import_module(home), name)
    raise AttributeError(f"module 'nextfill' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
