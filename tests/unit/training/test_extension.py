"""A run that is given other steps equals one that had them from the start, or says why not."""

import shutil

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, RunError
from nextfill.runs.directory import RunDirectory
from nextfill.runs.reader import train_result
from tests.extended_runs import check_equal, job, resume, steps_of
from tests.interruption import interrupted
from tests.representative import often

__all__ = ["job"]  # a fixture


@pytest.mark.trial
def test_100_steps_and_100_more_are_200_steps(job, tmp_path, capsys):
    words = ["--schedule", "constant", "--warmup-steps", 5]
    whole = job(tmp_path / "whole", *words, "--max-steps", 200)
    run = job(tmp_path / "run", *words, "--max-steps", 100)
    capsys.readouterr()
    assert resume(run, "--max-steps", 200) == 0
    assert "Stage 2 goes on from step 100 to 200 (planned before: 100)" in capsys.readouterr().out
    check_equal(run, whole)


@pytest.mark.parametrize(
    "way",
    often(
        ["masked", "lora", "inverse_sqrt", "sgd", "adafactor", "epochs"],
        ["masked", "lora", "epochs"],
    ),
)
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


def test_a_warm_up_that_is_a_share_stays_as_long_as_it_was(job, tmp_path):
    words = ["--schedule", "inverse_sqrt", "--warmup-steps"]
    whole = job(tmp_path / "whole", *words, 4, "--max-steps", 20)
    run = job(tmp_path / "run", *words, 0.4, "--max-steps", 10)
    assert resume(run, "--max-steps", 20) == 0
    check_equal(run, whole)
    assert "warmup_steps = 4.0" in (run / "config.toml").read_text("utf-8")


@pytest.mark.trial
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
    kept = ["--save-every", 1, "--keep-checkpoints", 10]  # of the first step, at the peak rate, too
    run = job(tmp_path / "run", "--schedule", schedule, "--max-steps", 10, *kept)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert resume(run, "--max-steps", 20) == 2
    said = capsys.readouterr().err
    assert f"the {schedule} schedule goes by the number of all steps" in said
    assert "--rewarm" in said
    assert f"nextfill train {run / 'config.toml'} --model {run}" in said  # on its data
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_stage_that_began_anew_is_never_taken_back(schedule, job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", schedule, "--max-steps", 9)
    assert resume(run, "--max-steps", 12, "--rewarm") == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for words in (["--max-steps", 15], ["--epochs", 1]):
        assert resume(run, *words) == 2
        said = capsys.readouterr().err
        assert f"is planned for 12 steps, and the {schedule} schedule goes by" in said
        assert "--rewarm" in said
    with pytest.raises(ConfigError, match="planned for 12 steps"):
        nextfill.train(out=run, resume=True, max_steps=15)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert "--resume --rewarm --max-steps N" in capsys.readouterr().err
    assert resume(run, "--max-steps", 15, "--rewarm") == 0
    assert [(one.step, one.num_steps) for one in train_result(run).stages] == [(9, 12), (12, 15)]


def test_a_stage_that_began_anew_and_was_stopped_goes_by_its_own_steps(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--max-steps", 9, "--save-every", 2)
    with interrupted(before=13, by=KeyError()), pytest.raises(KeyError):
        resume(run, "--max-steps", 18, "--rewarm")
    for number in (14, 21):  # fewer, and more
        assert resume(run, "--max-steps", number) == 2
        assert "the steps that it has taken would have been others" in capsys.readouterr().err
    assert resume(run, "--max-steps", 21, "--rewarm") == 0
    assert [(one.step, one.num_steps) for one in train_result(run).stages] == [(9, 18), (12, 21)]


def test_a_schedule_that_does_not_end_goes_on_from_a_stage_that_began_anew(job, tmp_path):
    run = job(tmp_path / "run", "--schedule", "linear", "--max-steps", 9)
    assert resume(run, "--max-steps", 14, "--rewarm", "--schedule", "wsd") == 0
    kept = steps_of(run)
    assert resume(run, "--max-steps", 20) == 0
    assert steps_of(run)[:13] == kept[:13]  # its decay was of one step
    assert resume(run, "--max-steps", 22, "--rewarm", "--schedule", "constant") == 0
    assert resume(run, "--max-steps", 24) == 0
    assert len(train_result(run).stages) == 4


def test_what_cannot_be_is_refused(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", "constant", "--max-steps", 10)
    for words, told in [
        (["--max-steps", 5], "has taken 10 steps, and 5 are asked for"),
        (["--max-steps", 20, "--seed", 3], "--seed: the run has 0, not 3"),
        (["--max-steps", 20, "--learning-rate", 1], "With --rewarm and more steps its schedule"),
        (["--rewarm"], "begins the schedule anew over further steps: give --max-steps"),
        (["--max-steps", 10, "--rewarm", "--learning-rate", 1], "has 10 already: give more"),
        (["--max-steps", 0], "--max-steps: found '0'"),
        (["--keep-checkpoints", 5], "is finished: leave it out, or give more steps"),
        (["--keep-checkpoints", 5, "--max-steps", 10], "of checkpoints that are still to come"),
    ]:
        assert resume(run, *words) == 2, words
        assert told in capsys.readouterr().err
    assert resume(run, "--keep-checkpoints", 2) == 0  # as it is
    with RunDirectory(run).locked():
        assert resume(run, "--max-steps", 20) == 2
    assert "is being written by another process" in capsys.readouterr().err
    assert main(["train", "--rewarm"]) == 2
    assert "give --resume" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"has taken 10 steps, .* leave max_steps= and epochs="):
        nextfill.train(out=run, resume=True, max_steps=5)
    more = nextfill.train(out=run, resume=True, max_steps=12, keep_checkpoints=5)
    assert more.stages[0].num_steps == 12
    assert "keep_checkpoints = 5" in (run / "config.toml").read_text("utf-8")


def test_damage_is_told_before_anything_is_recorded(job, tmp_path, capsys):
    run = job(tmp_path / "run", "--schedule", "constant", "--max-steps", 10)
    for file in run.glob("checkpoints/*/cursor.json"):
        file.write_text("{}")
    assert resume(run, "--max-steps", 20) == 2
    assert "No checkpoint" in capsys.readouterr().err
    assert not (run / "stages").exists()


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


@pytest.mark.parametrize(("schedule", "anew"), [("linear", "--rewarm "), ("constant", "")])
def test_the_command_for_more_steps_can_be_typed_as_it_stands(
    schedule, anew, job, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("sys.argv", ["nextfill"])
    run = job(tmp_path / "run", "--schedule", schedule, "--max-steps", 4)
    capsys.readouterr()
    assert main(["train", "--out", str(run), "--resume"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    command = f"train --out {run} --resume {anew}--max-steps"
    assert f"{command} N" in told
    if anew:
        assert resume(run, "--max-steps", 6) == 2
        assert f"{command} 6; or train" in " ".join(capsys.readouterr().err.split())
        with pytest.raises(ConfigError, match=r"resume=True, rewarm=True, max_steps=6\)"):
            nextfill.train(out=run, resume=True, max_steps=6)
    assert main([*command.split(), "6"]) == 0
