"""Sources with weights or repeats, and general text mixed back in: exact to a block."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, DataError, Interrupted
from nextfill.runs.directory import RunDirectory
from nextfill.training import loop
from tests.interruption import interrupted
from tests.representative import often

LETTERS = "abcxyz"


def word(letters, number):
    """Return one of 729 words of six letters."""
    return "".join(letters[number // 3**place % 3] for place in range(6))


@pytest.fixture
def job(tiny_model, tmp_path, monkeypatch):
    """A job over two files of 60 and 30 texts that have no letter in common."""
    for name, letters, count in (("first", "abc", 60), ("second", "xyz", 30)):
        texts = [" ".join(word(letters, n * 9 + k) for k in range(9)) for n in range(count)]
        (tmp_path / f"{name}.txt").write_text("\n\n".join(texts))
    monkeypatch.chdir(tmp_path)
    return {
        "model": tiny_model,
        "block_size": 32,
        "batch_size": 4,
        "precision": "fp32",
        "dropout": 0.1,
        "learning_rate": 1e-3,
        "quiet": True,
    }


def sources(first=None, second=None, **both):
    return [
        DataConfig(source="first.txt", **(first or {}), **both),
        DataConfig(source="second.txt", **(second or {}), **both),
    ]


def drawn(run):
    """Return of each source its blocks, those of an epoch, and those that were trained on."""
    ledger = json.loads((run / "ledger.json").read_text("utf-8"))
    (end,) = RunDirectory(run).read_events("end")
    mixture = ledger["mixture"]
    return {name: [*mixture[name].values(), end["blocks"][name]] for name in mixture}


@pytest.fixture
def taken(monkeypatch):
    """Count the blocks of steps by the source that their text tells."""
    counts = Counter()
    real = loop.batch_of

    def batch_of(setup, step, numbers):
        batch = real(setup, step, numbers)
        for row in batch.input_ids:
            text = setup.loaded.tokenizer.decode(row, skip_special_tokens=True)
            (name,) = {
                "first" if letter in "abc" else "second" for letter in text if letter in LETTERS
            }
            counts[name] += 1
        return batch

    monkeypatch.setattr(loop, "batch_of", batch_of)
    return counts


@pytest.mark.parametrize("objective", often(["causal", "masked"], ["causal"]))
def test_weights_are_met_by_the_blocks_that_are_trained_on(
    job, tmp_path, taken, tiny_masked, objective
):
    if objective == "masked":
        job |= {"model": tiny_masked, "masking": "word"}
    data = sources({"weight": 0.25})
    result = nextfill.train(data=data, epochs=3, out=tmp_path / "run", **job)
    counts = drawn(tmp_path / "run")
    (_, first, first_trained), (_, second, second_trained) = counts.values()
    assert abs(first - 0.25 * (first + second)) < 1
    assert (first_trained, second_trained) == (3 * first, 3 * second)
    assert taken == {"first": first_trained, "second": second_trained}
    ledger = result.ledger
    made = ledger["tokens"] + ledger["separators"]
    assert made == ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())


def test_repeats_take_a_source_several_times_in_an_epoch(job, tmp_path, taken):
    data = sources(second={"repeat": 2})
    nextfill.train(data=data, epochs=1, out=tmp_path / "run", **job)
    first, second = drawn(tmp_path / "run").values()
    assert first[0] == first[1] == first[2] == taken["first"]
    assert 2 * second[0] == second[1] == second[2] == taken["second"]


def test_without_weights_nothing_changes(job, tmp_path):
    nextfill.train(data=sources(), max_steps=4, out=tmp_path / "run", **job)
    assert "mixture" not in json.loads((tmp_path / "run/ledger.json").read_text("utf-8"))


@pytest.mark.parametrize("after", often([2, 7, 9], [7]))
def test_a_run_that_is_interrupted_goes_on_exactly(job, tmp_path, after):
    job |= {"data": sources({"weight": 0.9}), "max_steps": 11, "save_every": 3}
    nextfill.train(out=tmp_path / "whole", **job)
    with interrupted(after=after), pytest.raises(Interrupted):
        nextfill.train(out=tmp_path / "run", **job)
    nextfill.train(out=tmp_path / "run", resume=True)
    for name in ("events.jsonl", "model/model.safetensors", "ledger.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_recipe_says_it(job, tiny_model, tmp_path, capsys):
    recipe = f"""
model = "{tiny_model}"
[blocks]
block_size = 32
[[data]]
source = "first.txt"
weight = 3
[[data]]
source = "second.txt"
weight = 1
"""
    (tmp_path / "mixed.toml").write_text(recipe)
    words = ["train", "mixed.toml", "--max-steps", "2", "--out", "run", "--quiet"]
    assert main(words) == 0, capsys.readouterr().err
    first, second = drawn(tmp_path / "run").values()
    assert abs(first[1] - 3 * second[1]) <= 2


def test_general_text_is_mixed_in_and_a_part_of_it_is_scored(job, tmp_path, taken):
    job |= {"data": "second.txt", "replay": 0.2, "replay_data": "first.txt", "epochs": 2}
    result = nextfill.train(out=tmp_path / "run", replay_test_size=9, **job)
    own, general = drawn(tmp_path / "run").values()
    assert own[0] == own[1]
    assert abs(general[1] - 0.2 * (own[1] + general[1])) < 1
    assert taken == {"first": general[2], "second": own[2]}
    ledger = result.ledger
    assert ledger["evaluation_sets"]["replay"]["documents"] == 9
    assert ledger["held_out_documents"] == 3  # of the person's own text alone
    made = ledger["tokens"] + ledger["separators"]
    assert made == ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    assert set(result.sets) == {"replay"}
    assert "replay" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_general_text_chooses_no_step(job, tmp_path):
    job |= {"data": "second.txt", "replay_data": "first.txt", "max_steps": 4}
    nextfill.train(out=tmp_path / "run", keep="best", validation_size=0.5, **job)
    ledger = json.loads((tmp_path / "run/ledger.json").read_text("utf-8"))
    assert ledger["validation_documents"] == 14  # of 27, and none of the 60


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("first.txt", None),
        (sources({"weight": 0.5}, {"repeat": 2}), "weight and repeat both say"),
        (sources({"weight": 1.0}), "leave nothing for the sources without one"),
        (sources({"weight": -1.0}), "weight"),
        (sources({"repeat": 0}), "repeat"),
    ],
)
def test_contradictions_are_told(job, tmp_path, data, problem):
    if problem is None:
        data, problem = [DataConfig(source="first.txt", weight=0.5)], "here is one"
    with pytest.raises(ConfigError, match=problem):
        nextfill.train(data=data, max_steps=1, out=tmp_path / "run", **job)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"replay": 0.05}, "name it, as in replay_data="),
        ({"replay_split": "train[:5]"}, "name it, as in replay_data="),
        ({"replay_data": "missing.txt"}, "missing.txt"),
        ({"replay_data": "second.txt", "streaming": True, "max_steps": 1}, "counts blocks"),
        ({"replay_data": "second.txt", "replay": 1.0}, "replay"),
    ],
)
def test_replay_that_cannot_be_is_refused(job, tmp_path, settings, problem):
    with pytest.raises((ConfigError, DataError), match=problem):
        nextfill.train(data="first.txt", out=tmp_path / "run", **job, **settings)
    assert not (tmp_path / "run").exists()


def test_a_share_that_is_less_than_a_block_is_refused_before_the_run(job, tmp_path):
    with pytest.raises(DataError, match="less than one of the"):
        nextfill.train(data=sources({"weight": 0.0001}), out=tmp_path / "run", **job)
    assert not (tmp_path / "run").exists()


def test_blocks_that_come_once_have_no_shares(job, tiny_model):
    with pytest.raises(ConfigError, match="repeat is for training, and here each block comes once"):
        nextfill.packed_dataset(model=tiny_model, data=sources(second={"repeat": 2}), block_size=32)
