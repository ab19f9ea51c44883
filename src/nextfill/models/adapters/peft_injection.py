"""PEFT's settings of an adapter, and the adapter put into a model in place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from nextfill.config import LoraConfig, Objective
from nextfill.models.adapters.quantization import is_quantized
from nextfill.models.model_making import making_models

_STABLE_ALPHA = 8.0
"""PEFT's own alpha: with a rank of 16 the scale is that of the plain default, 2."""


def peft_settings(
    lora: LoraConfig,
    layers: Sequence[str],
    parameters: Sequence[str],
    objective: Objective | None,
    *,
    is_conv1d: bool,
    norms: Sequence[str] = (),
) -> Any:
    """Return PEFT's settings of a new adapter, whatever it begins as.

    Args:
        lora: Our settings.
        layers: Names of the linear layers.
        parameters: Names of weights that stand in no linear layer.
        objective: That of the model; None where it is all one.
        is_conv1d: Whether the layers have their weights the other way round.
        norms: Names of modules that are trained whole.
    """
    import peft

    rank = lora.rank or 0
    alpha = _STABLE_ALPHA if lora.scaling == "rank-stabilised" else 2 * rank
    return peft.LoraConfig(
        # PEFT has no such type for masked models, and none is what its own examples give them.
        task_type="CAUSAL_LM" if objective == "causal" else None,
        r=rank,
        lora_alpha=alpha if lora.alpha is None else lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=[*layers],
        target_parameters=[*parameters] or None,
        modules_to_save=[*norms] or None,
        use_rslora=lora.scaling == "rank-stabilised",
        use_dora=lora.dora,
        fan_in_fan_out=is_conv1d,
    )


def inject(model: nn.Module, settings: Any) -> Any:
    """Return the PEFT model around a model whose layers it has replaced in place."""
    import peft

    base, settings.base_model_name_or_path = settings.base_model_name_or_path, None
    with quiet_peft(), _told(model):
        adapter = peft.get_peft_model(model, settings)  # would put the local folder's path there
    settings.base_model_name_or_path = base
    return adapter


@contextmanager
def _told(model: Any) -> Iterator[None]:
    """Have a model say that it is held in 4 bits, without which PEFT takes no such layer."""
    if not is_quantized(model):
        yield
        return
    model.is_loaded_in_4bit = True
    try:
        yield
    finally:
        del model.is_loaded_in_4bit


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Suppress PEFT's warnings about its own use of transformers' names."""
    with making_models(), warnings.catch_warnings():  # whose filters are of the whole process
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out")
        # A head that shares the embedding's weights gets its own as it is merged.
        warnings.filterwarnings("ignore", message="Model (has|with) `tie_word_embeddings=True`")
        yield
