"""The objective of a model: causal, which continues text, or masked, which fills blanks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nextfill.config import ModelConfig, Objective
from nextfill.config.command_line.python_messages import is_called
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.errors import ModelError
from nextfill.core.shell_command import shell_command
from nextfill.models.folder.configuration import CONFIG, read_config, transformers_config
from nextfill.models.folder.location import model_folder, read_base
from nextfill.models.libraries import REFUSALS, model_types

_CLASSES: dict[str, Objective] = {
    "ForCausalLM": "causal",
    "GPT2LMHeadModel": "causal",
    "ForMaskedLM": "masked",
}
"""Ends of the names of classes that have one objective, whatever their type."""

_OBJECTIVES: tuple[Objective, Objective] = ("causal", "masked")
_KERAS = f"{LIVE}LanguageModel"
"""The name of a live model of `nextfill.keras`."""

_WITH_TOKENIZER = ", tokenizer=tokenizer"

_VERBS = {
    "causal": ("continues text", "generate", "a text to continue"),
    "masked": ("fills blanks", "fill", "a text with ___ in it"),
}


class _ObjectiveError(ModelError):
    """The setting of an objective that a model was not made for."""

    def __init__(self, found: str, use: str) -> None:
        super().__init__(f"{found} To train or score it, leave --objective out. {use}")
        self.found, self.use = found, use


@contextmanager
def objective_of_verb() -> Iterator[None]:
    """Leave the advice on the setting out of errors where the verb has none of the kind."""
    try:
        yield
    except _ObjectiveError as error:
        raise ModelError(f"{error.found} {error.use}") from error


def default_objective(config: Any) -> Objective | None:
    """Return the objective of a model by its configuration, None if it has neither.

    Its type decides where there is only one sort of head for it. Else the class that it was saved
    as does, and where that says nothing, whether its attention looks back only: a BERT is masked
    unless its config makes a decoder of it. Of an encoder with a decoder we use the decoder alone,
    which is causal.
    """
    causal, masked = (model_types(objective).get(config.model_type) for objective in _OBJECTIVES)
    if causal is None or masked is None:
        return "causal" if causal else "masked" if masked else None
    if getattr(config, "is_encoder_decoder", False):
        return "causal"
    saved_as = set(getattr(config, "architectures", None) or ())
    if saved_as & (set(causal) ^ set(masked)):
        return "causal" if saved_as & set(causal) else "masked"
    decoder = getattr(config, "is_decoder", False) or getattr(config, "causal", False)  # XLM's
    return "causal" if decoder else "masked"


def choose_objective(config: Any, requested: Objective | None, name: str) -> Objective:
    """Return the objective to use a model with, refusing one that it was not made for."""
    default = default_objective(config)
    if default is None:
        raise ModelError(
            f"{name} is a {config.model_type}, which is neither a causal nor a masked language "
            "model: give a model that continues text or fills blanks."
        )
    if requested is not None and default != requested and not _serves_both(config.model_type):
        does, verb, text = _VERBS[default]
        found, typed = name, shell_command(verb, name, text)
        if is_called():
            typed = f"nextfill.{verb}({name!r}, {text!r})"
        if name.startswith(LIVE):
            is_keras = name == _KERAS  # which brings its tokenizer
            found = f"This {'Keras model' if is_keras else name.removeprefix(LIVE)}"
            typed = f"nextfill.{verb}(model, {text!r}{'' if is_keras else _WITH_TOKENIZER})"
        raise _ObjectiveError(
            f"{found} is a {default} language model, not a {requested} one, as "
            f"builtin:base-{requested} is.",
            f"It {does}: {typed}",
        )
    return requested or default


def _serves_both(kind: str) -> bool:
    """Return whether one class of a type is both a causal and a masked model, as XLM's."""
    causal, masked = (model_types(objective).get(kind, ()) for objective in _OBJECTIVES)
    return bool(set(causal) & set(masked))


def live_objective(model: Any, requested: Objective | None, name: str) -> Objective:
    """Return the objective of a live model, by its class if only one objective has that."""
    kind = type(model).__name__
    of_class: list[Objective] = [
        objective
        for objective in _OBJECTIVES
        if any(kind in classes for classes in model_types(objective).values())
    ]
    if len(of_class) == 1 and requested in (None, of_class[0]):
        return of_class[0]
    return choose_objective(model.config, requested, name)


def objective_of(
    config: ModelConfig, requested: Objective | None, live: Live = NOTHING_LIVE
) -> Objective:
    """Return the objective that data are prepared for: what is asked for, or the model's own.

    A name that is a tokenizer's alone tells none: causal.
    """
    if requested is not None:
        return requested
    if live.model is not None:
        return live_objective(live.model, None, config.name)
    if config.name.startswith(LIVE):
        return "causal"
    if config.name.startswith(SCRATCH):
        shape = _random_shape(config)
        return (shape and default_objective(shape)) or "causal"
    folder, _ = model_folder(config.name, config.revision, kind="tokenizer", called="model")
    if base := read_base(folder):
        return objective_of(replace(config, name=base[0], revision=base[1]), None)
    return _saved_objective(folder, config)


def _saved_objective(folder: Path, config: ModelConfig) -> Objective:
    if not (folder / CONFIG).is_file():
        return "causal"
    for name in read_config(folder, config.name).get("architectures") or ():
        for end, objective in _CLASSES.items():  # so that transformers need not be imported
            if str(name).endswith(end):
                return objective
    remote = config.trust_remote_code
    shape = transformers_config(folder, config.name, trust_remote_code=remote)
    return default_objective(shape) or "causal"


def _random_shape(config: ModelConfig) -> Any:
    """Return the configuration of a model of random weights; None where training refuses it."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(config.name.removeprefix(SCRATCH), **config.config)
    except (*REFUSALS, StrictDataclassError):
        return None
