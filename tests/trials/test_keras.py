"""Both guides' jobs at small scale on the real ELI5 file, by Keras on each back end and PyTorch.

Takes about twenty minutes on two cores; `make test-keras` installs the back ends.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

import nextfill

pytestmark = pytest.mark.trial

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in ("tensorflow", "jax", "torch")
]
STEPS = 200
SHAPES = {
    "causal": {
        "model": "scratch:gpt2",
        "tokenizer": "gpt2",
        "config": {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 128},
    },
    "masked": {
        "model": "scratch:roberta",
        "tokenizer": "roberta",
        "config": {
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 512,
            "max_position_embeddings": 130,
        },
    },
}


def train(test_data: Path, objective: str, out: Path, *words: str) -> dict[str, Any]:
    shape = SHAPES[objective]
    line = [sys.executable, "-m", "nextfill", "train", f"eli5-{objective}", "--out", str(out)]
    line += ["--data", str(test_data / "eli5_category" / "eli5-category-test.json.gz")]
    line += ["--split", "train[:1500]", "--model", str(shape["model"])]
    line += ["--tokenizer", str(test_data / "tokenizers" / str(shape["tokenizer"]))]
    for key, value in dict(shape["config"]).items():
        line += ["--set", f"model.config.{key}={value}"]
    line += ["--max-steps", str(STEPS), "--learning-rate", "5e-4", "--precision", "fp32"]
    line += [*words, "--json", "--quiet"]
    sources = str(Path(nextfill.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": sources, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("KERAS_BACKEND", None)
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@cache
def by_torch(test_data: Path, objective: str) -> dict[str, Any]:
    """Train once by PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        return train(test_data, objective, Path(folder) / "run")


@pytest.mark.parametrize("objective", SHAPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_guides_job_ends_as_with_pytorch(
    backend: str, objective: str, test_data: Path, tmp_path: Path, capsys: Any
) -> None:
    run = tmp_path / "run"
    words = ("--backend", "keras", "--keras-backend", backend)
    found, expected = train(test_data, objective, run, *words), by_torch(test_data, objective)
    ours, theirs = (one["after"]["nats"] / one["after"]["targets"] for one in (found, expected))
    with capsys.disabled():
        print(
            f"\n{backend} {objective}: {ours:.4f} nats a target, by PyTorch {theirs:.4f}; ", end=""
        )
        print(f"{found['tokens_per_second']:,} and {expected['tokens_per_second']:,} tokens/s")
    assert found["before"]["nats"] == pytest.approx(expected["before"]["nats"], rel=1e-6)
    assert ours == pytest.approx(theirs, rel=0.01)
    kind = AutoModelForCausalLM if objective == "causal" else AutoModelForMaskedLM
    _, loading = kind.from_pretrained(run / "model", output_loading_info=True)
    assert not any(loading.values())
    again = nextfill.evaluate(run, precision="fp32")
    assert again.perplexity == pytest.approx(found["after"]["perplexity"], rel=1e-4)
