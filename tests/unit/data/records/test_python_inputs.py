from dataclasses import fields
from pathlib import Path

import pytest

from nextfill.config import EvaluationConfig, PrepareConfig
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError
from nextfill.data.records.python_inputs import set_live_aside, with_files


def data(value, key="source", label="data"):
    return Assignment(("data", key), value, label)


def test_names_and_numbers_stay_and_data_are_set_aside():
    names = [data("a.txt"), data(Path("b.txt")), data(None, "eval_source"), data(0.2, "test_size")]
    texts = [data(["x"]), data(iter("x"), "eval_source", "eval_data")]
    other = Assignment(("model", "config"), {"n_layer": 2}, "model.config")
    assert set_live_aside([*names, *texts, other]) == ([*names, other], texts)


def test_an_array_is_not_compared_with_others():
    import numpy as np

    arrays = [data(np.array(["x", "y"])), data(np.array(["z", "u"]), "eval_source")]
    plain, live = set_live_aside(arrays)
    assert plain == []
    assert [one.value for one in live] == [arrays[0].value, arrays[1].value]


@pytest.mark.parametrize("value", [["x"], {"a": 1}, object()])
def test_a_dict_that_is_no_section_is_refused(value):
    splits = [data(value, "train", "data.train"), data(value, "test", "data.test")]
    with pytest.raises(ConfigError, match=r"found a dict of train, test. Pass one split"):
        set_live_aside(splits)


@pytest.mark.parametrize("label", ["--keep-fields", "data.keep_fields", "keep_fields"])
def test_a_setting_of_the_data_that_is_a_list_is_no_data(label):
    given = [data(["label", "language"], "keep_fields", label), data("a.jsonl")]
    assert set_live_aside(given) == (given, [])


@pytest.mark.parametrize("name", [item.name for item in fields(EvaluationConfig)])
def test_a_list_for_a_setting_of_evaluations_is_no_evaluation_set(name):
    given = [Assignment(("evaluation", name), ["label"], name)]
    assert set_live_aside(given) == (given, [])


def test_files_stand_where_data_stood(tmp_path):
    told = []
    seed = Assignment(("seed",), 1, "seed")
    given = [data(["x"]), seed, data(["y", "z"], "eval_source", "eval_data")]

    def settle(plain):
        assert plain == [seed]
        return PrepareConfig(cache_dir=str(tmp_path))

    first, *files = with_files(given, settle, lambda *event: told.append(event[0]))
    assert first == seed
    assert [one.path for one in files] == [given[0].path, given[2].path]
    assert [Path(one.value).name.partition(".")[0] for one in files] == ["1-texts", "2-texts"]
    assert all(Path(one.value).parent == tmp_path / "inputs" for one in files)
    assert told == ["writing down data", "writing down eval_data"]


def test_what_is_plain_is_given_back():
    given = [data("notes.txt")]
    assert with_files(given, lambda plain: PrepareConfig(), print) == given
