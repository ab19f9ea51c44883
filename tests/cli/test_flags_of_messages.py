"""Flags where they belong: in messages and commands that have them, beside what uses them."""

from __future__ import annotations

import re

import pytest

import nextfill
from nextfill.cli.commands import QUIET
from nextfill.cli.main import COMMANDS, main
from nextfill.config.options import settings
from nextfill.core.errors import ConfigError


@pytest.mark.parametrize("command", ["generate", "fill"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_text_in_the_place_of_a_model_is_answered_with_a_whole_command(
    command, kind, here, text_file, capsys
):
    name = text_file if kind == "file" else here / "notes"
    (here / "notes").mkdir()
    assert main([command, str(name), "A ___"]) == 2
    told = capsys.readouterr().err
    assert f"train --data {name}" in told


@pytest.mark.parametrize("name", COMMANDS)
def test_what_can_be_quiet_has_a_log_level(name):
    command = COMMANDS[name]
    has = "--log-level" in {setting.flag for setting in settings(command.root)}
    assert has == (QUIET in command.arguments)


@pytest.mark.parametrize("flag", ["--mask-rate=0.2", "--masking=word", "--random-share=0"])
def test_masks_of_a_causal_look_are_refused(flag, text_file, tiny_tokenizer, capsys):
    words = ["look", "--tokenizer", str(tiny_tokenizer), "--data", str(text_file), flag]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert flag.partition("=")[0] in told
    assert "--objective masked" in told


def test_masks_of_a_causal_look_are_refused_in_python(text_file, tiny_tokenizer):
    with pytest.raises(ConfigError, match=r'mask_rate: .*objective="masked"'):
        nextfill.look(data=text_file, tokenizer=str(tiny_tokenizer), mask_rate=0.2)


def test_preparing_does_not_stream_a_file(text_file, tiny_tokenizer, capsys):
    words = ["prepare", "--tokenizer", str(tiny_tokenizer), "--data", str(text_file)]
    assert main([*words, "--streaming"]) == 2
    assert "--streaming is for training: preparing reads all" in capsys.readouterr().err
    assert main([*words, "--quiet"]) == 0


def test_preparing_does_not_stream_what_a_program_hands_over(tiny_tokenizer):
    def endless():
        while True:
            yield "a text without an end"

    with pytest.raises(ConfigError, match="streaming"):
        nextfill.prepare(data=endless(), streaming=True, tokenizer=str(tiny_tokenizer))


@pytest.mark.parametrize("flag", ["--mask-rate=0.2", "--masking=word", "--mask-seed=3"])
@pytest.mark.parametrize("verb", ["evaluate", "train"])
def test_masks_of_a_causal_model_are_refused(verb, flag, text_file, tiny_model, tmp_path, capsys):
    words = ["evaluate", str(tiny_model)]
    if verb == "train":
        words = ["train", "--model", str(tiny_model), "--out", str(tmp_path / "run")]
    assert main([*words, "--data", str(text_file), "--quiet", flag]) == 2
    assert "asks are for masked models" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_data_named_twice_are_refused(text_file, tiny_tokenizer, capsys):
    words = ["prepare", "--tokenizer", str(tiny_tokenizer), "--data", str(text_file)]
    for more in (["--data", "b.txt"], ["--data=b.txt"], ["--eval-data", "a", "--eval-data=b"]):
        assert main([*words, *more]) == 2
        assert "is given 2 times, and takes one name: name a folder" in capsys.readouterr().err


def test_a_recipe_of_a_scratch_model_serves_a_trained_one(text_file, tiny_model, tmp_path, capsys):
    shape = ["--set", "model.config={n_embd=16, n_layer=1, n_head=1}"]
    words = ["train", "--model", "scratch:gpt2", "--tokenizer", str(tiny_model), *shape]
    words += ["--data", str(text_file), "--max-steps", "1", "--block-size", "16", "--quiet"]
    run = tmp_path / "run"
    assert main([*words, "--out", str(run)]) == 0
    assert main(["train", "--out", str(run), "--resume", "--learning-rate", "1"]) == 2
    told = capsys.readouterr().err
    further = ["train", str(run / "config.toml"), "--model", str(run)]
    assert " ".join(further) in told
    assert main([*further, "--out", str(tmp_path / "further"), "--quiet"]) == 0
    assert f'source = "{text_file}"' in (tmp_path / "further/config.toml").read_text()


def test_hints_on_files_name_no_flag_that_the_command_has_not(tiny_model, tmp_path, capsys):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"x" * 100)
    known = {setting.flag for setting in settings(COMMANDS["tokenizer train"].root)}
    for data in (tiny_model, weights):
        words = ["tokenizer", "train", "--data", data, "--out", tmp_path / "made"]
        assert main([str(word) for word in words]) == 2
        told = capsys.readouterr().err
        assert "where a model is asked for" in told
        assert {*re.findall(r"--[a-z-]+", told)} <= known
