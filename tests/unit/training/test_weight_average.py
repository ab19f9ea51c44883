"""The moving average of weights, by hand and through a run that is stopped and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import nextfill
from nextfill.training.weight_average import WeightAverage


def test_it_is_the_average_by_hand():
    model = nn.Linear(1, 1, bias=False).double()
    average = WeightAverage(model, 0.5)
    expected = model.weight.item()
    for step in range(1, 30):
        with torch.no_grad():
            model.weight.fill_(step)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert average.state()["weight"].item() == pytest.approx(expected, rel=1e-12)


def test_the_model_has_it_for_a_while_or_for_good():
    model = nn.Linear(2, 2)
    frozen = model.bias.requires_grad_(False).clone()
    average = WeightAverage(model, 0.9)
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1)
        model.bias.copy_(frozen)
    last = model.weight.detach().clone()
    with average.in_use():
        assert torch.equal(model.weight, first)
    assert torch.equal(model.weight, last)
    average.apply()
    assert torch.equal(model.weight, first)
    assert average.state().keys() == {"weight"}


def test_there_is_none_without_a_decay():
    model = nn.Linear(2, 2)
    average = WeightAverage(model, None)
    before = model.weight.detach().clone()
    average.update(1)
    with average.in_use():
        assert torch.equal(model.weight, before)
    assert average.state() == {}


@pytest.fixture
def job(tiny_model, text_file):
    return {
        **{"model": str(tiny_model), "data": str(text_file), "test_size": 0.1, "device": "cpu"},
        **{"max_steps": 9, "block_size": 32, "learning_rate": 1e-2, "precision": "fp32"},
        **{"save_every": 1, "eval_every": 3, "keep_checkpoints": 9, "schedule": "constant"},
    }


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_a_run_saves_and_evaluates_the_average_of_its_steps(job, tiny_model, tmp_path):
    result = nextfill.train(out=tmp_path / "run", ema_decay=0.6, **job)
    run = Path(result.run)
    plain = Path(nextfill.train(out=tmp_path / "plain", **job).run)
    name = "transformer.h.1.mlp.c_fc.weight"
    expected = weights(tiny_model)[name].double()
    for step in range(1, 10):
        state = weights(run / f"checkpoints/step-{step:08d}")
        assert torch.equal(state[name], weights(plain / f"checkpoints/step-{step:08d}")[name])
        decay = min(0.6, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * state[name].double()
    saved = weights(run / "model")[name]
    assert torch.allclose(saved.double(), expected, atol=1e-6)
    assert not torch.allclose(saved, state[name], atol=1e-4)
    assert nextfill.evaluate(run).nats == pytest.approx(result.after.nats, rel=1e-9)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_goes_on_with_its_average(job, keep, tmp_path):
    settings = {**job, "ema_decay": 0.8, "keep": keep, "validation_size": 0.1}
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    nextfill.train(out=tmp_path / "run", **settings)
    for step in range(5, 10):
        (tmp_path / f"run/checkpoints/step-{step:08d}").rename(tmp_path / f"gone-{step}")
    (tmp_path / "run" / "model").rename(tmp_path / "gone")
    if keep == "best":
        (tmp_path / "run/checkpoints/best.safetensors").unlink()
    again = nextfill.train(out=tmp_path / "run", resume=True)
    assert again.after == whole.after
    one, other = (tmp_path / name / "model/model.safetensors" for name in ("whole", "run"))
    assert one.read_bytes() == other.read_bytes()
