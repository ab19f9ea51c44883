"""Training by Keras: the PyTorch engine's batches, losses and records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

import nextfill
from nextfill.core.errors import Interrupted
from tests.keras.jobs import StopAt, steps, train


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
