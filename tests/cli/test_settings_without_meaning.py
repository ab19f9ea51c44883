"""Settings that would change nothing are refused, also where their value is the default."""

from __future__ import annotations

import pytest

import nextfill
from nextfill.config import TrainConfig
from nextfill.config.layers import keyword_assignments
from nextfill.config.resolve import train_config
from nextfill.core.errors import ConfigError

MASKS = [("--mask-rate", "0.15"), ("--masking", "token"), ("--mask-seed", "0")]


@pytest.mark.parametrize("flag", MASKS)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_masks_of_a_causal_model_that_is_named(fails, tiny_model, text_file, command, flag):
    words = ["--model", tiny_model] if command == "train" else [tiny_model]
    message = fails(command, *words, "--data", text_file, *flag)
    assert f"{flag[0]}: masks are for masked models" in message


def test_masks_of_a_data_set(tiny_model, text_file):
    with pytest.raises(ConfigError, match=r"mask_rate: masks are for masked models"):
        nextfill.packed_dataset(data=str(text_file), model=str(tiny_model), mask_rate=0.15)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "--lora-dropout", "0"], "--lora-dropout is of an adapter: give --lora-rank 16"),
        (
            ["generate", "builtin:base-causal", "A", "--suffix-order", "psm"],
            "--suffix-order says how --suffix is read: give that, too",
        ),
        (
            ["train", "--epochs", "3", "--max-steps", "9"],
            "--epochs and --max-steps both say how long training takes: leave one of them out.",
        ),
    ],
)
def test_it_is_told_before_anything_is_read(fails, words, told):
    assert told in fails(*words)


def test_a_run_is_given_more_steps_in_one_way(tiny_model, text_file, tmp_path):
    run = tmp_path / "run"
    few = {"max_steps": 1, "batch_size": 1, "block_size": 16}
    nextfill.train(data=text_file, model=str(tiny_model), out=run, **few)
    with pytest.raises(ConfigError, match="epochs and max_steps both say how long"):
        nextfill.train(out=run, resume=True, epochs=3, max_steps=9)


def test_epochs_that_are_typed_hold_over_the_steps_of_a_recipe(tmp_path):
    recipe = tmp_path / "own.toml"
    recipe.write_text("data = 'leaves.txt'\n[training]\nmax_steps = 1000\nepochs = 1")
    layer, _ = keyword_assignments(TrainConfig, {"epochs": 2})
    assert train_config(recipe, layer).training.max_steps is None
    assert train_config(recipe, layer).training.epochs == 2
    assert train_config(recipe, []).training.max_steps == 1000
    layer, _ = keyword_assignments(TrainConfig, {"max_steps": 7})
    assert train_config(recipe, layer).training.max_steps == 7


def test_none_is_no_setting(tmp_path):
    nothing = {"max_steps": None, "lora_rank": None, "lora_alpha": None, "mask_rate_start": None}
    layer, _ = keyword_assignments(TrainConfig, {"epochs": 2, "data": "leaves.txt", **nothing})
    assert train_config(None, layer).training.epochs == 2
