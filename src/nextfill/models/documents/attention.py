"""The implementation of a model's attention: asked for, checked, and told.

They compute the same figures but for the last digits. What keeps packed documents apart is tried at
load with the one that is used. Left out are those that a model in float32 on a CPU, as it is tried
there, does not compute with: the flash-attn package's, which wants 16 bits on a GPU, and flex
attention, which compiles each shape for 10 to 20 s and has no way back. PyTorch's own sdpa takes
flash kernels where they fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nextfill.config import Attention, ModelConfig
from nextfill.config.prefixes import LIVE
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.libraries import REFUSALS, first_error_line


def check_attention(config: ModelConfig) -> None:
    """Refuse an implementation for a live model, before anything is loaded."""
    asked = config.attn_implementation
    if asked is not None and config.name.startswith(LIVE):
        raise ConfigError(
            [
                "A live model keeps its attention: set it where you make the model, "
                f'model.set_attn_implementation("{asked}").'
            ]
        )


def attention_keyword(asked: Attention | None) -> Mapping[str, Any]:
    """Return the keyword with which transformers makes a model."""
    return {} if asked is None else {"attn_implementation": asked}


@contextmanager
def attention_errors(asked: Attention | None, name: str) -> Iterator[None]:
    """Turn the refusal of an implementation by a model into a `ConfigError`."""
    try:
        yield
    except (*REFUSALS, ModelError) as error:
        told = error.__cause__ or error
        if asked is None or not _is_of_attention(str(told)):
            raise
        raise ConfigError(
            [
                f"--attn-implementation {asked}: {name} does not take it "
                f"({first_error_line(told)}). Give another, or leave it out."
            ]
        ) from error


def _is_of_attention(message: str) -> bool:
    message = message.lower()
    return any(word in message for word in ("attention", "attn", "sdpa"))
