"""Settings under which training by Keras is to be that of the PyTorch engine, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config

import nextfill
from nextfill.config import ModelConfig
from nextfill.core.errors import ModelError, RunError
from nextfill.models.tokenizer import load_tokenizer
from tests.keras.jobs import SHAPES, steps, train
from tests.keras.tiny_models import torch_model

LLAMA: dict[str, Any] = {
    "name": "scratch:llama",
    "tokenizer": "builtin:base-causal",
    "config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,  # which then has an embedding that is not trained
    },
}
SMALL = GPT2Config(vocab_size=6144, n_embd=8, n_layer=1, n_head=2, n_positions=32, eos_token_id=0)
TIED = {**LLAMA, "config": {**LLAMA["config"], "tie_word_embeddings": True}}
CASES: dict[str, dict[str, Any]] = {
    "the padding token ends each text": {"model": LLAMA},
    "the padding token ends each text, tied": {"model": TIED},
    "documents of a row see one another": {"isolate": False},
    "masked documents of a row see one another": {"isolate": False, "objective": "masked"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_those_of_the_other_engine(case: str, tmp_path: Path) -> None:
    settings = {"objective": "causal", "max_steps": 8, "dropout": 0.0, **CASES[case]}
    objective = settings.pop("objective")
    settings.setdefault("model", SHAPES[objective])
    for backend in ("torch", "keras"):
        train(objective, tmp_path / backend, backend=backend, **settings)
    ours, theirs = (steps(tmp_path / backend) for backend in ("keras", "torch"))
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)


@pytest.mark.trial
def test_a_stream_that_breaks_off_is_saved_with_the_weights_of_its_last_step(
    tmp_path: Path,
) -> None:
    lines = [
        json.dumps({"text": "\n".join(f"note {number} line {line}" for line in range(12))})
        for number in range(60)
    ]
    source = tmp_path / "notes.jsonl"
    settings = {"data": str(source), "streaming": True, "portion_size": 0.002, "max_steps": 12}
    settings |= {"split": None, "eval_split": None, "save_every": 1000, "eval_every": 1000}
    settings |= {"backend": "keras"}
    source.write_text("\n".join(lines), encoding="utf-8")
    train("causal", tmp_path / "whole", **settings)
    source.write_text("\n".join([*lines[:40], "broken", *lines[41:]]), encoding="utf-8")
    with pytest.raises(RunError, match=r"saved at step [1-9]"):
        train("causal", tmp_path / "run", **settings)
    source.write_text("\n".join(lines), encoding="utf-8")
    nextfill.train(out=tmp_path / "run", resume=True)
    ours, whole = (
        (tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("run", "whole")
    )
    assert ours == whole


def test_a_live_model_that_is_frozen_in_part_is_refused(tmp_path: Path) -> None:
    model = torch_model(SMALL)
    model.get_submodule("transformer.wte").requires_grad_(False)
    tokenizer = load_tokenizer(ModelConfig(name="builtin:base-causal"))
    with pytest.raises(
        ModelError, match=r"1 parameter of the live model.*transformer\.wte\.weight"
    ):
        nextfill.train(
            model=model,
            tokenizer=tokenizer,
            data=["a text"] * 9,
            out=tmp_path / "run",
            backend="keras",
        )
