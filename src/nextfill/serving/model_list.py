"""The models that a server is asked for, by name, and those that runs among them began from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nextfill.config import ModelConfig, TrainConfig
from nextfill.config.layers import build
from nextfill.config.prefixes import SCRATCH
from nextfill.config.recipe_file import CONFIG, read_run_settings
from nextfill.core.errors import ConfigError
from nextfill.serving.service import model_names


@dataclass(frozen=True)
class ListedModel:
    """A model that is to be served.

    Args:
        name: By which it is asked for.
        aliases: Other names for it.
        config: Where it is.
        before: Name of the model that it began from, where that is served beside it.
    """

    name: str
    aliases: tuple[str, ...]
    config: ModelConfig
    before: str | None = None


def listed_models(
    first: ModelConfig,
    others: Sequence[str],
    *,
    with_before: bool,
    on_note: Callable[[str], None] = lambda text: None,
) -> list[ListedModel]:
    """Return the models to serve, in order.

    Args:
        first: The first as it was given.
        others: Names of the others.
        with_before: Whether the models that runs began from are served, too.
        on_note: Receives a sentence on a run that began from none.

    Raises:
        ConfigError: If a model is named twice, or none of them is a run that began from another.
    """
    typed = [first.name, *others]
    if len({*typed}) < len(typed):
        raise ConfigError(["A model is named twice: name each once."])
    configs = [first, *(replace(first, name=one) for one in others)]
    found = [
        ListedModel(name, aliases, config)
        for (name, aliases), config in zip(model_names(typed).items(), configs, strict=True)
    ]
    if not with_before:
        return found
    earlier: list[ListedModel] = []
    for number, one in enumerate(found):
        base = _began_from(one.config)
        if base is None:
            continue
        if base.name.startswith(SCRATCH):
            on_note(f"{one.name} began from random weights, which say nothing beside it")
            continue
        same = next((other.name for other in found if other.config.name == base.name), None)
        found[number] = replace(one, before=same or f"{one.name}:before")
        if same is None:
            earlier.append(ListedModel(f"{one.name}:before", (), base))
    if not any(one.before for one in found):
        raise ConfigError(
            [f"--before: {', '.join(typed)} is no run that began from a model: leave it out."]
        )
    return [*found, *earlier]


def _began_from(config: ModelConfig) -> ModelConfig | None:
    """Return the model that a run began from; None of a model that is no run."""
    path = Path(config.name).expanduser()
    if not (path / CONFIG).is_file():
        return None
    own = build(TrainConfig, [read_run_settings(path)]).model
    return replace(own, trust_remote_code=config.trust_remote_code)
