"""AdamW as transformers' Trainer sets it up, and one step of it by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from nextfill.config import TrainingConfig
from nextfill.training.optimizer import decayed_names, make_optimizer


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox", "opt", "bloom"])
def test_decayed_names_equal_the_trainers(
    make_model: Callable[..., Any], tmp_path: Any, kind: str
) -> None:
    model = make_model(kind)
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    theirs = set(Trainer(model, args).get_decay_parameter_names(model))
    names = {name for name, _ in model.named_parameters()}
    assert decayed_names(model) == theirs & names
    assert decayed_names(model) != names


def test_a_norm_that_the_trainer_misses_is_not_decayed(
    make_model: Callable[..., Any], tmp_path: Any
) -> None:
    model = make_model("mamba")
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    theirs = set(Trainer(model, args).get_decay_parameter_names(model))
    names = {name for name, _ in model.named_parameters()}
    assert (theirs & names) - decayed_names(model) == {"backbone.norm_f.weight"}
    assert decayed_names(model) < theirs


def test_each_parameter_is_in_one_group_with_its_decay(make_model: Callable[..., Any]) -> None:
    model = make_model("gpt2")
    model.transformer.wpe.weight.requires_grad_(False)
    groups = make_optimizer(model, TrainingConfig(weight_decay=0.3)).param_groups
    found = [id(p) for group in groups for p in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in model.parameters() if p.requires_grad}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decay[id(model.transformer.wte.weight)] == 0.3
    assert decay[id(model.transformer.h[0].attn.c_attn.bias)] == 0.0
    assert decay[id(model.transformer.h[0].ln_1.weight)] == 0.0


def test_two_steps_by_hand() -> None:
    rate, beta1, beta2, epsilon, decay = 0.01, 0.8, 0.95, 1e-6, 0.1
    layer = nn.Linear(1, 1).double()
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(-1.0)
    training = TrainingConfig(
        learning_rate=rate, weight_decay=decay, beta1=beta1, beta2=beta2, epsilon=epsilon
    )
    optimizer = make_optimizer(layer, training)

    weight, first, second = 2.0, 0.0, 0.0
    for step, gradient in enumerate([0.5, -3.0], start=1):
        layer.weight.grad = torch.full((1, 1), gradient, dtype=torch.float64)
        layer.bias.grad = torch.zeros(1, dtype=torch.float64)
        optimizer.step()
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        corrected = math.sqrt(second / (1 - beta2**step)) + epsilon
        weight = weight * (1 - rate * decay) - rate * first / (1 - beta1**step) / corrected
        assert layer.weight.item() == pytest.approx(weight, rel=1e-12)
    assert layer.bias.item() == -1.0  # neither moved nor decayed
