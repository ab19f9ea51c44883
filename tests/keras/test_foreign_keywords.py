"""Keywords of transformers' TensorFlow half are answered with ours, and missing arguments named."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import keras
import numpy as np
import pytest

import nextfill
from nextfill.config.foreign.foreign_keywords import TABLES
from nextfill.config.foreign.foreign_names import OF_A_KERAS_MODEL
from nextfill.core.errors import ConfigError
from tests.keras.tiny_models import CONFIGS, torch_model

CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("adamw", {"init_lr": 2e-5}, "has no init_lr. That is learning_rate=2e-05 here."),
    ("adamw", {"num_train_steps": 9}, "has no num_train_steps. That is num_steps=9 here."),
    ("adamw", {"num_warmup_steps": 0}, "That is warmup_steps=0 here."),
    ("adamw", {"weight_decay_rate": 0.01}, "That is weight_decay=0.01 here."),
    ("adamw", {"learning_rat": 1e-3}, "Did you mean 'learning_rate'?"),
    ("adamw", {"adam_beta1": 0.8}, "0.9, 0.999 and 1e-8 here: leave it out."),
    ("adamw", {}, "adamw wants model: the model that is trained."),
    ("Callback", {"hub_model_id": "me/mine"}, "That is share='me/mine' here."),
    ("Callback", {"output_dir": "guide"}, "That is out='guide' here."),
    ("Callback", {"save_strategy": "epoch"}, "at the end of each epoch: leave it out."),
    ("dataset", {"batch_size": 4}, "dataset wants blocks: blocks of nextfill.packed_dataset("),
    ("dataset", {"dataset": [1]}, "dataset has no dataset. That is blocks=... here."),
    ("dataset", {"collate_fn": len}, "padded and masked by nextfill.packed_dataset"),
    ("from_transformers", {"from_pt": True}, "has no from_pt. Weights are read as PyTorch's"),
    ("to_transformers", {"save_directory": "x"}, "That is folder='x' here."),
]


@pytest.mark.parametrize(("call", "keywords", "telling"), CALLS)
def test_a_foreign_keyword_is_answered(call: str, keywords: dict[str, Any], telling: str) -> None:
    with pytest.raises(ConfigError) as refused:
        getattr(nextfill.keras, call)(**keywords)
    assert telling in str(refused.value)


def test_what_a_foreign_keyword_stands_for_is_not_missing() -> None:
    with pytest.raises(ConfigError) as refused:
        nextfill.keras.adamw(None, num_train_steps=9, init_lr=1e-3)  # type: ignore[call-arg]
    assert len(refused.value.problems) == 2


def test_the_arguments_of_create_optimizer_by_their_places() -> None:
    with pytest.raises(ConfigError, match="model: found 2e-05; expected a model of"):
        nextfill.keras.adamw(2e-5, 100)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="takes model and num_steps without a name, and 3 are"):
        nextfill.keras.adamw(2e-5, 100, 0)  # type: ignore[arg-type, misc]


def test_signatures_are_as_they_were() -> None:
    assert list(inspect.signature(nextfill.keras.adamw).parameters)[:2] == ["model", "num_steps"]
    assert "share" in inspect.signature(nextfill.keras.Callback).parameters
    assert "revision" in inspect.signature(nextfill.keras.from_transformers).parameters


@pytest.mark.parametrize("call", ["adamw", "Callback", "dataset", "from_transformers"])
def test_each_answer_names_an_argument_that_there_is(call: str) -> None:
    ours = inspect.signature(getattr(nextfill.keras, call)).parameters
    for name, answer in TABLES[call].items():
        assert name not in ours
        assert {*re.findall(r"`(\w+)", answer)} <= {*ours}, name


@pytest.fixture(scope="module")
def model() -> Any:
    return nextfill.keras.from_transformers(torch_model(CONFIGS["gpt2"]))


@pytest.mark.parametrize("name", OF_A_KERAS_MODEL)
def test_a_method_of_transformers_models_is_answered(model: Any, name: str) -> None:
    assert not hasattr(model, name)
    assert getattr(model, name, None) is None
    with pytest.raises(AttributeError, match=f"A Keras model has no {name}: .*(nextfill|model)"):
        getattr(model, name)


def test_other_names_are_missing_as_in_any_keras_model(model: Any) -> None:
    with pytest.raises(AttributeError, match="'LanguageModel' object has no attribute 'no_such'"):
        _ = model.no_such
    model.of_its_own = 3
    assert model.of_its_own == 3
    del model.of_its_own
    assert not hasattr(model, "of_its_own")


def test_a_property_that_fails_tells_its_own_error() -> None:
    from nextfill.keras_engine.language_model import LanguageModel

    class WithProperty(LanguageModel):
        @property
        def failing(self) -> Any:
            raise AttributeError("of its own")

    inputs = keras.Input((2,))
    one = WithProperty(inputs, inputs)
    with pytest.raises(AttributeError, match=r"of its own|failing"):  # PyTorch's has the name
        _ = one.failing


def test_a_copy_has_the_same_weights(model: Any, tmp_path: Any) -> None:
    path = tmp_path / "model.keras"
    model.save(path)
    pickled = pickle.loads(pickle.dumps(model))  # noqa: S301 - made here
    copies = copy.deepcopy(model), pickled, keras.models.load_model(path)
    for one in copies:
        assert type(one) is type(model)
        for weights, expected in zip(one.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(weights, expected)


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_what_is_no_batch_of_keras_is_refused(model: Any, call: str) -> None:
    texts = ["one text", "another"] * 9
    blocks = nextfill.packed_dataset(data=texts, block_size=16, model="builtin:base-causal")
    ready = f"Type: model.{call}(nextfill.keras.dataset(blocks))"
    made = f"model.{call}(nextfill.keras.dataset(nextfill.packed_dataset(data=..., model=...)))"
    model.compile(optimizer="sgd")
    for given, found, typed in [
        (blocks, "a PackedDataset", ready),
        (texts, "a text", made),
        ("notes.txt", "a text", made),
    ]:
        with pytest.raises(ConfigError) as refused:
            getattr(model, call)(given)
        assert str(refused.value) == f"{call}: found {found}; expected batches for Keras. " + (
            typed if typed is ready else f"Type: {typed}"
        )


def test_blocks_that_are_no_batches_are_no_validation_data(model: Any) -> None:
    texts = ["one text", "another"] * 9
    blocks = nextfill.packed_dataset(data=texts, block_size=16, model="builtin:base-causal")
    model.compile(optimizer="sgd")
    with pytest.raises(ConfigError, match=r"fit\(validation_data=nextfill.keras.dataset\(blocks"):
        model.fit(nextfill.keras.dataset(blocks), validation_data=blocks)


def test_the_words_on_the_schedule_are_true(model: Any) -> None:
    with pytest.raises(AttributeError, match=r"optimizer.learning_rate is the rate of the next"):
        _ = nextfill.keras.create_optimizer
    optimizer = nextfill.keras.adamw(model, 2, learning_rate=1e-3)
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)
    optimizer.iterations.assign(1)
    assert float(optimizer.learning_rate) == pytest.approx(0.5e-3)
