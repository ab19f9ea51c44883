"""What is told on stderr, by level, in both front doors; afterwards all is as it was."""

import logging

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.progress import Silent
from nextfill.terminal.log_level import LIBRARIES, at_log_level, log_levels_restored

LOGGERS = ("nextfill", *LIBRARIES)


def state():
    return [
        (one.level, list(one.handlers), one.propagate) for one in map(logging.getLogger, LOGGERS)
    ]


@pytest.fixture
def told(capfd, tiny_model, text_file):
    def command(*words):
        line = ["evaluate", str(tiny_model), "--data", str(text_file), *words]
        assert main(line) == 0
        return capfd.readouterr().err

    return command


@pytest.mark.parametrize(
    ("words", "progress", "logs"),
    [
        ([], True, False),
        (["--log-level", "info"], True, False),
        (["--log-level", "warning"], False, False),
        (["--log-level", "error"], False, False),
        (["--log-level", "debug"], True, True),
        (["--log-level", "debug", "--quiet"], False, True),
        (["--log-level", "info", "--quiet"], False, False),
    ],
)
def test_a_level_is_what_is_told(words, progress, logs, told):
    told()  # a test before may have left transformers quieter than a command does
    before = state()
    said = told(*words)
    assert ("scoring" in said) == progress
    assert ("transformers" in said) == logs
    assert state() == before


@pytest.mark.parametrize(("level", "shown"), [(None, True), ("warning", True), ("error", False)])
def test_warnings_of_ours_are_told_but_with_error(level, shown, caplog):
    with log_levels_restored():
        at_log_level(Silent(), level)
        logging.getLogger("nextfill").warning("a file is damaged")
        assert ("a file is damaged" in caplog.text) == shown


def test_a_script_asks_for_progress_by_a_level(tiny_model, text_file, capfd):
    words = {"data": text_file, "test_size": 5}
    nextfill.evaluate(tiny_model, **words)
    assert capfd.readouterr().err == ""
    nextfill.evaluate(tiny_model, log_level="info", **words)
    assert "evaluating" in capfd.readouterr().err


def test_what_libraries_log_has_no_secret_and_no_control_character(capfd):
    with log_levels_restored():
        at_log_level(Silent(), "debug")
        secret = "hf_" + "a" * 34
        logging.getLogger("huggingface_hub.x").debug("GET https://u:%s@x.org\x1b[2J", secret)
        said = capfd.readouterr().err
        assert "DEBUG huggingface_hub.x: GET https://" in said
        assert secret not in said
        assert "\x1b" not in said


def test_a_recipe_has_it_too(tiny_model, text_file, tmp_path, capfd):
    recipe = tmp_path / "one.toml"
    recipe.write_text(
        f'log_level = "warning"\nmodel = "{tiny_model}"\ndata = "{text_file}"\n'
        "[training]\nmax_steps = 2\n[blocks]\nblock_size = 32\n"
    )
    run = tmp_path / "run"
    assert main(["train", str(recipe), "--out", str(run)]) == 0
    assert "step 2" not in capfd.readouterr().err
    assert 'log_level = "warning"' in (run / "config.toml").read_text("utf-8")
    assert main(["train", "--out", str(run), "--resume", "--log-level", "info"]) == 0
    assert "finished already" in capfd.readouterr().err
