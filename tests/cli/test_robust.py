"""What must not end a run, and what must not be left behind."""

import os
import subprocess
import sys

import pytest

from nextfill.cli.main import main

TRAIN = ["--block-size", "64", "--max-steps", "6", "--eval-every", "3"]


@pytest.fixture
def words(tiny_model, text_file, tmp_path):
    out = str(tmp_path / "run")
    return ["train", "--model", str(tiny_model), "--data", str(text_file), "--out", out, *TRAIN]


@pytest.mark.trial
def test_a_closed_stderr_does_not_end_training(words, tmp_path):
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "nextfill", *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=writer,
    ) as process:
        os.close(writer)
        os.read(reader, 1)  # somebody reads a little, and goes
        os.close(reader)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert b'"steps": 6' in out
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_a_stride_that_does_not_fit_leaves_no_run_behind(words, tmp_path, capsys):
    assert main([*words, "--stride", "65"]) == 2
    assert "--stride 65 is above the block size: give 1 to 64" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*words, "--quiet"]) == 0


def test_a_diverged_run_stops_before_it_spoils_the_weights(words, tmp_path, capsys):
    diverging = ["--learning-rate", "1e30", "--max-grad-norm", "0", "--save-every", "1"]
    assert main([*words, *diverging, "--quiet"]) == 2
    assert "Training diverged" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model").exists()


def test_config_is_a_recipe_that_repeats_the_run(words, tmp_path, capsys):
    assert main([*words, "--json", "--quiet"]) == 0
    first = capsys.readouterr().out
    again = [str(tmp_path / "run" / "config.toml"), "--out", str(tmp_path / "again")]
    assert main(["train", *again, "--json", "--quiet"]) == 0
    second = capsys.readouterr().out
    events = [(tmp_path / name / "events.jsonl").read_bytes() for name in ("run", "again")]
    assert events[0] == events[1]
    assert first.split('"after"')[1].split('"ledger"')[0] in second


def test_a_bundled_model_named_keeps_the_quickstart_settings():
    from nextfill.config.options import Assignment
    from nextfill.config.resolve import train_config

    unnamed = train_config(None, [])
    named = train_config(None, [Assignment(("model",), "builtin:base-causal", "--model")])
    other = train_config(None, [Assignment(("model",), "somebody/else", "--model")])
    assert named == unnamed
    masked = train_config(None, [Assignment(("objective",), "masked", "--objective")])
    assert masked == train_config(None, [Assignment(("model",), "builtin:base-masked", "--model")])
    assert masked.masking.training_rates == (0.4, 0.3)
    assert other.training.learning_rate != unnamed.training.learning_rate
