"""The optimizers, none of which decays biases and norms, and the clipping of gradients."""

from __future__ import annotations

import math

import torch
from torch import nn

from nextfill.config import TrainingConfig


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


def make_optimizer(model: nn.Module, training: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer over the model's trainable parameters.

    - ``adamw``: PyTorch's fused one; ``adamw-unfused`` the one without fused kernels, the same but
      for the last digits.
    - ``sgd``: with ``beta1`` as its momentum; its decay is in the gradient, as in PyTorch.
    - ``adafactor``: factored second moments, without momentum; a step is the rate times the size
      of the parameters, so that its rates are larger than AdamW's.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization; Shazeer and Stern 2018,
        Adafactor, of which ``torch.optim.Adafactor`` has no update of the rate by the step but an
        upper bound of 1 / sqrt(step).
    """
    decayed = decayed_names(model)
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in named if n in decayed], "weight_decay": training.weight_decay},
        {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = training.learning_rate
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=training.beta1)
    if training.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=rate)
    return torch.optim.AdamW(
        groups,
        lr=rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        fused=training.optimizer == "adamw",
    )


def clip_gradients(model: nn.Module, max_norm: float) -> float:
    """Scale the gradients down to a norm, 0 for any, and return their norm before."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    return float(torch.nn.utils.clip_grad_norm_(parameters, max_norm or math.inf))
