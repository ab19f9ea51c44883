"""Training by Keras: the PyTorch engine's batches, losses, checkpoints and records."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, Interrupted, ModelError
from nextfill.core.progress import Silent
from nextfill.keras_engine.backend import choose_backend

SHAPES: dict[str, dict[str, Any]] = {
    "causal": {
        "name": "scratch:gpt2",
        "tokenizer": "builtin:base-causal",
        "config": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    },
    "masked": {
        "name": "scratch:roberta",
        "tokenizer": "builtin:base-masked",
        "config": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 70,
        },
    },
}
OPT = {"tokenizer": "builtin:base-causal", "config": {"hidden_size": 32, "num_attention_heads": 4}}
JOB: dict[str, Any] = {
    "data": "builtin:torch-docs",
    "split": "train[:60]",
    "eval_split": "test[:4]",
    "max_steps": 20,
    "batch_size": 8,
    "block_size": 64,
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "warmup_steps": 3,
    "precision": "fp32",
    "sample_prompt": None,
}


class StopAt(Silent):
    """Sends a signal to this process at the end of a step."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Send the signal."""
        if event["step"] == self.step:
            os.kill(os.getpid(), self.number)


def train(objective: str, out: Path, **settings: Any) -> Any:
    job = {**JOB, "model": SHAPES[objective], "objective": objective, **settings}
    return nextfill.train(out=out, **{key: one for key, one in job.items() if one is not None})


def steps(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "step"]


@pytest.fixture(scope="module", params=["causal", "masked"])
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Two runs without dropout, one of each engine, with three epochs and a bit."""
    folder = tmp_path_factory.mktemp(request.param)
    for backend in ("torch", "keras"):
        train(request.param, folder / backend, backend=backend, dropout=0.0)
    return request.param, folder


def test_twenty_steps_have_the_losses_of_the_other_engine(pair: tuple[str, Path]) -> None:
    ours, theirs = (steps(pair[1] / backend) for backend in ("keras", "torch"))
    assert len(ours) == 20
    for one, other in zip(ours, theirs, strict=True):
        exact = ("step", "epoch", "blocks", "targets", "learning_rate")
        assert {key: one[key] for key in exact} == {key: other[key] for key in exact}
    differences = [abs(a["loss"] - b["loss"]) for a, b in zip(ours, theirs, strict=True)]
    assert differences[0] < 1e-5
    assert max(differences) < 1e-3
    assert ours[-1]["loss"] < ours[0]["loss"] - 0.1
    norms = [abs(a["grad_norm"] / b["grad_norm"] - 1) for a, b in zip(ours, theirs, strict=True)]
    assert max(norms) < 1e-2


def test_the_loss_after_a_context_is_that_of_the_other_engine(tmp_path: Path) -> None:
    pairs = [
        {"prompt": f"Two more than {n} is", "completion": f" {n + 2}, and no other."}
        for n in range(60)
    ]
    source = {"data": pairs, "split": None, "eval_split": None, "dropout": 0.0, "max_steps": 4}
    for backend in ("torch", "keras"):
        train("causal", tmp_path / backend, backend=backend, **source)
    ours, theirs = (steps(tmp_path / backend) for backend in ("keras", "torch"))
    assert [one["targets"] for one in ours] == [one["targets"] for one in theirs]
    assert max(abs(a["loss"] - b["loss"]) for a, b in zip(ours, theirs, strict=True)) < 1e-4
    ledger = json.loads((tmp_path / "keras" / "ledger.json").read_text("utf-8"))
    assert ours[0]["targets"] < ledger["target_tokens"] + ledger["documents"]


def test_new_words_are_trained_as_by_the_other_engine(tmp_path: Path) -> None:
    job = {"add_tokens": ["autograd", "Zeppelin"], "max_steps": 4, "dropout": 0.0}
    ours, theirs = (
        train("causal", tmp_path / backend, backend=backend, **job)
        for backend in ("keras", "torch")
    )
    assert ours.new_words.tokens == theirs.new_words.tokens == 4
    assert ours.after.nats == pytest.approx(theirs.after.nats, rel=1e-4)
    model = AutoModelForCausalLM.from_pretrained(ours.model)
    plain = AutoModelForCausalLM.from_pretrained(theirs.model)
    assert model.config.vocab_size == plain.config.vocab_size
    rows, others = (one.get_input_embeddings().weight[-4:] for one in (model, plain))
    np.testing.assert_allclose(rows.detach(), others.detach(), atol=1e-4)


def test_the_result_is_a_model_of_transformers(pair: tuple[str, Path]) -> None:
    objective, folder = pair
    kind = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    _, loading = kind.from_pretrained(folder / "keras" / "model", output_loading_info=True)
    assert not any(loading.values())
    run = folder / "keras"
    after = nextfill.evaluate(run, precision="fp32")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    recorded = [one["perplexity"] for one in events if one["event"] == "evaluation"]
    assert after.perplexity == pytest.approx(recorded[-1], rel=1e-4)
    assert recorded[-1] < 0.9 * recorded[0]
    assert f'keras_backend = "{keras.backend.backend()}"' in (run / "config.toml").read_text()


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


def test_the_divisor_of_a_step_is_that_of_the_other_engine(tmp_path: Path) -> None:
    recipe = tmp_path / "guide.toml"
    recipe.write_text('[training]\nnormalize_by = "tokens"\n[blocks]\npacking = "concat"\n')
    for backend in ("torch", "keras"):
        settings = {"recipe": str(recipe), "backend": backend, "dropout": 0.0, "max_steps": 4}
        train("causal", tmp_path / backend, **settings, max_grad_norm=0.0)
    ours, theirs = (steps(tmp_path / backend) for backend in ("keras", "torch"))
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_a_stream_is_trained_on_as_by_the_other_engine(tmp_path: Path) -> None:
    text = tmp_path / "notes"
    text.mkdir()
    for number in range(40):
        words = (f"note {number} line {line}" for line in range(12))
        (text / f"{number:02}.txt").write_text("\n".join(words), encoding="utf-8")
    settings = {"data": str(text), "streaming": True, "portion_size": 0.002, "max_steps": 12}
    settings |= {"split": None, "eval_split": None, "dropout": 0.0, "save_every": 4}
    for backend in ("torch", "keras"):
        train("causal", tmp_path / backend, backend=backend, **settings)
    ours, theirs = (steps(tmp_path / backend) for backend in ("keras", "torch"))
    assert len({one["portion"] for one in ours}) > 1
    exact = ("step", "portion", "pass", "blocks", "targets", "learning_rate")
    for one, other in zip(ours, theirs, strict=True):
        assert [one[key] for key in exact] == [other[key] for key in exact]
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-3)
    with pytest.raises(Interrupted):
        train("causal", tmp_path / "run", backend="keras", observer=StopAt(7), **settings)
    nextfill.train(out=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == (
        tmp_path / "keras" / "model" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("objective", ["causal", "masked"])
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
