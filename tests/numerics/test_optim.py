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


def three_steps(model: nn.Module, training: TrainingConfig) -> list[torch.Tensor]:
    optimizer = make_optimizer(model, training)
    for step in range(3):
        for number, parameter in enumerate(model.parameters()):
            parameter.grad = torch.full_like(parameter, (-1.0) ** step * (number + 1) / 7)
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def layer() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 4)


def test_the_unfused_one_is_the_same_but_for_the_last_digits() -> None:
    fused, unfused = (
        three_steps(layer(), TrainingConfig(optimizer=kind, learning_rate=0.1))  # type: ignore[arg-type]
        for kind in ("adamw", "adamw-unfused")
    )
    for one, other in zip(fused, unfused, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    plain = make_optimizer(layer(), TrainingConfig(optimizer="adamw-unfused"))
    assert not plain.defaults["fused"]


def test_sgd_by_hand() -> None:
    training = TrainingConfig(optimizer="sgd", learning_rate=0.1, beta1=0.5, weight_decay=0.2)
    weight, bias = three_steps(layer(), training)
    expected, moment = layer().weight.detach().double(), torch.zeros(4, 3).double()
    for step in range(3):
        gradient = (-1.0) ** step / 7 + 0.2 * expected
        moment = gradient if step == 0 else 0.5 * moment + gradient
        expected = expected - 0.1 * moment
    torch.testing.assert_close(weight.double(), expected, rtol=1e-6, atol=1e-7)
    steps = [2 / 7, -2 / 7 + 0.5 * 2 / 7, 2 / 7 + 0.5 * (-2 / 7 + 0.5 * 2 / 7)]
    moved = layer().bias.detach().double() - 0.1 * sum(steps)  # without decay
    torch.testing.assert_close(bias.double(), moved, rtol=1e-6, atol=1e-7)


def test_adafactor_keeps_rows_and_columns_and_decays_no_bias() -> None:
    model = layer()
    optimizer = make_optimizer(model, TrainingConfig(optimizer="adafactor", weight_decay=0.3))
    assert isinstance(optimizer, torch.optim.Adafactor)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = optimizer.state[next(model.parameters())]
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        **{"step": (), "row_var": (4, 1), "col_var": (1, 3)},
    }


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
