"""What the calls of the Keras half cannot use is refused before any epoch is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nextfill
from tests.keras.tiny_models import CONFIGS, torch_model


@pytest.fixture(scope="module")
def model() -> Any:
    return nextfill.keras.from_transformers(torch_model(CONFIGS["gpt2"]))


@pytest.fixture(scope="module")
def blocks() -> Any:
    texts = ["one text", "another"] * 9
    return nextfill.packed_dataset(data=texts, block_size=16, model="builtin:base-causal")


@pytest.mark.parametrize(
    ("keywords", "telling"),
    [
        ({"evaluation": ["a text"]}, "evaluation: found a list; expected a path, or settings of"),
        ({"evaluation": 3}, "Type: evaluation='held-out.txt'"),
        ({"evaluation": 3}, "as {'data': 'held-out.txt', 'text_field': 'text'}"),
        ({"evaluation": {"dta": "held-out.txt"}}, "There is no setting 'dta'. Did you mean 'data'"),
        ({"evaluation": {"model": "m"}}, "evaluation: leave model out, the callback gives its own"),
        ({"evaluation": "gone.txt"}, "data='gone.txt': there is no such file or folder"),
        ({"evaluation": Path("gone")}, "data='gone': there is no such file or folder"),
        ({"evaluation": {"data": "./gone"}}, "data='./gone': there is no such file or folder"),
        ({"tokenizer": 1}, "tokenizer: found 1; expected one of transformers, or none"),
        ({"tokenizer": "gpt2"}, "Type: tokenizer=AutoTokenizer.from_pretrained('NAME')"),
        ({"dataset": [1]}, "found a list; expected the batches that fit takes. Type: dataset=next"),
        ({"share": True}, "share: found True; expected a name. Type: share='USER/NAME'"),
        ({"out": 1}, "out: found 1; expected a folder. Type: out='guide'"),
    ],
)
def test_arguments_of_the_callback(keywords: dict[str, Any], telling: str) -> None:
    with pytest.raises(nextfill.ConfigError) as refused:
        nextfill.keras.Callback(**{"out": "guide", **keywords})
    assert telling in str(refused.value)


def test_a_tokenizer_that_cannot_be_saved_is_refused_before_a_folder_is_made(
    model: Any, tmp_path: Path
) -> None:
    with pytest.raises(nextfill.ConfigError, match="tokenizer: found 1; expected one of transfo"):
        nextfill.keras.to_transformers(model, tmp_path / "saved", 1)
    assert not [*tmp_path.iterdir()]


def test_blocks_are_no_batches_of_the_callback(blocks: Any) -> None:
    with pytest.raises(nextfill.ConfigError, match="dataset: found a PackedDataset; expected the"):
        nextfill.keras.Callback("guide", dataset=blocks)
    nextfill.keras.Callback("guide", dataset=nextfill.keras.dataset(blocks))


def test_the_evaluation_of_the_callback_is_a_path(tmp_path: Path) -> None:
    held_out = tmp_path / "held-out.txt"
    held_out.write_text("A text that is held out.\n", encoding="utf-8")
    model = nextfill.keras.from_transformers("builtin:base-causal")
    for kind in (str, Path):
        out = tmp_path / kind.__name__
        callback = nextfill.keras.Callback(out, evaluation=kind(held_out))
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_end(0)
        event = json.loads((out / "events.jsonl").read_text(encoding="utf-8"))
        assert event["documents"] == 1
        assert event["perplexity"] > 1


@pytest.mark.parametrize(
    ("num_steps", "telling"),
    [
        ("3", "num_steps: found '3'; expected a whole number, such as num_steps=epochs * len("),
        (7.5, "num_steps: found 7.5; expected a whole number"),
        (True, "num_steps: found True; expected a whole number"),
    ],
)
def test_the_steps_of_the_optimizer(model: Any, num_steps: Any, telling: str) -> None:
    with pytest.raises(nextfill.ConfigError) as refused:
        nextfill.keras.adamw(model, num_steps)
    assert telling in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("learning_rate", "quick"), ("learning_rate", None), ("weight_decay", "x")],
)
def test_what_is_no_number_of_the_optimizer(model: Any, name: str, value: Any) -> None:
    with pytest.raises(nextfill.ConfigError, match=f"{name}: found {value!r}"):
        nextfill.keras.adamw(model, 3, **{name: value})


def test_numbers_of_the_optimizer_as_texts(model: Any) -> None:
    keywords: Any = {"learning_rate": "1e-3", "weight_decay": "0.1", "warmup_steps": "0"}
    optimizer = nextfill.keras.adamw(model, 3, **keywords, max_grad_norm="1")  # type: ignore[arg-type]
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)
    assert (optimizer.weight_decay, optimizer.max_norm) == (0.1, 1.0)


@pytest.mark.parametrize(
    ("keywords", "telling"),
    [
        ({"batch_size": "8"}, "batch_size: found '8'; expected a whole number, such as batch_si"),
        ({"batch_size": 0}, "batch_size: found 0; expected at least 1"),
        ({"seed": "x"}, "seed: found 'x'; expected a whole number, such as seed=0"),
        ({"initial_epoch": -1}, "initial_epoch: found -1; expected at least 0"),
    ],
)
def test_numbers_of_the_batches(blocks: Any, keywords: dict[str, Any], telling: str) -> None:
    with pytest.raises(nextfill.ConfigError) as refused:
        nextfill.keras.dataset(blocks, **keywords)
    assert telling in str(refused.value)


def test_an_optimizer_is_no_pair(model: Any) -> None:
    with pytest.raises(nextfill.ConfigError, match=r"returns the optimizer alone.*Type: optimizer"):
        _optimizer, _schedule = nextfill.keras.adamw(model, 10)
