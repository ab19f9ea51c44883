"""What the API gives back, or raises, is the same after it went to another process."""

from __future__ import annotations

import copy
import pickle

import pytest

import nextfill
from nextfill.config import DataConfig
from nextfill.core.errors import (
    ConfigError,
    DataError,
    HubError,
    Interrupted,
    ModelError,
    NotSharedError,
    RunError,
)

ERRORS = [
    ConfigError(["one thing"]),
    ConfigError(["one thing", "and another"]),
    DataError("notes.txt:3: bad"),
    ModelError("no such model"),
    RunError("in use"),
    HubError("not there"),
    NotSharedError("not pushed", {"steps": 2}),
    Interrupted(12, "runs/my run"),
]


def copies(value):
    return [pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)]  # noqa: S301


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_errors(error):
    for other in copies(error):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_model, text_file):
    folder = tmp_path_factory.mktemp("results")
    words = {"data": text_file, "cache_dir": folder / "cache"}
    trained = nextfill.train(
        model=tiny_model, **words, max_steps=1, sample_prompt="a leaf", out=folder / "run"
    )
    return {
        "train": trained,
        "prepare": nextfill.prepare(tokenizer=tiny_model, **words),
        "evaluate": nextfill.evaluate(trained.run, show=2),
        "compare": nextfill.evaluate(trained.run, str(tiny_model)),
        "generate": nextfill.generate(tiny_model, "the river", max_new_tokens=3),
        "inspect": nextfill.inspect_tokenizer(str(tiny_model), data=text_file),
        "cache": nextfill.list_cache(cache_dir=folder / "cache"),
    }


@pytest.mark.parametrize(
    "verb", ["train", "prepare", "evaluate", "compare", "generate", "inspect", "cache"]
)
def test_results(results, verb):
    result = results[verb]
    for other in copies(result):
        assert type(other) is type(result)
        assert repr(other) == repr(result)
        if hasattr(result, "to_json"):
            assert other.to_json() == result.to_json()


def test_settings():
    one = DataConfig(source="a.jsonl", explode=False)
    assert all(other == one for other in copies(one))
