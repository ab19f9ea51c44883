"""Runs by Keras: stopped and gone on with, by the command, in bfloat16, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, Interrupted, ModelError
from nextfill.keras_engine.backend import choose_backend
from tests.keras.jobs import StopAt, steps, train
from tests.representative import often

OPT = {"tokenizer": "builtin:base-causal", "config": {"hidden_size": 32, "num_attention_heads": 4}}


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    settings = {"backend": "keras", "max_steps": 12, "save_every": 5, "dropout": 0.2}
    whole = train("causal", tmp_path / "whole", **settings)
    with pytest.raises(Interrupted, match="resume=True") as stopped:
        train("causal", tmp_path / "run", observer=StopAt(7), **settings)
    assert stopped.value.step == 7
    again = nextfill.train(out=tmp_path / "run", resume=True)
    assert again.after.nats == whole.after.nats
    for name in ("events.jsonl", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.trial
def test_dropout_is_another_at_each_step_and_the_same_again(tmp_path: Path) -> None:
    runs = [
        train("causal", tmp_path / name, backend="keras", dropout=0.3, max_steps=3)
        for name in ("one", "two")
    ]
    assert runs[0].after.nats == runs[1].after.nats
    plain = train("causal", tmp_path / "plain", backend="keras", dropout=0.0, max_steps=3)
    assert abs(plain.after.nats - runs[0].after.nats) > 1e-3


def test_settings_that_keras_does_not_take(tmp_path: Path) -> None:
    for settings, words in [
        ({"lora_rank": 4}, "whole models"),
        ({"micro_batch_size": 4}, "accumulates means"),
        ({"gradient_checkpointing": True}, "activations"),
    ]:
        with pytest.raises(ConfigError, match=words):
            train("causal", tmp_path / "run", backend="keras", **settings)
    other = next(name for name in ("jax", "torch") if name != keras.backend.backend())
    with pytest.raises(ConfigError, match=r"runs on .* in this process"):
        train("causal", tmp_path / "run", backend="keras", keras_backend=other)
    with pytest.raises(ModelError, match="the type opt"):
        train("causal", tmp_path / "run", backend="keras", model={**OPT, "name": "scratch:opt"})
    assert not (tmp_path / "run").exists()


def test_a_back_end_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util
    import sys

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else 1)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ConfigError, match="pip install jax"):
        choose_backend()
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ConfigError, match="expected one of tensorflow, jax, torch"):
        choose_backend()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'nextfill\[keras\]'"):
        choose_backend()


@pytest.mark.parametrize("objective", often(["causal", "masked"], ["masked"]))
def test_the_command_trains_the_bundled_model(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--backend", "keras", "--data", "builtin:torch-docs", "--max-steps", "2"]
    words += ["--split", "train[:40]", "--eval-split", "test[:3]", "--block-size", "32"]
    words += ["--objective", objective, "--out", str(tmp_path / "run"), "--json", "--quiet"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 2
    assert result["after"]["perplexity"] != result["before"]["perplexity"]
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.trial
def test_bfloat16_learns_as_well(tmp_path: Path) -> None:
    result = train("causal", tmp_path / "run", backend="keras", precision="bf16")
    assert result.after.perplexity < 0.9 * result.before.perplexity
    assert np.isfinite([one["grad_norm"] for one in steps(tmp_path / "run")]).all()


def test_a_keras_model_is_not_trained_in_place(tmp_path: Path) -> None:
    from nextfill.config import ModelConfig
    from nextfill.models.tokenizer import load_tokenizer

    model = nextfill.keras.from_transformers("builtin:base-causal")
    tokenizer = load_tokenizer(ModelConfig(name="builtin:base-causal"))
    with pytest.raises(ConfigError, match="its own fit"):
        nextfill.train(model=model, tokenizer=tokenizer, data=["a", "b"], out=tmp_path / "run")
