"""Weights that a model's configuration leaves no place for are told by every command."""

from __future__ import annotations

import json
import shutil

import pytest

from nextfill.cli.main import main

TOLD = "have no place in the model and are left out"


def with_one_layer(model, folder):
    """Return a copy of a model whose configuration says a layer less than its weights have."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    key = "n_layer" if "n_layer" in config else "num_hidden_layers"
    (folder / "config.json").write_text(json.dumps({**config, key: config[key] - 1}))
    return str(folder)


@pytest.mark.parametrize("command", ["generate", "evaluate", "train"])
def test_of_a_causal_model(command, tiny_model, text_file, here, capsys):
    model, data = with_one_layer(tiny_model, here.parent / "model"), ("--data", str(text_file))
    words = {
        "generate": ["generate", model, "the", "--max-new-tokens", "1"],
        "evaluate": ["evaluate", model, *data, "--block-size", "64"],
        "train": ["train", "--model", model, *data, "--max-steps", "1", "--out", "run"],
    }
    assert main(words[command]) == 0
    assert TOLD in " ".join(capsys.readouterr().err.split())


def test_of_a_masked_model(tiny_masked, tmp_path, capsys):
    assert main(["fill", with_one_layer(tiny_masked, tmp_path / "model"), "the ___"]) == 0
    assert TOLD in " ".join(capsys.readouterr().err.split())
