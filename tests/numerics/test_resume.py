"""A run that is killed or stopped and gone on with equals one that was not, byte by byte."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Forks, steps_taken
from tests.small_job import STEPS, check_equal, words_of


@pytest.fixture(scope="module")
def settings(
    tiny_tokenizer: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """A job a little larger than tiny, so that a step can be hit."""
    return words_of(
        tiny_tokenizer,
        text_file,
        tmp_path_factory.mktemp("cache"),
        width=128,
        layers=3,
        heads=4,
        save_every=5,
        eval_every=4,
    )


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


@pytest.fixture(scope="module")
def whole(settings: list[str], forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing befell."""
    run = tmp_path_factory.mktemp("whole") / "run"
    forks.finish("train", *settings, "--quiet", "--out", run)
    return run


def test_a_killed_run_ends_as_if_it_had_not_been(
    settings: list[str], whole: Path, forks: Forks, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = forks.start("train", *settings, "--quiet", "--out", run)
    status = forks.signal_when(process, lambda: steps_taken(run) >= 7, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert steps_taken(run) < STEPS
    assert not (run / "model").exists()
    forks.finish("train", "--out", run, "--resume", "--quiet")
    check_equal(run, whole)


def test_an_interrupted_run_saves_says_how_to_go_on_and_goes_on(
    settings: list[str], whole: Path, forks: Forks, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = forks.start("train", *settings, "--quiet", "--out", run)
    status = forks.signal_when(process, lambda: steps_taken(run) >= 2, signal.SIGINT)
    errors = forks.errors.read_text("utf-8")
    assert status == 130, errors
    at = steps_taken(run)
    assert 2 <= at < STEPS
    assert f"{at} steps are saved" in errors
    assert f"nextfill train --out {run} --resume" in errors
    assert "Traceback" not in errors
    assert (run / "checkpoints" / f"step-{at:08d}" / "cursor.json").is_file()
    forks.finish("train", "--out", run, "--resume", "--quiet")
    check_equal(run, whole)


def test_a_command_that_ends_before_its_moment_is_told_at_once(forks: Forks) -> None:
    process = forks.start("train", "--resume", "--nonsense")
    with pytest.raises(AssertionError, match=r"ended with 2: nextfill: .*--nonsense"):
        forks.signal_when(process, lambda: False, signal.SIGINT)
    assert forks.finish("recipes").startswith("base-causal")
