"""A bundled model that meets a person's own text says which one to bring for prose."""

from __future__ import annotations

import json
import logging

import pytest
import torch

import nextfill
from nextfill.cli.main import main
from nextfill.training.prose_model import PROSE_MODELS, matrix_speed, training_seconds

SHAPE = ["--max-steps", "1", "--batch-size", "1", "--block-size", "16", "--test-size", "3"]


@pytest.fixture
def own_text(paragraphs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diary.txt").write_text("\n".join(paragraphs(20)) + "\n", "utf-8")
    return ["train", "--data", "diary.txt", "--txt", "line", *SHAPE]


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_it_is_said_once_before_the_first_step(own_text, objective, capsys):
    assert main([*own_text, "--objective", objective, "--out", "run"]) == 0
    told = capsys.readouterr()
    name = PROSE_MODELS[objective].name
    assert told.err.count(f"For prose add: --model {name} (3") == 1
    assert told.err.index(name) < told.err.index("step 0: held-out")
    assert "For prose" not in told.out
    assert main(["train", "--out", "run", "--resume"]) == 0
    assert "For prose" not in capsys.readouterr().err


def test_json_stays_json_and_quiet_is_quiet(own_text, capsys):
    assert main([*own_text, "--out", "run", "--json"]) == 0
    told = capsys.readouterr()
    assert "For prose" in told.err
    assert json.loads(told.out)["steps"] == 1
    assert main([*own_text, "--out", "again", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.trial
def test_the_built_in_corpora_and_other_models_are_no_matter(own_text, tiny_model, capsys):
    assert main([*own_text, "--model", str(tiny_model), "--out", "run"]) == 0
    data = ["--data", "builtin:stdlib-docs", "--split", "train[:20]"]
    assert main(["train", *data, *SHAPE, "--out", "docs"]) == 0
    # Another model would not have the vocabulary of the teacher.
    teacher = ["--teacher", "builtin:base-causal", "--student-layers", "1"]
    assert main([*own_text, *teacher, "--out", "student"]) == 0
    assert "For prose" not in capsys.readouterr().err


def test_a_script_is_warned_unless_it_asks_for_quiet(own_text, caplog):
    settings = {"data": "diary.txt", "txt": "line", "max_steps": 1, "block_size": 16}
    settings |= {"batch_size": 1, "test_size": 3}
    with caplog.at_level(logging.WARNING, "nextfill"):
        nextfill.train(out="quiet", quiet=True, **settings)
        assert caplog.records == []
        nextfill.train(out="run", **settings)
    (record,) = caplog.records
    assert "For prose add: model='distilbert/distilgpt2' (353 MB" in record.getMessage()


def test_the_time_follows_from_the_speed_that_is_measured():
    speed = matrix_speed(torch.device("cpu"), "fp32")
    assert 1e7 < speed < 1e15
    model = PROSE_MODELS["causal"].parameters
    assert training_seconds(model, 2000, speed) == 2 * training_seconds(model, 1000, speed)
    # 8 x 128 tokens a step took 1.0 s on a processor with 750 GFLOP/s.
    assert training_seconds(model, 8 * 128, 750e9) == pytest.approx(1.0, abs=0.15)


def test_the_time_is_that_of_the_tokens_that_the_steps_have(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text(
        "\n\n".join(f"Leaf {n} fell that morning." for n in range(20))
    )
    words = ["train", "--data", "note.txt", "--max-steps", "6", "--out", "run"]
    assert main(words) == 0
    told = capsys.readouterr().err
    trained = json.loads((tmp_path / "run" / "ledger.json").read_text())["trained"]
    assert trained < 300
    assert f"million parameters x {6 * trained:,} tokens" in told
