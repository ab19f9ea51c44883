"""Training some of a model's parameters, or its layers at rates of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill

JOB = {"max_steps": 4, "block_size": 32, "quiet": True, "device": "cpu", "precision": "fp32"}
JOB |= {"test_size": 0.1, "learning_rate": 1e-2}


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture
def job(tiny_model, text_file):
    return {"model": str(tiny_model), "data": str(text_file), **JOB}


def test_a_run_changes_what_it_trains_alone(job, tiny_model, tmp_path):
    result = nextfill.train(out=tmp_path / "run", train_only=["norms"], **job)
    before, after = weights(tiny_model), weights(Path(result.run) / "model")
    changed = {name for name, one in after.items() if not torch.equal(one, before[name])}
    assert changed
    assert all(".ln_" in name for name in changed)
    assert result.after.nats < result.before.nats
    checkpoint = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1]
    assert all(".ln_" in name for name in weights(checkpoint))  # and the rest is the base's
    assert nextfill.evaluate(result.run).nats == pytest.approx(result.after.nats, rel=1e-9)


def test_a_run_with_frozen_layers_goes_on_to_the_same_bytes(job, tmp_path):
    settings = {**job, "freeze": ["layers:0", "embeddings"], "save_every": 2}
    settings["layer_rate_decay"] = 0.7
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    nextfill.train(out=tmp_path / "run", **settings)
    for late in ("checkpoints/step-00000004", "model"):
        (tmp_path / "run" / late).rename(tmp_path / f"gone-{late[:5]}")
    again = nextfill.train(out=tmp_path / "run", resume=True)
    assert again.after == whole.after
    one, other = (tmp_path / name / "model" / "model.safetensors" for name in ("whole", "run"))
    assert one.read_bytes() == other.read_bytes()


def test_lower_layers_move_less(job, tiny_model, tmp_path):
    moves = {}
    for decay in (1.0, 0.5):
        settings = {**job, "max_steps": 1, "optimizer": "sgd", "max_grad_norm": 0.0}
        settings |= {"layer_rate_decay": decay, "dropout": 0.0, "weight_decay": 0.0}
        result = nextfill.train(out=tmp_path / f"{decay}", **settings)
        before, after = weights(tiny_model), weights(Path(result.run) / "model")
        moves[decay] = {name: after[name] - before[name] for name in before}
    factors = {"transformer.wte.weight": 0.25, "transformer.ln_f.weight": 1.0}
    factors |= {f"transformer.h.{n}.mlp.c_fc.weight": 0.5 ** (1 - n) for n in (0, 1)}
    for name, factor in factors.items():
        whole = moves[1.0][name]
        assert whole.abs().max() > 0
        assert torch.allclose(moves[0.5][name], factor * whole, atol=1e-6)


def test_a_live_model_is_trainable_as_before(job, tiny_model, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    live = {**job, "model": model, "tokenizer": tokenizer, "train_only": ["*.bias"]}
    nextfill.train(out=tmp_path / "run", **live)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_run_of_the_biases_alone(kind, job, tiny_masked, tmp_path):
    """BitFit (Ben Zaken et al. 2022); a tied or untied head has the last of them."""
    if kind == "masked":
        job = {**job, "model": str(tiny_masked), "objective": "masked"}
    result = nextfill.train(out=tmp_path / "run", train_only=["biases"], **job)
    before, after = weights(Path(job["model"])), weights(Path(result.run) / "model")
    biases = {name for name in before if name.endswith("bias")}
    changed = {name for name, one in after.items() if not torch.equal(one, before[name])}
    assert changed
    assert changed <= biases
    assert len(changed) > len(biases) / 2
    measured = json.loads((Path(result.run) / "measured.json").read_text())
    assert measured["trained_parameters"] < measured["parameters"] / 20
    assert result.after.nats < result.before.nats
    assert nextfill.evaluate(result.run).nats == pytest.approx(result.after.nats, rel=1e-9)


def test_a_model_without_biases_is_told_what_it_has(fails, text_file):
    words = ["train", "--model", "builtin:base-causal", "--data", text_file]
    said = fails(*words, "--train-only", "biases")
    assert "--train-only: the model has no biases; of such parts it has embeddings, norms." in said


def test_names_that_match_nothing(fails, tiny_model, text_file, tmp_path):
    words = ["train", "--model", tiny_model, "--data", text_file, "--out", tmp_path / "run"]
    assert "--freeze: the model has no parameter layers:2;" in fails(*words, "--freeze", "layers:2")
    assert "adapter" in fails(*words, "--freeze", "norms", "--lora-rank", "2")
    assert "--layer-rate-decay" in fails(*words, "--layer-rate-decay", "1.5")
    assert not (tmp_path / "run").exists()
