"""A model made ready to be trained: its adapter, the parameters that change, and its memory."""

from __future__ import annotations

from collections.abc import Callable

from nextfill.config import TrainConfig
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer
from nextfill.models.architecture import checkpoint_gradients
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.trained_parameters import choose_trained
from nextfill.training.adapter import set_up_adapter
from nextfill.training.new_vocabulary import NewTokens, check_trained


def make_trainable(
    config: TrainConfig,
    loaded: LoadedModel,
    new_tokens: NewTokens | None,
    observer: Observer,
    before_quantizing: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Add an adapter on request, freeze what is not trained, and report it.

    Args:
        config: The settings.
        loaded: The model.
        new_tokens: The tokens that it got.
        observer: Gets notes on it.
        before_quantizing: Called before weights are held in 4 bits, where they are to be.
    """
    loaded = set_up_adapter(config, loaded, observer, before_quantizing)
    if config.share.adapter and (config.lora.merge or loaded.adapter is None):
        raise ConfigError(
            ["--share-adapter: this run makes no adapter: give --lora-rank, without --lora-merge."]
        )
    _choose_trained(config, loaded, observer)
    check_trained(loaded, new_tokens)
    if config.training.gradient_checkpointing:
        checkpoint_gradients(loaded.model)
    return loaded


def _choose_trained(config: TrainConfig, loaded: LoadedModel, observer: Observer) -> None:
    """Freeze what the settings leave out of the training, and report what is trained."""
    train_only, freeze = config.training.train_only, config.training.freeze
    if not (train_only or freeze):
        return
    if loaded.adapter is not None:
        raise ConfigError(
            [
                "--train-only and --freeze choose among a model's own weights, none of which an "
                "adapter trains: leave them out, or --lora-rank."
            ]
        )
    choose_trained(loaded.model, train_only, freeze)
    share = loaded.num_trained / loaded.num_parameters
    observer.on_note(f"training {loaded.num_trained:,} parameters ({share:.1%} of all)")
