"""The note on the model of a run, and on how it is trained."""

from __future__ import annotations

from nextfill.config import MaskingConfig, TrainConfig
from nextfill.core.progress import Observer
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import SWITCH, coefficient
from nextfill.models.step import StepModule, has_router_loss


def note_model(
    config: TrainConfig, module: StepModule, loaded: LoadedModel, observer: Observer
) -> None:
    """Report the model and how it is trained."""
    masking = _masking_note(config.masking) if loaded.objective == "masked" else ""
    observer.on_note(
        f"{loaded.name}: {loaded.num_parameters:,} parameters, {loaded.device.type}, "
        f"{config.precision}; packing {config.blocks.packing}, documents kept apart by "
        f"{module.isolation.kind}{masking}"
    )
    _note_router(module, loaded, observer)


def _note_router(module: StepModule, loaded: LoadedModel, observer: Observer) -> None:
    """Report the use of a mixture's router loss, where its config asks for one."""
    if not module.asks_for_router:
        return
    if has_router_loss(module, loaded.name):
        observer.on_note(
            f"the loss of its router, times {coefficient(loaded.model):g}, is added to the "
            "training loss, and to no perplexity"
        )
    else:
        kind = type(loaded.model).__name__
        observer.on_note(f"{SWITCH} is set, but a {kind} of transformers has no loss of its router")


def _masking_note(masking: MaskingConfig) -> str:
    """Describe the text that a masked model has to fill in."""
    units = {"token": "of the tokens", "word": "of the words", "span": "of the text in spans"}
    first, last = masking.training_rates
    change = f"{first:.0%} {'falling' if first > last else 'rising'} to " if first != last else ""
    scored = "" if last == masking.rate else f", {masking.rate:.0%} in evaluations"
    return f"; {change}{last:.0%} {units[masking.unit]} masked{scored}"
