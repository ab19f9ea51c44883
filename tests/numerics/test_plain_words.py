"""The tokens that plain words call right are those of a run's files, and of a plain loop."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import nextfill
from nextfill.cli.main import main
from tests.representative import often

COUNTS = re.compile(r"of ([\d,]+) \w+ tokens? it (?:now )?has ([\d,]+) right", re.IGNORECASE)
BEFORE = re.compile(r"right, before ([\d,]+)\.")
SHAPE = {"block_size": 64, "batch_size": 8, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def short(paragraphs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 40 short documents, a line each, that no model here was trained on."""
    path = tmp_path_factory.mktemp("short") / "short.txt"
    lines = [" ".join(text.split()[:9]) for text in paragraphs(40, 9)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@torch.no_grad()
def right_next(model: str, lines: list[str]) -> tuple[int, int]:
    """Count the likeliest tokens that are the right ones, a document at a time."""
    network = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    right = targets = 0
    for line in lines:
        ids = [tokenizer.bos_token_id, *tokenizer(line, add_special_tokens=False)["input_ids"]]
        guesses = network(torch.tensor([ids])).logits[0, :-1].argmax(-1).tolist()
        right += sum(guess == token for guess, token in zip(guesses, ids[1:], strict=True))
        targets += len(ids) - 1
    return right, targets


@torch.no_grad()
def right_hidden(model: str, lines: list[str]) -> tuple[int, int]:
    """The same of a masked model, each token hidden in turn."""
    network = transformers.AutoModelForMaskedLM.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    right = targets = 0
    for line in lines:
        ids = tokenizer(line, add_special_tokens=False)["input_ids"]
        ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        for at in range(1, len(ids) - 1):
            hidden = [*ids[:at], tokenizer.mask_token_id, *ids[at + 1 :]]
            right += int(network(torch.tensor([hidden])).logits[0, at].argmax()) == ids[at]
            targets += 1
    return right, targets


def shown(words: str) -> list[int]:
    """Return the numbers of a sentence: of how many, how many after, and how many before."""
    found = COUNTS.search(words)
    assert found is not None, words
    before = BEFORE.search(words)
    texts = [*found.groups(), *([before[1]] if before else [])]
    return [int(text.replace(",", "")) for text in texts]


def in_files(run: Path, step: int) -> tuple[int, int]:
    scores = np.load(run / "evaluations" / f"step-{step:08d}.npz")
    return int(scores["correct"].sum()), int(scores["targets"].sum())


def agree(words: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    """Check that a sentence says what two counts say, to the nearest whole number."""
    scale, *counts = shown(words)
    pairs = [after, before] if len(counts) == 2 else [after]
    for count, (right, targets) in zip(counts, pairs, strict=True):
        assert abs(count - scale * right / targets) <= 0.5


@pytest.mark.parametrize(
    "options", often([{}, {"lora_rank": 4}, {"packing": "concat"}], [{"lora_rank": 4}])
)
def test_next_tokens(
    options: dict[str, Any], tiny_model: Path, text_file: Path, short: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = nextfill.train(
        model=tiny_model,
        data=text_file,
        eval_data=short,
        txt="line",
        out=run,
        max_steps=40,
        learning_rate=5e-3,
        **SHAPE,
        **options,
    )
    lines = short.read_text("utf-8").splitlines()
    before, after = right_next(str(tiny_model), lines), in_files(run, 40)
    assert before == in_files(run, 0)
    if "lora_rank" not in options:
        assert after == right_next(str(run / "model"), lines)
    assert (result.after.correct, result.after.targets) == after
    assert after[0] > before[0]
    assert result.verdict == "better"
    assert result.in_words.startswith("It predicts your text better: of ")
    agree(result.in_words, before, after)
    plain = result.to_json()
    assert plain["in_words"] == result.in_words
    assert (plain["before"]["correct"], plain["after"]["correct"]) == (before[0], after[0])
    again = nextfill.evaluate(run)
    assert again.in_words == result.in_words
    evaluated = nextfill.evaluate(run, base=False, data=short, txt="line")
    agree(evaluated.in_words, before, after)


@pytest.mark.trial
def test_hidden_tokens(
    tiny_masked: Path, text_file: Path, short: Path, tmp_path: Path, capsys: Any
) -> None:
    run = tmp_path / "run"
    result = nextfill.train(
        model=tiny_masked,
        data=text_file,
        eval_data=short,
        txt="line",
        out=run,
        max_steps=80,
        learning_rate=1e-2,
        **SHAPE,
    )
    before, after = in_files(run, 0), in_files(run, 80)
    assert "hidden tokens" in result.in_words
    agree(result.in_words, before, after)
    few = tmp_path / "few.txt"
    lines = short.read_text("utf-8").splitlines()[:5]
    few.write_text("\n".join(lines) + "\n", "utf-8")
    command = ["evaluate", str(run), "--data", str(few), "--txt", "line", "--pseudo", "--json"]
    assert main([*command, "--no-base", "--quiet"]) == 0
    plain = json.loads(capsys.readouterr().out)
    right, targets = right_hidden(str(run / "model"), lines)
    assert (plain["correct"], plain["targets"]) == (right, targets)
    assert right > 0
    agree(plain["in_words"], (right, targets), (right, targets))


def test_models_side_by_side(
    tiny_model: Path, text_file: Path, short: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shape = {**SHAPE, "max_steps": 40, "learning_rate": 5e-3}
    nextfill.train(model=tiny_model, data=text_file, txt="line", out=run, **shape)
    both = nextfill.evaluate(tiny_model, run, data=short, txt="line")
    first, second = both.evaluations.values()
    assert second.correct > first.correct
    (words,) = both.words()
    assert words.startswith(f"{run} predicts the text better than {tiny_model}: of ")
    assert (first.correct, first.targets) == right_next(
        str(tiny_model), short.read_text("utf-8").splitlines()
    )
    assert both.to_json()["in_words"] == [words]
    assert repr(both).startswith(words)
