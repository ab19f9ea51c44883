"""The Keras half: transformers' models in Keras, on TensorFlow, JAX or PyTorch.

``nextfill train --backend keras`` trains with it. For those who go on by hand there are
`from_transformers`, `to_transformers`, `dataset`, `adamw`, `loss` and `Callback`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_HOMES = {
    "BlockDataset": "nextfill.api.keras_calls",
    "Callback": "nextfill.api.keras_calls",
    "LanguageModel": "nextfill.keras_engine.language_model",
    "adamw": "nextfill.api.keras_calls",
    "dataset": "nextfill.api.keras_calls",
    "from_transformers": "nextfill.keras_engine.transformers_models",
    "loss": "nextfill.keras_engine.fit",
    "to_transformers": "nextfill.keras_engine.transformers_models",
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
    from nextfill.api.keras_calls import BlockDataset, Callback, adamw, dataset
    from nextfill.keras_engine.fit import loss
    from nextfill.keras_engine.language_model import LanguageModel
    from nextfill.keras_engine.transformers_models import from_transformers, to_transformers


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        from nextfill.keras_engine.backend import choose_backend

        choose_backend()  # before Keras is imported
        return getattr(import_module(_HOMES[name]), name)
    if name.startswith("_"):  # which Python itself looks for
        raise AttributeError(f"module 'nextfill.keras' has no attribute '{name}'")
    import nextfill
    from nextfill.config.foreign.foreign_names import missing_name

    ours = nextfill.__all__
    raise AttributeError(missing_name("nextfill.keras", name, __all__, "nextfill", ours))


def __dir__() -> list[str]:
    return [*__all__]
