"""AdamW, with no weight decay on biases and norms."""

from __future__ import annotations

import torch
from torch import nn

from nextfill.config import TrainingConfig


def decayed_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay applies to.

    Biases and the weights of normalisation layers are left out, as transformers' Trainer means to.
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
