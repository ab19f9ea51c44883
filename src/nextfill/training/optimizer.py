"""The optimizer: AdamW without decay of biases and norms, its learning rate, and clipping."""

from __future__ import annotations

import math

import torch
from torch import nn

from nextfill.config import Schedule, TrainingConfig

WSD_DECAY_SHARE = 0.2
"""Share of the steps over which warm-up-stable-decay decays."""


def decayed_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters with weight decay: all but biases and norms.

    A layer counts as a norm by its class's name, because transformers has one class per model;
    Trainer goes by the parameter's name, and so decays Mamba's last norm, which ours does not.
    """
    norms = {
        f"{module_name}.{name}" if module_name else name
        for module_name, module in model.named_modules()
        if "norm" in type(module).__name__.lower()
        for name, _ in module.named_parameters(recurse=False)
    }
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name not in norms and not name.endswith("bias")
    }


def make_optimizer(model: nn.Module, training: TrainingConfig) -> torch.optim.AdamW:
    """Return a fused AdamW over the model's trainable parameters.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
    """
    decayed = decayed_names(model)
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in named if n in decayed], "weight_decay": training.weight_decay},
        {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        fused=True,
    )


def clip_gradients(model: nn.Module, max_norm: float) -> float:
    """Scale the gradients down to a norm, 0 for any, and return their norm before."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    return float(torch.nn.utils.clip_grad_norm_(parameters, max_norm or math.inf))


def warmup_steps(setting: float, num_steps: int) -> int:
    """Return the warm-up in steps; below 1 the setting is a share of all steps, rounded down.

    The first step of a warm-up has the rate 0, so a very short run had better have none.
    """
    return int(setting * num_steps) if setting < 1 else int(setting)


def learning_rate_at(
    step: int, *, peak: float, num_steps: int, warmup: int, schedule: Schedule
) -> float:
    """Return the learning rate of a step, counted from 0.

    The linear one equals that of transformers' ``get_linear_schedule_with_warmup``.

    Source:
        Warm-up-stable-decay: Hu et al. 2024, MiniCPM, section 4; ours decays linearly, as in
        Hagele et al. 2024.

    Example:
        >>> [learning_rate_at(s, peak=1.0, num_steps=4, warmup=0, schedule="linear")
        ...  for s in range(4)]
        [1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup:
        return peak * step / max(1, warmup)
    left = (num_steps - step) / max(1, num_steps - warmup)
    if schedule == "linear":
        return peak * max(0.0, left)
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * (1.0 - max(0.0, left))))
    decay = max(1, round(WSD_DECAY_SHARE * num_steps))
    return peak * min(1.0, max(0.0, (num_steps - step) / decay))
