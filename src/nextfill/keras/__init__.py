"""The Keras half: transformers' models in Keras, on TensorFlow, JAX or PyTorch.

``nextfill train --backend keras`` trains with it. For those who go on by hand there are
`from_transformers`, `to_transformers`, `dataset`, `adamw`, `loss` and `Callback`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_HOMES = {
    "BlockDataset": "nextfill.keras.guide",
    "Callback": "nextfill.keras.guide",
    "LanguageModel": "nextfill.keras.models",
    "adamw": "nextfill.keras.guide",
    "dataset": "nextfill.keras.guide",
    "from_transformers": "nextfill.keras.bridge",
    "loss": "nextfill.keras.fit",
    "to_transformers": "nextfill.keras.bridge",
}
__all__ = [
    "BlockDataset",
    "Callback",
    "LanguageModel",
    "adamw",
    "dataset",
    "from_transformers",
    "loss",
    "to_transformers",
]

if TYPE_CHECKING:
    from nextfill.keras.bridge import from_transformers, to_transformers
    from nextfill.keras.fit import loss
    from nextfill.keras.guide import BlockDataset, Callback, adamw, dataset
    from nextfill.keras.models import LanguageModel


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        from nextfill.keras.backend import choose_backend

        choose_backend()  # before Keras is imported
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nextfill.keras' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__]
