"""The adapter of a run, added to its model on request or loaded with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from nextfill.config import LoraConfig, TrainConfig
from nextfill.config.prefixes import SCRATCH
from nextfill.core.amounts import amount, verb
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.models.adapters.adapter_initialization import FACTORS
from nextfill.models.adapters.lora import add_adapter, name_base
from nextfill.models.adapters.peft_injection import peft_settings
from nextfill.models.adapters.quantization import Quantization
from nextfill.models.loaded_model import LoadedModel, origin

_KEPT = ("use_rslora", "use_dora", "lora_dropout")
"""PEFT's settings of an adapter that say what it computes, beside its rank and its scale."""


def set_up_adapter(
    config: TrainConfig,
    loaded: LoadedModel,
    observer: Observer,
    before_quantizing: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Add a LoRA adapter to the model on request, and report the adapter it has.

    Args:
        config: The settings.
        loaded: The model.
        observer: Gets notes on it.
        before_quantizing: Called before weights are held in 4 bits, where they are to be.
    """
    lora = config.lora
    if lora.rank is None and (given := _given(lora, loaded)):
        raise ConfigError([_needs_rank(given, loaded)])
    if lora.rank is not None and not _has_it(loaded, lora):
        if config.model.name.startswith(SCRATCH):
            raise ConfigError(
                ["--lora-rank adapts a trained model: scratch weights are random, train them all."]
            )
        loaded = add_adapter(loaded, lora, seed=config.seed, before_quantizing=before_quantizing)
        base = origin(config.model, loaded)
        if base is None and not lora.merge:
            raise ConfigError(
                [
                    "The live model was not loaded from anywhere, so that its adapter could not be "
                    "used without it: give lora_merge=True to save the model with the adapter."
                ]
            )
        name_base(loaded, base or "", loaded.revision)
    if loaded.num_trained == 0:
        raise ConfigError([_nothing_to_train(loaded)])
    if loaded.adapter is not None:
        share = loaded.num_trained / loaded.num_parameters
        layers = _names(loaded.adapter.peft_config["default"])
        observer.on_note(
            f"training an adapter of {loaded.num_trained:,} parameters ({share:.1%} of all) on "
            f"{', '.join(layers)}"
        )
    if loaded.quantization is not None:
        observer.on_note(_held_note(loaded, loaded.quantization))
    return loaded


def _held_note(loaded: LoadedModel, quantization: Quantization) -> str:
    """Tell what is held in 4 bits below an adapter, and what of it is not."""
    settings = loaded.adapter.peft_config["default"]
    adapted = {_last(name) for name in _names(settings)}
    held = {_last(name) for name in quantization.layers}
    whole = sorted(adapted - held)
    also = f"; {', '.join(whole)} {verb(len(whole), 'stays', 'stay')} whole" if whole else ""
    if some := [name for name in quantization.left if _last(name) in held]:
        also += f"; {amount(len(some), 'layer')} of such names, as {some[0]}, too"
    return (
        f"{amount(len(quantization.layers), 'linear layer')} held in 4 bits: "
        f"{quantization.bytes_now / 1e6:,.1f} MB in place of "
        f"{quantization.bytes_before / 1e6:,.1f} MB{also}"
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _has_it(loaded: LoadedModel, lora: LoraConfig) -> bool:
    """Tell whether a model has the very adapter already, as one whose run is repeated on it has.

    One that began as a part of the weights was saved with twice its rank. One that begins as the
    inputs' directions would begin again.
    """
    if loaded.adapter is None or lora.init == "eva":
        return False
    own = loaded.adapter.peft_config["default"]
    asked = peft_settings(lora, [], [], None, is_conv1d=False)
    power = 0.5 if asked.use_rslora else 1.0
    scales = [one.lora_alpha / one.r**power for one in (own, asked)]
    return (
        own.r == asked.r * (2 if lora.init in FACTORS else 1)
        and math.isclose(*scales)
        and bool(own.modules_to_save) == lora.norms
        and all(getattr(own, name) == getattr(asked, name) for name in _KEPT)
        and {*(lora.targets or "").split(",")} <= {"", *_names(own)}
    )


def _given(lora: LoraConfig, loaded: LoadedModel) -> list[str]:
    """Return the flags of settings that were given and would change nothing without a rank."""
    plain = LoraConfig()
    given = [
        one.name for one in fields(lora) if getattr(lora, one.name) != getattr(plain, one.name)
    ]
    if loaded.adapter is not None:  # which can be merged
        given = [name for name in given if name != "merge"]
    return [f"--lora-{name}" for name in given]


def _needs_rank(given: Sequence[str], loaded: LoadedModel) -> str:
    flags, needs = " and ".join(given), "need" if len(given) > 1 else "needs"
    if loaded.adapter is None:
        return f"{flags} {needs} --lora-rank."
    return (
        f"{flags}: {loaded.name} has an adapter already, which is trained on as it was made: leave "
        "that out."
    )


def _names(settings: Any) -> list[str]:
    """Return the names of what an adapter goes on, a pattern as it is."""
    layers, weights = settings.target_modules, getattr(settings, "target_parameters", None)
    named = [layers] if isinstance(layers, str) else [*(layers or ())]
    return sorted([*named, *(weights or ())])


def _nothing_to_train(loaded: LoadedModel) -> str:
    """Return the message about a live model whose parameters are all frozen, as PEFT loads one."""
    if loaded.adapter is not None:
        advice = (
            "Load its adapter to be trained on: "
            "PeftModel.from_pretrained(base, ADAPTER, is_trainable=True)."
        )
    else:
        advice = (
            "Call model.requires_grad_(True) to train it whole, or give lora_rank=16 to train an "
            "adapter on it."
        )
    return f"Nothing of the live model would be trained: requires_grad is off throughout. {advice}"
