"""Where and in what precision to compute, and a memory allocator that does not fight back."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import torch

from nextfill.config import Device, Precision
from nextfill.core.errors import ConfigError


def pick_device(device: Device, live: torch.nn.Module | None = None) -> torch.device:
    """Return the device to compute on."""
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
        return "bf16" if in_hardware else "fp32"
    if device.type == "cpu":
        return "bf16" if _cpu_has_bf16() else "fp32"
    return "fp32"


@cache
def _cpu_has_bf16() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(line.split()))
    return False


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which forward passes run; the weights stay float32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@cache
def tune_allocator() -> bool:
    """Make glibc keep freed memory instead of giving it back after every large tensor.

    By default each large tensor is a fresh mapping, and half the time of a bf16 training step on a
    CPU goes into page faults; keeping the memory is 1.4 to 1.5 times as fast, for about 15% more
    of it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)
    libc.mallopt(m_top_pad, 2**28)
    return True
