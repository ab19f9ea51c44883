"""The adapter of a run, added to its model on request or loaded with it."""

from __future__ import annotations

from nextfill.config import LoraConfig, TrainConfig
from nextfill.config.prefixes import SCRATCH
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.models.loaded_model import LoadedModel, origin
from nextfill.models.lora import add_adapter, name_base


def set_up_adapter(config: TrainConfig, loaded: LoadedModel, observer: Observer) -> LoadedModel:
    """Add a LoRA adapter to the model on request, and report the adapter it has."""
    lora = config.lora
    if lora.rank is None and loaded.adapter is None and lora != LoraConfig():
        raise ConfigError(["--lora-alpha, -dropout, -targets and -merge need --lora-rank."])
    if lora.rank is not None:
        if config.model.name.startswith(SCRATCH):
            raise ConfigError(
                ["--lora-rank adapts a trained model: scratch weights are random, train them all."]
            )
        loaded = add_adapter(loaded, lora, seed=config.seed)
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
        layers = sorted(loaded.adapter.peft_config["default"].target_modules)
        observer.on_note(
            f"training an adapter of {loaded.num_trained:,} parameters ({share:.1%} of all) on "
            f"{', '.join(layers)}"
        )
    return loaded


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
