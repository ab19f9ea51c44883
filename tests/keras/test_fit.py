"""Keras' own fit with the blocks of the house, stopped and brought back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from transformers import BertConfig, GPT2Config

import nextfill
from tests.keras.tiny_models import torch_model
from tests.representative import often

SIZE = {"vocab_size": 6144, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
CONFIGS = {
    "causal": GPT2Config(
        **{"vocab_size": 6144, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 32},
        **{"bos_token_id": 0, "eos_token_id": 0},
    ),
    "masked": BertConfig(**SIZE, intermediate_size=48, max_position_embeddings=32),
}
"""Each with dropout of 0.1."""

TEXTS = [
    f"the {number}th text of many has {number} words or so, and then an end" for number in range(30)
]


TOKENIZER = "builtin:base-causal"


class StoppedError(Exception):
    """The training was ended from outside."""


class StopInEpoch(keras.callbacks.Callback):
    """Ends the training within an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch, self.now = epoch, -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keep the epoch."""
        self.now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """End the training at its second batch."""
        if (self.now, batch) == (self.epoch, 1):
            raise StoppedError


def fit(folder: Path, objective: str, *others: keras.callbacks.Callback) -> Any:
    """Train a model with dropout for three epochs, from the start or from what is backed up."""
    base = f"builtin:base-{objective}"
    blocks = nextfill.packed_dataset(data=TEXTS, block_size=32, model=base, objective=objective)
    train_set = nextfill.keras.dataset(blocks, batch_size=4)
    torch.manual_seed(0)
    model = nextfill.keras.from_transformers(torch_model(CONFIGS[objective]))
    optimizer = nextfill.keras.adamw(model, 3 * len(train_set), learning_rate=1e-3)
    model.compile(optimizer=optimizer, loss=nextfill.keras.loss())
    callbacks = [
        keras.callbacks.BackupAndRestore(str(folder / "backup")),
        nextfill.keras.Callback(folder / "out", dataset=train_set),
        *others,
    ]
    model.fit(train_set, epochs=3, shuffle=False, callbacks=callbacks, verbose=0)
    return model


@pytest.mark.parametrize("objective", often(["causal", "masked"], ["causal"]))
def test_a_training_that_is_brought_back_goes_on_to_the_same_weights(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = fit(tmp_path / "whole", objective)
    with pytest.raises(StoppedError):
        fit(tmp_path / "stopped", objective, StopInEpoch(2))
    assert (tmp_path / "stopped" / "backup").is_dir()
    again = fit(tmp_path / "stopped", objective)
    for one, other in zip(again.trainable_variables, whole.trainable_variables, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)), (
            one.path
        )
    assert "shards" not in capsys.readouterr().err  # transformers' bar


def test_arguments_that_cannot_be_used() -> None:
    model = nextfill.keras.from_transformers(torch_model(CONFIGS["causal"]))
    for call, words in [
        (lambda: nextfill.keras.dataset(["a text"]), "blocks: found a list; expected those of"),
        (lambda: nextfill.keras.adamw(model, 0), "num_steps: found 0; expected at least 1"),
        (lambda: nextfill.keras.adamw(model, 9, schedule="cosin"), "schedule: .*'cosin'"),
        (lambda: nextfill.keras.adamw(model, 9, learning_rate=-1.0), "learning_rate: .*-1.0"),
        (lambda: nextfill.keras.adamw(model, 9, warmup_steps=-1), "warmup_steps: .*-1"),
        (
            lambda: nextfill.keras.to_transformers(keras.Sequential([]), "folder"),
            "found a Sequential; expected a model of nextfill.keras.from_transformers",
        ),
        (
            lambda: nextfill.keras.from_transformers(torch_model(CONFIGS["causal"]).bfloat16()),
            "weights in bfloat16; those of Keras are float32",
        ),
    ]:
        with pytest.raises(nextfill.NextfillError, match=words):
            call()


@pytest.mark.parametrize("objective", often(["causal", "masked"], ["masked"]))
def test_a_model_that_is_compiled_without_a_loss_has_that_of_transformers(objective: str) -> None:
    base = f"builtin:base-{objective}"
    blocks = nextfill.packed_dataset(data=TEXTS, block_size=32, model=base)
    whole = nextfill.keras.dataset(blocks, batch_size=len(blocks))
    model = nextfill.keras.from_transformers(torch_model(CONFIGS[objective]))
    found = []
    for loss in (nextfill.keras.loss(), None):
        model.compile(optimizer=nextfill.keras.adamw(model, 2), loss=loss)
        whole.go_to_epoch(0)
        found.append(model.evaluate(whole, verbose=0))
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    whole.go_to_epoch(0)
    trained = model.fit(whole, verbose=0).history["loss"][0]
    assert trained == pytest.approx(found[0], rel=0.1)  # with dropout
    assert trained > 1


def test_a_folder_of_the_callback_is_a_model(tmp_path: Path, caplog: Any) -> None:
    model = fit(tmp_path, "causal")
    assert isinstance(model, keras.Model)
    found = nextfill.generate(tmp_path / "out", "the", max_new_tokens=2, tokenizer=TOKENIZER)
    assert found[0]["generated_text"].startswith("the")
    callback = nextfill.keras.Callback(tmp_path / "shared", share="me/model")
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert "epoch 1 is not shared" in caplog.text
