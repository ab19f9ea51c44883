"""The files of an adapter, looked at before PEFT reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nextfill.core.errors import ModelError
from nextfill.models.folder.configuration import check_pattern, read_json
from nextfill.models.folder.location import ADAPTER_CONFIG
from nextfill.models.folder.model_files import TensorHeader, read_headers
from nextfill.models.libraries import library_errors

ADAPTER_WEIGHTS = "adapter_model.safetensors"

_KINDS = ("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "HRA")
"""Kinds that put layers of their own into a model and read nothing else."""
_FOREIGN = ("megatron_config", "lora_ga_config", "corda_config", "layer_replication")
"""Settings that import a module by name, read a pickle, or make the model another one."""
_BY_CHANCE = "pissa_niter"
"""PiSSA by a decomposition that draws random numbers."""
_RANKS = ("r", "rank_pattern", "init_r", "target_r")


def check_adapter_files(folder: Path, name: str, modules: Iterable[str]) -> None:
    """Refuse an adapter that PEFT should not read; the modules are those of its model.

    Its configuration may name modules of Python to import, files to unpickle, and regular
    expressions that PEFT tries on every module's name.
    """
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        others = sorted(p.name for p in folder.glob("adapter_model*"))
        found = f"found {', '.join(others[:5])}" if others else "found none"
        raise ModelError(
            f"The adapter {name} has no weights in {ADAPTER_WEIGHTS} ({found} in {folder}). "
            "Pickled weights can run code and are not read: save it again with PEFT's "
            "save_pretrained."
        )
    path = folder / ADAPTER_CONFIG
    settings = read_json(path)
    kind = settings.get("peft_type")
    if kind not in _KINDS:
        raise ModelError(
            f"{path} says peft_type is {kind!r}; expected one of {', '.join(_KINDS)}: others need "
            "more than their own weights."
        )
    for key in _FOREIGN:
        if settings.get(key):
            raise ModelError(
                f"{path} sets {key}, which an adapter that is only put on a model does not need: "
                "remove it, or merge the adapter with the program that made it."
            )
    if str(settings.get("init_lora_weights")).startswith(_BY_CHANCE):
        raise ModelError(
            f"{path} says init_lora_weights is {settings['init_lora_weights']!r}: what it took "
            "from the model's weights was found by random numbers, and cannot be found again. Save "
            "it with PEFT's path_initial_model_for_weight_conversion, or merged into its model."
        )
    _check_ranks(settings, read_headers([weights]), path)
    beginnings = list(_beginnings(modules))
    for pattern in _patterns(settings):
        with library_errors(f"{path}: the regular expression {pattern[:200]!r} is none"):
            compiled = re.compile(pattern)
            check_pattern(pattern, compiled.fullmatch, beginnings, str(path))


def _check_ranks(
    settings: Mapping[str, Any], headers: Mapping[str, TensorHeader], path: Path
) -> None:
    """Refuse a rank that the weights do not have, whose matrices could be of any size."""
    largest = max((_rank(key, one.shape) for key, one in headers.items()), default=1)
    for key in _RANKS:
        value = settings.get(key)
        for rank in value.values() if isinstance(value, dict) else [value]:
            if isinstance(rank, int) and rank > max(largest, 64):
                raise ModelError(
                    f"{path} says {key} is a rank of {rank.bit_length()} bits, and the largest in "
                    f"{ADAPTER_WEIGHTS} is {largest}. Fetch both again."
                )


def _rank(name: str, shape: Sequence[int]) -> int:
    """Return the rank that a matrix of an adapter has, by its name where that tells."""
    if len(shape) < 2:
        return 1
    if ".lora_A." in name:
        return shape[0]
    return shape[1] if ".lora_B." in name else min(shape)


def _patterns(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the regular expressions that PEFT makes of an adapter's settings."""
    for key in ("target_modules", "exclude_modules"):
        if isinstance(settings.get(key), str):
            yield settings[key]
    for one in _strings(settings.get("layers_pattern")):
        yield rf"(?:^|.*?\.){one}\.(?P<idx>\d+)\."
    for one in _strings(settings.get("modules_to_save")):
        yield rf"(^|.*\.){one}($|\..*)"
    for key in ("rank_pattern", "alpha_pattern"):
        if isinstance(settings.get(key), dict):
            yield from (rf"(.*\.)?({one})$" for one in settings[key])


def _strings(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _beginnings(modules: Iterable[str]) -> Iterator[str]:
    """Yield the beginnings of modules' names; names that differ in numbers alone count as one."""
    kinds = {re.sub(r"\d+", "0", name): name for name in modules if name}
    for name in kinds.values():
        for length in range(1, len(name) + 1):
            yield name[:length]
