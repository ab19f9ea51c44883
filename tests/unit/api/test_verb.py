"""Values without a name are refused with the name to type."""

from __future__ import annotations

import shutil

import pytest

import nextfill
from nextfill.core.errors import ConfigError

RECORDS = [{"text": "one"}]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nextfill.look(RECORDS), "look takes no value without a name"),
        (lambda: nextfill.prepare(RECORDS), "prepare takes no value without a name"),
        (lambda: nextfill.train(RECORDS), "found a list in place of a recipe"),
        (lambda: nextfill.train("quickstart", RECORDS), "train takes only recipe without a name"),
        (lambda: nextfill.evaluate("builtin:base-causal", RECORDS), "names of others"),
    ],
)
def test_records_without_a_name_are_told_theirs(call, said):
    with pytest.raises(ConfigError, match=rf"{said}.*type data=records\.$"):
        call()


def test_a_verb_without_data_asks_for_names():
    with pytest.raises(ConfigError, match=r"only model and prompt without a name: name the others"):
        nextfill.generate("builtin:base-causal", "one", "two")


def test_an_observer_is_told_of_settings_as_a_program_types_them():
    rows = [" ".join(f"word{n}x{number}" for n in range(60)) for number in range(40)]
    told = []

    class Notes(nextfill.Observer):
        def on_note(self, text):
            told.append(text)

    nextfill.prepare(data=rows, eval_data=[f"Once {row}" for row in rows[:5]], observer=Notes())
    assert any("drop_leaks=True" in text for text in told)
    assert not any("--" in text for text in told)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mask_rate": 0.3}, "mask_rate: masks are for masked models, and {} is a causal one"),
        ({"pseudo": True}, "{}: a causal model's log-likelihood is exact"),
        ({"block_size": 5000}, "block_size=5000 is above the 512 positions of {}: give"),
    ],
)
def test_what_a_run_cannot_be_evaluated_with_names_the_run(settings, said, tmp_path):
    rows = [f"The river {number} was old." for number in range(40)]
    job = {"data": rows, "max_steps": 1, "batch_size": 2, "block_size": 16, "quiet": True}
    run = nextfill.train(model="builtin:base-causal", out=tmp_path / "run", **job).run
    with pytest.raises(ConfigError) as told:
        nextfill.evaluate(run, **settings)
    assert said.format(run) in str(told.value)


def test_a_list_of_models_is_compared_as_their_names_are(tiny_model, text_file, tmp_path):
    shutil.copytree(tiny_model, other := tmp_path / "other")
    job = {"data": str(text_file), "test_size": 0.1, "block_size": 32, "quiet": True}
    apart = nextfill.evaluate(str(tiny_model), str(other), **job)
    assert nextfill.evaluate([str(tiny_model), other], **job).to_json() == apart.to_json()
    assert nextfill.evaluate((tiny_model,), other, **job).to_json() == apart.to_json()
    for few in ([], [str(tiny_model)]):
        with pytest.raises(ConfigError, match=rf"model: found a list of {len(few)}\."):
            nextfill.evaluate(few, **job)
    with pytest.raises(ConfigError, match="names of others"):
        nextfill.evaluate([str(tiny_model), {"text": "one"}], **job)
