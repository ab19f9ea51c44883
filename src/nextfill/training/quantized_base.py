"""The base of a run held in 4 bits, and the figures of the model before it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from nextfill.config import TrainConfig
from nextfill.config.prefixes import LIVE
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.data.infilling import Infilling
from nextfill.models.adapters.quantization import NF4, Quantization, check_bitsandbytes
from nextfill.models.loaded_model import LoadedModel
from nextfill.runs.quantization_cost import QUANTIZATION
from nextfill.training.model_before import StagesAlone, figures_before
from nextfill.training.training_data import prepare_parts


def check_quantization(config: TrainConfig) -> None:
    """Refuse weights of 4 bits where they cannot be had, before anything is loaded."""
    kind = config.lora.quantization
    if kind == "none":
        return
    flag = f"--lora-quantization {kind}"
    if config.model.name.startswith(LIVE):
        raise ConfigError(
            [
                f"{flag} makes other weights of a model for good, and a live one is yours: give "
                "the name or the folder that it was loaded from."
            ]
        )
    check_bitsandbytes(flag)


class WholeModel:
    """The model of a run while its weights are whole, scored before they are held in 4 bits.

    Args:
        config: The settings, with the block size.
        loaded: The model.
        observer: Gets the stages.
        device: The device to score it on.
        infilling: The infilling of the training documents.
        compare: Whether to score it.
    """

    def __init__(
        self,
        config: TrainConfig,
        loaded: LoadedModel,
        observer: Observer,
        *,
        device: torch.device,
        infilling: Infilling | None,
        compare: bool,
    ) -> None:
        self._config, self._loaded, self._observer = config, loaded, observer
        self._device, self._infilling, self._compare = device, infilling, compare
        self.figures: Mapping[str, Any] | None = None

    def score(self) -> None:
        """Score the model on the held-out documents, and put it back where it was."""
        if not self._compare:
            return
        config, loaded, observer = self._config, self._loaded, self._observer
        stages = StagesAlone(observer)
        part = prepare_parts(config, loaded, stages, infilling=self._infilling).held_out
        before = loaded.device
        loaded.model.to(self._device)
        label = "evaluating the model with whole weights"
        self.figures = figures_before(config, loaded, part, observer, label)
        loaded.model.to(before)


def quantization_event(
    quantization: Quantization, whole: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the record of a base in 4 bits in a run's events."""
    held = set(map(_end, quantization.layers))
    left = {name if _end(name) in held else _end(name) for name in quantization.left}
    return {
        "event": QUANTIZATION,
        "step": 0,
        "type": NF4,
        "layers": len(quantization.layers),
        "weights": quantization.weights,
        "bytes_before": quantization.bytes_before,
        "bytes_now": quantization.bytes_now,
        "left": sorted(left),
        "without": whole,
    }


def _end(name: str) -> str:
    return name.rpartition(".")[2]
