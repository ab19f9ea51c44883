"""The choice of Keras' back end, before Keras is imported, and settings that it does not take."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

from nextfill.config import KerasBackend, LoraConfig, TrainConfig
from nextfill.core.errors import ConfigError

BACKENDS: tuple[KerasBackend, ...] = ("tensorflow", "jax", "torch")
"""Back ends, the first that is installed serving where none is chosen."""

INSTALL = "pip install 'nextfill[keras]'"
VARIABLE = "KERAS_BACKEND"


def choose_backend(backend: KerasBackend | None = None) -> KerasBackend:
    """Choose the back end of Keras for this process, by name, environment or what is installed."""
    if importlib.util.find_spec("keras") is None:
        raise ConfigError([f"Keras is not installed. Type: {INSTALL}"])
    if "keras" in sys.modules:
        import keras

        running: KerasBackend = keras.backend.backend()
        if backend not in (None, running):
            raise ConfigError(
                [
                    f"keras_backend: found {backend!r}, and Keras runs on {running} in this "
                    f"process already. Set {VARIABLE}={backend} before Keras is imported."
                ]
            )
        return running
    wanted = backend or os.environ.get(VARIABLE)
    installed = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    if wanted is None:
        wanted = installed[0]  # PyTorch is always there
    if wanted not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise ConfigError([f"{VARIABLE}: found {wanted!r}; expected one of {known}."])
    if wanted not in installed:
        raise ConfigError([f"Keras on {wanted}: it is not installed. Type: pip install {wanted}"])
    os.environ[VARIABLE] = wanted
    return BACKENDS[BACKENDS.index(wanted)]


def keras_config(config: TrainConfig) -> TrainConfig:
    """Return settings for training with Keras, its back end named; refuse those it cannot take."""
    problems = list(_problems(config))
    if problems:
        raise ConfigError(problems)
    backend = choose_backend(config.training.keras_backend)
    precision = "fp32" if config.precision == "auto" else config.precision
    training = replace(config.training, keras_backend=backend)
    return replace(config, training=training, precision=precision)


def _problems(config: TrainConfig) -> Iterator[str]:
    training = config.training
    if config.lora != LoraConfig():
        yield "--backend keras trains whole models: leave --lora-rank and its sisters out."
    if training.micro_batch_size not in (None, training.batch_size):
        yield (
            "--backend keras takes a step's blocks at once: leave --micro-batch-size out. (Keras "
            "accumulates means, which weigh targets by the micro-batch that they fall into.)"
        )
    if config.distillation.teacher is not None:
        yield "--backend keras learns from the text alone: leave --teacher out."
    if training.gradient_checkpointing:
        yield "--backend keras keeps its activations: leave --gradient-checkpointing out."
    if training.train_only or training.freeze:
        yield "--backend keras trains whole models: leave --train-only and --freeze out."
    if training.layer_rate_decay != 1:
        yield "--backend keras has one learning rate: leave --layer-rate-decay out."
    if training.ema_decay is not None:
        yield "--backend keras keeps no average of its weights: leave --ema-decay out."
    if training.optimizer != "adamw":
        yield f"--backend keras has AdamW: leave --optimizer {training.optimizer} out."
    if training.compile:
        yield "--backend keras compiles where its back end does: leave --compile out."
    if config.model.attn_implementation is not None:
        yield "--backend keras has attention of its own: leave --attn-implementation out."
