"""A Keras model in the hands of Keras: saved and loaded, frozen, mixed, copied, fitted in parts."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers import GenerationConfig, LlamaConfig

import nextfill
from tests.keras.test_fit import CONFIGS as FITTED
from tests.keras.test_fit import TEXTS
from tests.keras.test_models import keras_logits, tokens
from tests.keras.tiny_models import CONFIGS, torch_model

ROW = (tokens(9), list(range(9)), [0] * 9)


def blocks_of(objective: str = "causal") -> Any:
    return nextfill.packed_dataset(data=TEXTS, block_size=32, model=f"builtin:base-{objective}")


def compiled(config: Any = FITTED["causal"], **keywords: Any) -> Any:
    model = nextfill.keras.from_transformers(torch_model(config))
    optimizer = nextfill.keras.adamw(model, 20, learning_rate=1e-3, weight_decay=0.5)
    model.compile(optimizer=optimizer, **keywords)
    return model


def values(model: Any) -> dict[str, Any]:
    return {one.path: ops.convert_to_numpy(one) for one in model.trainable_variables}


def test_a_model_that_keras_saved_in_training_goes_on_as_it_would_have(tmp_path: Path) -> None:
    train_set = nextfill.keras.dataset(blocks_of(), batch_size=4)
    model = compiled(loss=nextfill.keras.loss())
    model.fit(train_set, epochs=1, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, again):
        zeros = [ops.zeros(variable.shape) for variable in one.trainable_variables]
        one.optimizer.apply(zeros, one.trainable_variables)
    found, expected = values(again), values(model)
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, err_msg=path)


def test_layers_that_are_frozen_after_the_optimizer_was_made() -> None:
    model = compiled()
    model.get_layer("transformer-wte").trainable = False
    model.compile(optimizer=model.optimizer)
    before = ops.convert_to_numpy(model.get_layer("transformer-wte").embeddings)
    others = values(model)
    train_set = nextfill.keras.dataset(blocks_of(), batch_size=4)
    if keras.backend.backend() == "jax":
        with pytest.raises(nextfill.ConfigError, match="layers were frozen after the optimizer"):
            model.fit(train_set, shuffle=False, verbose=0)
        model.compile(optimizer=nextfill.keras.adamw(model, 20, learning_rate=1e-3))
    model.fit(train_set, shuffle=False, verbose=0)
    after = ops.convert_to_numpy(model.get_layer("transformer-wte").embeddings)
    np.testing.assert_array_equal(after, before)
    assert any((others[path] != value).any() for path, value in values(model).items())


def test_parameters_that_a_live_model_has_frozen_stay_so() -> None:
    live = torch_model(FITTED["causal"])
    live.get_submodule("transformer.wpe").requires_grad_(False)
    model = nextfill.keras.from_transformers(live)
    assert "transformer-wpe/embeddings" not in values(model)
    model.compile(optimizer=nextfill.keras.adamw(model, 20, learning_rate=1e-3))
    model.fit(nextfill.keras.dataset(blocks_of(), batch_size=4), shuffle=False, verbose=0)
    found = ops.convert_to_numpy(model.get_layer("transformer-wpe").embeddings)
    np.testing.assert_array_equal(found, live.get_submodule("transformer.wpe").weight.detach())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_policy_of_keras_holds(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled()
        assert model.get_layer("transformer-h-0-mlp-c_fc").compute_dtype == policy[6:]
        assert {str(one.dtype) for one in model.trainable_variables} == {"float32"}
        history = model.fit(
            nextfill.keras.dataset(blocks_of(), batch_size=4), epochs=4, shuffle=False, verbose=0
        )
    finally:
        keras.config.set_dtype_policy("float32")
    losses = history.history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.1


def test_a_policy_with_weights_in_16_bits_is_refused() -> None:
    keras.config.set_dtype_policy("bfloat16")
    try:
        with pytest.raises(nextfill.ConfigError, match="found 'bfloat16'; expected one with float"):
            nextfill.keras.from_transformers(torch_model(CONFIGS["gpt2"]))
    finally:
        keras.config.set_dtype_policy("float32")


def test_an_evaluation_of_the_blocks_that_are_trained_on_keeps_its_masks() -> None:
    blocks = blocks_of("masked")
    still = nextfill.keras.dataset(blocks, batch_size=4, shuffle=False)
    first = still[0][0]["input_ids"]
    train_set = nextfill.keras.dataset(blocks, batch_size=4)
    train_set.go_to_epoch(3)
    still.on_epoch_end()
    np.testing.assert_array_equal(still[0][0]["input_ids"], first)
    masks = train_set[0][0]["input_ids"]
    nextfill.keras.dataset(blocks, batch_size=4, seed=5).go_to_epoch(1)
    np.testing.assert_array_equal(train_set[0][0]["input_ids"], masks)


def test_blocks_whose_documents_see_one_another() -> None:
    texts = ["one two three", "four five six"] * 4
    for isolate, number in ((True, 2), (False, 1)):
        blocks = nextfill.packed_dataset(
            data=texts, block_size=32, model="builtin:base-causal", isolate=isolate
        )
        documents = nextfill.keras.dataset(blocks, batch_size=1)[0][0]["document_ids"]
        assert (len({*documents[0].tolist()} - {-1}) >= 2) == (number == 2)


def test_workers_keep_the_order() -> None:
    class Seen(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.losses: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.losses.append(float(logs["loss"]))

    losses = []
    config = deepcopy(FITTED["causal"])
    config.attn_pdrop = config.embd_pdrop = config.resid_pdrop = 0.0
    for workers in (1, 3):
        torch.manual_seed(0)
        train_set = nextfill.keras.dataset(blocks_of(), batch_size=2)
        train_set.workers = workers
        seen = Seen()
        compiled(config).fit(train_set, epochs=2, shuffle=False, verbose=0, callbacks=[seen])
        losses.append(seen.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "modernbert", "llama, yarn"])
def test_copies_compute_the_same(name: str) -> None:
    model = nextfill.keras.from_transformers(torch_model(CONFIGS[name]))
    expected = keras_logits(model, ROW)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(keras_logits(copy, ROW), expected)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(keras_logits(again, ROW), expected)
    assert again.config.model_type == model.config.model_type
    with pytest.raises(nextfill.ModelError, match=r"LanguageModel\.from_config\(model\.get_con"):
        nextfill.generate(copy, "a text", tokenizer="builtin:base-causal")


def test_how_a_model_generates_comes_back(tmp_path: Path) -> None:
    live = torch_model(LlamaConfig(**CONFIGS["qwen2"].to_diff_dict() | {"model_type": "llama"}))
    live.generation_config = GenerationConfig(eos_token_id=[3, 5], temperature=0.6, do_sample=True)
    model = nextfill.keras.from_transformers(live)
    assert model.stand_in().generation_config.eos_token_id == [3, 5]
    folder = nextfill.keras.to_transformers(model, tmp_path / "model")
    found = GenerationConfig.from_pretrained(folder)
    assert (found.eos_token_id, found.temperature, found.do_sample) == ([3, 5], 0.6, True)
