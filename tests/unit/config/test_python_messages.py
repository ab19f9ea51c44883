"""Errors of a verb that is called from Python name keywords, not flags."""

from __future__ import annotations

import pickle
import re

import pytest

import nextfill
from nextfill.config import BundleConfig, EvaluateConfig, FillConfig, GenerateConfig, TrainConfig
from nextfill.config.command_line.python_messages import (
    _PROSE,
    as_called,
    in_keywords,
    keyword_errors,
)
from nextfill.config.options import settings
from nextfill.core.errors import ConfigError, DataError, Interrupted, NotSharedError, RunError
from tests.unit.test_typed_commands import messages

ROOTS = (TrainConfig, EvaluateConfig, GenerateConfig, FillConfig, BundleConfig)
VALUES = ("builtin", "scratch")
"""Values of settings that are texts, as messages spell them out."""


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Name another field with --text-field.", "Name another field with text_field=."),
        ("--test-size 0.2 and --eval-data, too", "test_size=0.2 and eval_data=, too"),
        ("--keep best or --early-stopping 3", 'keep="best" or early_stopping=3'),
        (
            "give --no-isolate, or leave --isolate out",
            "give isolate=False, or leave isolate=True out",
        ),
        ("--packing: found 'x'", "packing: found 'x'"),
        ("--verify: found 'x'", "verify: found 'x'"),
        ("--share USER/NAME.", "share='USER/NAME'."),
        ("--data notes.txt is gone", 'data="notes.txt" is gone'),
        ("--data '/no such.txt': there", "data='/no such.txt': there"),
        ("--out /tmp/a is not empty", "out='/tmp/a' is not empty"),
        ("give another --out", "give another out="),
        ("found --no-such-flag and --top-q 3", "found --no-such-flag and --top-q 3"),
        ("go on: nextfill train --out a --resume", "go on: nextfill.train(out='a', resume=True)"),
        (
            "more: 'my env/nextfill' train --out 'my run' --resume --max-steps N.",
            "more: nextfill.train(out='my run', resume=True, max_steps=N).",
        ),
        (
            "python3 -m nextfill train --out a --resume; or give --out",
            "nextfill.train(out='a', resume=True); or give out=",
        ),
        (
            "nextfill train --out a --resume --seed 3",
            "nextfill.train(out='a', resume=True, seed=3)",
        ),
        ("type --resume\nnextfill train --out a", "type resume=True\nnextfill.train(out='a')"),
        (
            "--text-field completion, with --context-field prompt before",
            'text_field="completion", with context_field="prompt" before',
        ),
        ("--out ev.jsonl: exists", 'out="ev.jsonl": exists'),
        ("--out . holds files", 'out="." holds files'),
        (
            "name it with --text-field or leave --out out",
            "name it with text_field= or leave out= out",
        ),
        (
            "in a new run: nextfill train runs/a/config.toml --model runs/a",
            "in a new run: nextfill.train('runs/a/config.toml', model='runs/a')",
        ),
        ("type: nextfill bundle RUN", "type: nextfill.bundle(RUN)"),
        (
            "type: nextfill bundle runs/clm --out clm-2.zip",
            "type: nextfill.bundle('runs/clm', out='clm-2.zip')",
        ),
        (
            "again with:\n  'my env/bin/nextfill' share 'my run' me/notes --no-private",
            "again with:\n  nextfill.share('my run', 'me/notes', private=False)",
        ),
        ("Log in once (nextfill login), or", "Log in once (nextfill.login()), or"),
        (
            "/v/bin/nextfill evaluate runs/a --data notes.txt. Or nextfill evaluate runs/b",
            "nextfill.evaluate('runs/a', data='notes.txt'). Or nextfill.evaluate('runs/b')",
        ),
        ("stays: nextfill train --out a --no-such 3", "stays: nextfill train --out a --no-such 3"),
        ("nextfill recipes lists some", "nextfill recipes lists some"),
        ("nextfill cache prune removes stores", "nextfill.prune_cache() removes stores"),
        ("no flags in here - at all -- really", "no flags in here - at all -- really"),
    ],
)
def test_flags_become_keywords(typed, written):
    assert in_keywords(typed, TrainConfig) == written


def test_each_word_after_a_flag_is_a_value_or_one_of_a_sentence():
    known = {one.flag: one for root in ROOTS for one in settings(root)}
    values, found = set(VALUES), set()
    for _, text in messages():
        for flag, word in re.findall(r"(--[a-z][a-z-]*[a-z]) ([a-z]+)(?=[ ,;:)]|\.? |\.?$)", text):
            if flag in known and known[flag].kind is str and word not in _PROSE:
                found.add(word)
    assert found <= values, "words that are neither: add them to the prose, or to the values here"


def test_a_setting_of_another_verb_stays_as_it_is():
    assert in_keywords("--epochs 3", EvaluateConfig) == "--epochs 3"


def test_errors_keep_their_type_their_fields_and_their_cause():
    with pytest.raises(ConfigError) as several, keyword_errors(TrainConfig):
        raise ConfigError(["--epochs 3 is bad", "--out is missing"])
    assert several.value.problems == ("epochs=3 is bad", "out= is missing")
    assert str(several.value).splitlines()[1:] == ["  - epochs=3 is bad", "  - out= is missing"]
    with pytest.raises(DataError, match="text_field=") as one, keyword_errors(TrainConfig):
        raise DataError("with --text-field") from OSError("x")
    assert isinstance(one.value.__cause__, OSError)
    with pytest.raises(NotSharedError) as failed, keyword_errors(TrainConfig):
        raise NotSharedError("--share failed", 5)
    assert failed.value.result == 5
    assert str(pickle.loads(pickle.dumps(failed.value))) == "share= failed"  # noqa: S301


def test_a_run_that_was_stopped_is_gone_on_with_by_a_call():
    with pytest.raises(Interrupted) as stopped, keyword_errors(TrainConfig):
        raise Interrupted(12, "runs/my run")
    assert str(stopped.value).endswith("\n  nextfill.train(out='runs/my run', resume=True)")
    assert (stopped.value.step, stopped.value.run) == (12, "runs/my run")
    assert " train --out 'runs/my run' --resume" in str(Interrupted(12, "runs/my run"))


def test_a_run_that_is_there_already_is_gone_on_with_by_a_call(tmp_path):
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(RunError, match=r"nextfill\.train\(out='.*', resume=True\)"):
        nextfill.train(data=["a"], out=tmp_path)


def test_a_warning_names_the_setting_of_the_call(caplog):
    text = " ".join(f"word{number}" for number in range(3000))
    nextfill.prepare(data=[text], quiet=True)
    assert "Name other text to hold out with eval_data=." in caplog.text
    assert as_called("--data") == "--data"
