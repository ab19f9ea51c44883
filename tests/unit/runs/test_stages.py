"""The stages of a run: how they are recorded, told, repeated, and recovered from a kill."""

import tomllib

import pytest

from nextfill.cli.main import main
from nextfill.runs.directory import RunDirectory
from nextfill.runs.reader import read_run, train_result
from tests.extended_runs import check_equal, job, resume, steps_of
from tests.interruption import interrupted
from tests.representative import often

__all__ = ["job"]  # a fixture


@pytest.mark.trial
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
    ends = [event["step"] for event in RunDirectory(run).read_events("evaluation")]
    assert ends == [0, 9, 10, 18, 27, 30]  # each ninth step, and the end of each stage
    again = tmp_path / "again"
    assert main(["train", str(run / "config.toml"), "--out", str(again), "--quiet"]) == 0
    assert RunDirectory(again).read_events() == RunDirectory(run).read_events()
    assert resume(run, *words) == 0  # the same line again takes no further step
    assert (run / "stages/2.toml").exists() is False


def test_an_interrupted_run_and_a_third_stage(job, tmp_path):
    words = ["--schedule", "constant"]
    whole = job(tmp_path / "whole", *words, "--max-steps", 40)
    run = job(tmp_path / "run", *words, "--max-steps", 12)
    with interrupted(before=17, by=KeyError()), pytest.raises(KeyError):
        resume(run, "--max-steps", 30)
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


@pytest.mark.parametrize(
    "moment", often(["before the config", "before the record"], ["before the record"])
)
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
