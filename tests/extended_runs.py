"""Runs that are given other steps, and their comparison with those that had them from the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nextfill.cli.main import main
from nextfill.runs.directory import RunDirectory
from nextfill.runs.reader import train_result

ENDS = ("model/model.safetensors", "model/adapter_model.safetensors", "ledger.json")


@pytest.fixture(scope="module")
def job(
    tiny_model: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Train a run; the words are flags, and ``out`` its name in the folder."""
    cache = tmp_path_factory.mktemp("cache")

    def train(out: Path, *words: object, model: Path = tiny_model) -> Path:
        fixed = ["--model", model, "--data", text_file, "--cache-dir", cache, "--dropout", "0.1"]
        fixed += ["--block-size", "32", "--batch-size", "2", "--precision", "fp32", "--quiet"]
        usual = {"--learning-rate": "1e-3", "--eval-every": "9", "--save-every": "7"}
        fixed += [one for item in usual.items() if item[0] not in words for one in item]
        assert main(["train", *map(str, [*fixed, "--out", out, *words])]) == 0
        return out

    return train


def resume(out: Path, *words: object) -> int:
    return main(["train", "--out", str(out), "--resume", "--quiet", *map(str, words)])


def steps_of(run: Path) -> list[dict[str, object]]:
    return RunDirectory(run).read_events("step")


def check_equal(run: Path, whole: Path) -> None:
    """Compare weights, the optimizer's state, every step, the last evaluation and the ledger."""
    assert steps_of(run) == steps_of(whole)
    last = f"step-{steps_of(whole)[-1]['step']:08d}"
    names = [name for name in ENDS if (whole / name).exists()]
    assert len(names) > 1
    names += [f"checkpoints/{last}/{part}.safetensors" for part in ("model", "optimizer")]
    for name in [*names, f"evaluations/{last}.npz"]:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    places = [
        json.loads((one / f"checkpoints/{last}/cursor.json").read_bytes()) for one in (run, whole)
    ]
    assert places[0]["blocks"] == places[1]["blocks"]
    results = [train_result(one) for one in (run, whole)]
    assert results[0].after == results[1].after
    assert results[0].samples[-1] == results[1].samples[-1]
