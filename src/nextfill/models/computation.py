"""Computing with a model: device, precision and memory, and a model left as it was.

Some models change as they compute: BigBird gives up its sparse attention at the first short text,
for good; Reformer fixes its number of buckets by the first text's length; RWKV divides its own
weights when it evaluates; RecurrentGemma keeps its state in its layers. After that a figure depends
on earlier ones, and a saved model is not the one that was trained. So every probe runs in
`restored`, which notes the models that change, and every other computation in `guarded`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nextfill.config import Device, Precision
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.architecture import configs_of, embedding_rows, setting, text_config
from nextfill.models.libraries import (
    part_tables,
    rescales,
    undo_rescaling,
    weights_of_proxies,
    write_count,
)

_CHANGING: WeakSet[nn.Module] = WeakSet()
"""Models that were seen to change as they compute."""

LATE = frozenset({"cuda"})
"""Types of the devices that compute on their own, whose figures are read one step late."""

_TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit, that still counts as equal."""


def pick_device(device: Device, live: nn.Module | None = None) -> torch.device:
    """Return the device to compute on; ``auto`` leaves a live model where it is."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto" and live is not None:
        return next(live.parameters()).device
    if device == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[device]:
        there = ", ".join(name for name, here in available.items() if here)
        raise ConfigError([f"--device {device}: this machine has none. There is: {there}."])
    return torch.device(device)


def pick_precision(precision: Precision, device: torch.device) -> Precision:
    """Return ``fp32`` or ``bf16``; ``auto`` is bf16 where the hardware multiplies in it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        in_hardware = device.type == "cpu" and _cpu_has_bf16()
    return "bf16" if in_hardware else "fp32"


@cache
def _cpu_has_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(line.split()))
    return False


def reads_late(device: torch.device) -> bool:
    """Return whether the figures of a device's steps are read while the next step runs."""
    return device.type in LATE


def to_device(array: NDArray[np.int64], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; a GPU copies it while the host goes on."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which forward passes run; the weights stay float32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def probe_ids(model: nn.Module, rows: int, length: int, *, seed: int = 0) -> Tensor:
    """Return random ids, ``[rows, length] int64``, on the CPU, for trying a model out.

    The pad token stays out of them: some models tell padding by it.
    """
    generator = torch.Generator().manual_seed(length + 1000 * seed)
    ids = torch.randint(0, embedding_rows(model), (rows, length), generator=generator)
    config = getattr(model, "config", None)
    pad = None if config is None else setting(text_config(config), "pad_token_id")
    return ids if not isinstance(pad, int) else ids.where(ids != pad, (pad + 1) % 3)


def same_logits(logits: Tensor, expected: Tensor, tolerance: float = _TOLERANCE) -> bool:
    """Return whether logits are the expected ones but for rounding."""
    difference = (logits - expected).abs().max()
    return bool(difference <= tolerance * expected.abs().max().clamp(min=1e-3))


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode for a while; each part goes back into its own.

    Random numbers drawn meanwhile are not missed afterwards.
    """
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    model.train(training)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, before in modes:
            module.training = before


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Put back afterwards everything that a computation changed in a model, except its mode."""
    state = _State(model)
    try:
        yield
    finally:
        if state.put_back(model):
            _CHANGING.add(model)


def guarded(model: nn.Module) -> AbstractContextManager[None]:
    """Return `restored` for a model that was seen to change, else a context that does nothing."""
    return restored(model) if model in _CHANGING else nullcontext()


class _State:
    """Everything that hangs on a model's modules and configurations, by reference."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        for module in self._modules:  # perhaps computed with before, by others
            undo_rescaling(module)
        self._tables = [
            (table, dict(table)) for module in self._modules for table in part_tables(module)
        ]
        owners = [*self._modules, *configs_of(model)]
        self._attributes = [(one, _public(vars(one))) for one in owners]
        self._writes = {name: write_count(p) for name, p in model.named_parameters()}

    def put_back(self, model: nn.Module) -> bool:
        """Put back everything that changed, and return whether anything had."""
        rescaled = sum(map(undo_rescaling, self._modules)) > 0  # each of them
        changed = [_reset(table, table, before) for table, before in self._tables]
        for owner, before in self._attributes:
            if isinstance(owner, nn.Module):
                before["training"] = owner.training  # of whoever called, and no trace
            changed.append(_reset(vars(owner), _public(vars(owner)), before))
        if not any(map(rescales, self._modules)):
            self._check_weights(model)
        return rescaled or any(changed)

    def _check_weights(self, model: nn.Module) -> None:
        """Refuse a model that wrote into its weights, which nothing is known to undo."""
        swapped = {id(p) for p in weights_of_proxies(model)}
        written = [
            name
            for name, p in model.named_parameters()
            if write_count(p) != self._writes.get(name) and id(p) not in swapped
        ]
        if written:
            raise ModelError(
                f"A {type(model).__name__} writes into its own weights as it computes "
                f"({', '.join(written[:3])}), so that its figures depend on what it computed "
                "before: it cannot be used here."
            )


def _public(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that are a module's own; those with a ``_`` are hooks of libraries."""
    return {name: value for name, value in attributes.items() if not name.startswith("_")}


def _reset(holder: dict[str, Any], now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Give a dict the objects of ``before`` again; return whether those of ``now`` differed."""
    if now.keys() == before.keys() and all(now[name] is before[name] for name in before):
        return False
    for name in now.keys() - before.keys():
        del holder[name]
    holder.update(before)
    return True
