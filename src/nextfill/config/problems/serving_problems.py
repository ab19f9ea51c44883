"""Settings of a server that contradict one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nextfill.config.layers import build
from nextfill.config.options import Assignment
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.settings.serving_settings import ServeConfig
from nextfill.core.errors import ConfigError


def serve_config(
    layer: Sequence[Assignment], problems: Sequence[str] = (), others: Sequence[str] = ()
) -> ServeConfig:
    """Return the settings of a server, refusing those that contradict one another."""
    config = build(ServeConfig, [layer], problems)
    if found := [*_contradictions(config, others)]:
        raise ConfigError(found)
    return config


def _contradictions(config: ServeConfig, others: Sequence[str]) -> Iterator[str]:
    model = config.model
    of_one = {"--tokenizer": model.tokenizer, "--revision": model.revision}
    for flag, value in of_one.items():
        if others and value is not None:
            yield f"{flag} is one model's: leave it out where several are served."
    for name in (model.name, *others):
        if name.startswith(SCRATCH):
            yield f"{name} has random weights, which say nothing: name a trained model."
    for name in others:
        if name.startswith(LIVE):
            yield f"{name} is no name: one live model is served, before the names of others."
    if config.weights == "int8" and config.precision == "bf16":
        yield "--weights int8 computes in float32 beside its 8 bits: leave --precision out."
    key = config.serving.api_key
    if key is not None and (key != key.strip() or not key.isascii() or not key.isprintable()):
        yield "--api-key has to be of ASCII letters, digits and signs, as headers hold no others."
