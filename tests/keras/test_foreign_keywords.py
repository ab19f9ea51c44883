"""Keywords of transformers' TensorFlow half are answered with ours, and missing arguments named."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import nextfill
from nextfill.config.foreign_keywords import TABLES
from nextfill.core.errors import ConfigError

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
