"""A run that is given other steps equals one that had them from the start, or says why not."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, RunError
from nextfill.runs.directory import RunDirectory
from nextfill.runs.reader import read_run, train_result

ENDS = ("model/model.safetensors", "model/adapter_model.safetensors", "ledger.json")


@pytest.fixture(scope="module")
def job(tiny_model, text_file, tmp_path_factory):
    """Train a run; the words are flags, and ``out`` its name in the folder."""
    cache = tmp_path_factory.mktemp("cache")

    def train(out: Path, *words: object, model: Path = tiny_model) -> Path:
        fixed = ["--model", model, "--data", text_file, "--cache-dir", cache, "--dropout", "0.1"]
        fixed += ["--block-size", "32", "--batch-size", "2", "--precision", "fp32", "--quiet"]
        fixed += ["--learning-rate", "1e-3", "--eval-every", "9", "--save-every", "7"]
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


def test_100_steps_and_100_more_are_200_steps(job, tmp_path, capsys):
    words = ["--schedule", "constant", "--warmup-steps", 5]
    whole = job(tmp_path / "whole", *words, "--max-steps", 200)
    run = job(tmp_path / "run", *words, "--max-steps", 100)
    capsys.readouterr()
    assert resume(run, "--max-steps", 200) == 0
    assert "Stage 2 goes on from step 100 to 200 (planned before: 100)" in capsys.readouterr().out
    check_equal(run, whole)


@pytest.mark.parametrize("way", ["masked", "lora", "inverse_sqrt", "sgd", "adafactor", "epochs"])
def test_it_is_the_same_for_each_way_to_train(way, job, tmp_path, tiny_masked):
    words = ["--schedule", "inverse_sqrt", "--warmup-steps", 4]
    extra = {
        "masked": {"model": tiny_masked},
        "lora": {},
    }.get(way, {})
    words += {"lora": ["--lora-rank", 2]}.get(way, [])
    words += ["--optimizer", way] if way in ("sgd", "adafactor") else []
    few, more = (("--max-steps", 10), ("--max-steps", 24))
    if way == "epochs":
        few, more = (("--epochs", 0.5), ("--epochs", 1.25))
    whole = job(tmp_path / "whole", *words, *more, **extra)
    run = job(tmp_path / "run", *words, *few, **extra)
    assert resume(run, *more) == 0
    check_equal(run, whole)


def test_wsd_goes_back_to_before_its_decay(job, tmp_path):
    words = ["--schedule", "wsd", "--warmup-steps", 2]
    whole = job(tmp_path / "whole", *words, "--max-steps", 60)
    run = job(tmp_path / "run", *words, "--max-steps", 30)
    assert (run / "checkpoints/step-00000024").is_dir()  # where the decay begins
    decayed = steps_of(run)
    assert resume(run, "--max-steps", 60) == 0
    check_equal(run, whole)
    assert decayed[:24] == steps_of(run)[:24]
    assert decayed[26]["learning_rate"] < steps_of(run)[26]["learning_rate"]


def test_wsd_without_that_checkpoint_is_refused_and_rewarms(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", "wsd", "--max-steps", 30)
    shutil.rmtree(run / "checkpoints/step-00000024")
    assert resume(run, "--max-steps", 60) == 2
    said = capsys.readouterr().err
    assert "its rate fell from step 25 on, and its checkpoints are of step 28, 30" in said
    assert resume(run, "--max-steps", 60, "--rewarm") == 0
    assert [one["learning_rate"] for one in steps_of(run)[29:32]] != [1e-3] * 3
    assert steps_of(run)[30]["learning_rate"] == 1e-3


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_schedule_that_ends_is_refused_with_what_to_type(schedule, job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", schedule, "--max-steps", 10)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert resume(run, "--max-steps", 20) == 2
    said = capsys.readouterr().err
    assert f"the {schedule} schedule goes by the number of all steps" in said
    assert "--rewarm" in said
    assert f"nextfill train --model {run}" in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_second_warm_up_is_recorded_and_repeated_by_its_config(job, tmp_path, text_file):
    run = job(tmp_path / "run", "--max-steps", 10, "--warmup-steps", 0.2)
    first = (run / "config.toml").read_text("utf-8")
    words = ["--max-steps", 30, "--rewarm", "--learning-rate", 5e-4, "--schedule", "cosine"]
    assert resume(run, *words) == 0
    training = tomllib.loads((run / "config.toml").read_text("utf-8"))["training"]
    assert (training["max_steps"], training["schedule_start"]) == (30, 10)
    [earlier] = training["stages"]
    assert (earlier["end"], earlier["num_steps"], earlier["schedule"]) == (10, 10, "linear")
    assert (run / "stages/1.toml").read_text("utf-8") == first
    rates = [one["learning_rate"] for one in steps_of(run)]
    assert rates[:4] == [0, 5e-4, 1e-3, 1e-3 * 7 / 8]
    assert rates[10] == 0  # the first of the four, a fifth of 20, that warm up again
    assert rates[14] == max(rates[10:]) == 5e-4
    facts = read_run(run)
    assert facts.finished
    assert facts.stages[0].rewarmed
    assert "cosine anew from 0.0005, 4 steps of warm-up." in facts.stages[0].sentence()
    assert "Stage 2 goes on from step 10 to 30" in (run / "report.html").read_text("utf-8")
    assert "30 steps (stage 2 from step 10 on)" in (run / "model/README.md").read_text("utf-8")
    result = train_result(run)
    assert result.to_json()["stages"][0]["step"] == 10
    assert "cosine anew" in repr(result)
    again = tmp_path / "again"
    assert main(["train", str(run / "config.toml"), "--out", str(again), "--quiet"]) == 0
    assert RunDirectory(again).read_events() == RunDirectory(run).read_events()
    assert resume(run, *words) == 0  # the same line again takes no further step
    assert (run / "stages/2.toml").exists() is False


def test_an_interrupted_run_and_a_third_stage(job, tmp_path, monkeypatch):
    words = ["--schedule", "constant"]
    whole = job(tmp_path / "whole", *words, "--max-steps", 40)
    run = job(tmp_path / "run", *words, "--max-steps", 12)
    cut_off(monkeypatch, 17)
    with pytest.raises(KeyError):
        resume(run, "--max-steps", 30)
    monkeypatch.undo()
    facts = read_run(run)
    assert not facts.finished
    assert facts.num_steps == 30
    assert main(["report", str(run), "--no-open"]) == 0
    assert "the model that is saved is of an earlier stage" in (run / "report.html").read_text()
    assert main(["evaluate", str(run), "--quiet"]) == 0
    assert resume(run, "--max-steps", 40) == 0
    check_equal(run, whole)
    assert [(one.step, one.num_steps) for one in read_run(run).stages] == [(12, 30), (14, 40)]
    assert main(["evaluate", str(run), "--quiet"]) == 0


def cut_off(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let a run end as by a kill in a step."""
    from nextfill.training import loop

    real = loop.take_step

    def take_step(setup, optimizer, at, numbers):
        if at == step:
            raise KeyError
        return real(setup, optimizer, at, numbers)

    monkeypatch.setattr(loop, "take_step", take_step)


@pytest.mark.parametrize("moment", ["before the config", "before the record"])
def test_a_kill_while_a_stage_is_recorded_leaves_the_run_as_it_was(
    moment, job, tmp_path, monkeypatch
):
    from nextfill.runs import stages

    words = ["--schedule", "constant"]
    whole = job(tmp_path / "whole", *words, "--max-steps", 20)
    run = job(tmp_path / "run", *words, "--max-steps", 10)
    before = (run / "config.toml").read_bytes()
    real = stages.write_text

    def write_text(path, text):
        if moment == "before the config" and path.name == "config.toml":
            raise KeyError
        real(path, text)

    def write_record(path, record):
        raise KeyError

    monkeypatch.setattr(stages, "write_text", write_text)
    if moment == "before the record":
        monkeypatch.setattr(stages, "write_record", write_record)
    with pytest.raises(KeyError):
        resume(run, "--max-steps", 20)
    monkeypatch.undo()
    assert main(["evaluate", str(run), "--quiet"]) == 0
    assert resume(run) == 0
    assert (run / "config.toml").read_bytes() == before
    assert resume(run, "--max-steps", 20) == 0
    check_equal(run, whole)


def test_what_cannot_be_is_refused(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", "constant", "--max-steps", 10)
    for words, told in [
        (["--max-steps", 5], "has taken 10 steps, and 5 are asked for"),
        (["--max-steps", 20, "--seed", 3], "--seed: the run has 0, not 3"),
        (["--max-steps", 20, "--learning-rate", 1], "With --rewarm and more steps its schedule"),
        (["--rewarm"], "begins the schedule anew over further steps: give --max-steps"),
        (["--max-steps", 10, "--rewarm", "--learning-rate", 1], "has 10 already: give more"),
        (["--max-steps", 0], "--max-steps: found '0'"),
    ]:
        assert resume(run, *words) == 2, words
        assert told in capsys.readouterr().err
    with RunDirectory(run).locked():
        assert resume(run, "--max-steps", 20) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert main(["train", "--rewarm"]) == 2
    assert "give --resume" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"has taken 10 steps, .* leave max_steps= and epochs="):
        nextfill.train(out=run, resume=True, max_steps=5)
    assert nextfill.train(out=run, resume=True, max_steps=12).stages[0].num_steps == 12


def test_damage_is_told_before_anything_is_recorded(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", "constant", "--max-steps", 10)
    for file in run.glob("checkpoints/*/cursor.json"):
        file.write_text("{}")
    assert resume(run, "--max-steps", 20) == 2
    assert "No checkpoint" in capsys.readouterr().err
    assert not (run / "stages").exists()


def test_a_damaged_stage_is_made_again_from_a_checkpoint(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", "constant", "--max-steps", 10)
    assert resume(run, "--max-steps", 20) == 0
    first = run / "stages/1.toml"
    text = first.read_text("utf-8")
    first.write_text(text.replace("max_steps = 10", "max_steps = 11"), "utf-8")
    assert main(["report", str(run), "--no-open"]) == 2
    assert "stages/1.toml holds other bytes" in capsys.readouterr().err
    assert resume(run) == 0
    assert first.read_text("utf-8") == text
    assert main(["report", str(run), "--no-open"]) == 0


def test_early_stopping_stays(job, tmp_path, capsys):
    words = ["--early-stopping", 1, "--schedule", "constant", "--eval-every", 2]
    run = job(tmp_path / "run", *words, "--max-steps", 12, "--learning-rate", 10)
    assert train_result(run).end == "early stopping"
    assert resume(run, "--max-steps", 40) == 2
    assert "was stopped early" in capsys.readouterr().err


def test_the_best_weights_are_those_of_the_whole_run(job, tmp_path):
    words = ["--keep", "best", "--schedule", "wsd", "--eval-every", 6]
    whole = job(tmp_path / "whole", *words, "--max-steps", 60)
    run = job(tmp_path / "run", *words, "--max-steps", 30)
    assert resume(run, "--max-steps", 60) == 0
    check_equal(run, whole)
    assert train_result(run).kept_step == train_result(whole).kept_step


def test_masks_that_change_over_the_run_are_no_reason_to_guess(job, tmp_path, tiny_masked, capsys):
    words = ["--mask-rate-start", 0.4, "--schedule", "constant"]
    run = job(tmp_path / "run", *words, "--max-steps", 6, model=tiny_masked)
    assert resume(run, "--max-steps", 12) == 2
    assert "its masks change over the run" in capsys.readouterr().err
    assert resume(run, "--max-steps", 12, "--rewarm") == 0
    with pytest.raises(RunError, match="holds no run"):
        nextfill.train(out=tmp_path / "other", resume=True, max_steps=3)
