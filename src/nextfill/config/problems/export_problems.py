"""Settings of an export that are missing, or that the format does not take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from nextfill.config import ExportConfig, ExportFormat, ExportQuantization
from nextfill.config.layers import build
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError

QUANTIZATIONS: Mapping[str, tuple[str, ...]] = {
    "ctranslate2": ("none", "int8"),
    "gguf": get_args(ExportQuantization),
    "onnx": ("none", "int8"),
    "openvino": ("none",),
}
"""The weights that each format can have."""


def export_config(layer: Sequence[Assignment], problems: Sequence[str] = ()) -> ExportConfig:
    """Return the settings of an export, refusing those that are missing or contradict others."""
    config = build(ExportConfig, [layer], problems)
    if found := [*_problems(config)]:
        raise ConfigError(found)
    return config


def _problems(config: ExportConfig) -> Iterator[str]:
    if config.to is None:
        yield f"--to says for which program: give --to {' or --to '.join(get_args(ExportFormat))}."
    else:
        able = QUANTIZATIONS[config.to]
        if config.quantization not in able:
            others = " or ".join(f"--quantization {one}" for one in able if one != "none")
            instead = f"give {others}, or leave it out" if others else "leave it out"
            asked = f"--quantization {config.quantization}"
            yield f"{asked}: {config.to} has no such weights: {instead}."
    if config.out is None:
        name = config.to or "exported"
        yield f"--out names the folder to write: give one, such as --out {name}-model."
