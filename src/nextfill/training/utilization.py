"""The share of a GPU's peak that training steps use, as model FLOPs over peak FLOPs.

Counted is what a model has to compute and no more: 6 for each parameter of a product and token (2
on the way forward, 2 for the gradient of its input, 2 for its own, where it is trained), and 12 for
each pair of a token with one of its document, layer and number of its width. Recomputed activations
count once, and causal attention is not halved. The head is counted for the targets alone.

Source: Chowdhery et al. 2022, PaLM (arXiv:2204.02311), appendix B. The peaks are the makers': dense
products in bfloat16, summed in float32, without sparsity, as the data sheets of these devices say.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import nn

from nextfill.config import Precision
from nextfill.models.architecture import setting, text_config
from nextfill.models.documents.document_attention import document_bounds
from nextfill.objectives.batch import Batch

_PEAKS = {
    r"A10": 125.0,
    r"A10G": 70.0,
    r"A100(-\w+)*( \d+GB)?( \w+)?": 312.0,
    r"H100( \d+GB HBM3)?": 989.4,
    r"H100 PCIe": 756.0,
    r"H100 NVL": 835.0,
    r"H200": 989.4,
    r"H200 NVL": 835.0,
    r"B200": 2250.0,
    r"L4": 121.0,
    r"L40S": 362.0,
    r"GeForce RTX 3090": 71.0,
    r"GeForce RTX 4090": 165.2,
}
"""TFLOP/s by the name of the device, after the maker's."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def peak_flops(device_name: str, precision: Precision) -> float | None:
    """Return the products that a device computes in a second at most, None where unknown.

    Example:
        >>> peak_flops("NVIDIA H100 80GB HBM3", "bf16"), peak_flops("NVIDIA H100X", "bf16")
        (989400000000000.0, None)
    """
    name = device_name.removeprefix("NVIDIA ").strip()
    found = [peak for pattern, peak in _PEAKS.items() if re.fullmatch(pattern, name)]
    return found[0] * 1e12 if found and precision == "bf16" else None


def step_flops(model: nn.Module, batch: Batch) -> float | None:
    """Return the FLOPs of a training step over a batch, None for a model that is not known so.

    A mixture computes with some of its experts alone, and a state-space model has no attention.
    """
    config = text_config(getattr(model, "config", None))
    layers, width = (setting(config, key) for key in ("num_hidden_layers", "hidden_size"))
    is_mixture = any((setting(config, key) or 0) > 1 for key in _EXPERTS)
    if not isinstance(layers, int) or not isinstance(width, int) or is_mixture:
        return None
    if getattr(model, "_is_stateful", False):
        return None
    head: Any = getattr(model, "get_output_embeddings", lambda: None)()
    tables = [one.weight for one in model.modules() if isinstance(one, nn.Embedding)]
    left_out = {id(one) for one in [*tables, *([] if head is None else head.parameters())]}
    of_body = sum(_per_token(one) for one in model.parameters() if id(one) not in left_out)
    of_head = 0 if head is None else sum(_per_token(one) for one in head.parameters())
    bounds = document_bounds(batch.document_ids)
    sizes = np.diff(bounds).astype(np.float64)
    sizes = sizes[batch.document_ids.ravel()[bounds[:-1]] >= 0]
    attention = 12 * layers * width * float((sizes**2).sum())
    return of_body * batch.num_tokens + of_head * batch.num_targets + attention


def _per_token(parameter: nn.Parameter) -> int:
    return (6 if parameter.requires_grad else 4) * parameter.numel()


def utilization(
    model: nn.Module, batch: Batch, elapsed_s: float, precision: Precision, device: torch.device
) -> dict[str, float | None]:
    """Return ``mfu``, the share of a GPU's peak that a step used, None where it is unknown.

    Nothing is told of a device that is no GPU.
    """
    if device.type != "cuda":
        return {}
    peak = peak_flops(torch.cuda.get_device_name(device), precision)
    flops = step_flops(model, batch) if peak else None
    return {"mfu": flops / (elapsed_s * peak) if flops and peak and elapsed_s else None}
