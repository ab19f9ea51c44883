"""The optimizers, none of which decays biases and norms, and the clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.config import TrainingConfig
from nextfill.models.computation import reads_late
from nextfill.models.trained_parameters import norm_names, rate_factors

RATE_FACTOR = "rate_factor"


def decayed_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters with weight decay: all but biases and norms.

    Trainer takes a norm by the parameter's name, and so decays Mamba's last, which ours does not.
    """
    norms = norm_names(model)
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name not in norms and not name.endswith("bias")
    }


def parameter_groups(model: nn.Module, training: TrainingConfig) -> list[dict[str, Any]]:
    """Return the trained parameters in groups of one weight decay and one factor of the rate."""
    decayed, factors = decayed_names(model), rate_factors(model, training.layer_rate_decay)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name in decayed, factors[name]), []).append(parameter)
    decays = {True: training.weight_decay, False: 0.0}
    return [
        {"params": parameters, "weight_decay": decays[is_decayed], RATE_FACTOR: factor}
        for (is_decayed, factor), parameters in sorted(
            groups.items(), key=lambda group: (not group[0][0], group[0][1])
        )
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of a step, in each group times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[RATE_FACTOR]


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
    groups = parameter_groups(model, training)
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


def clip_gradients(
    model: nn.Module, max_norm: float, whole: Callable[[Tensor], Tensor] = lambda norm: norm
) -> Tensor:
    """Scale the gradients down to a norm, 0 for any, and return their norm before, ``[]``.

    ``whole`` makes of the norm that PyTorch has of them the norm over all ranks.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    norm = whole(norm)
    most = max_norm or math.inf
    # Where the norm is small enough, PyTorch would write each gradient times 1. A GPU does not
    # wait to see whether it is.
    if max_norm if reads_late(norm.device) else not float(norm) + 1e-6 <= most:
        torch.nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm
