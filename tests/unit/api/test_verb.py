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
