"""Models in Keras have the logits of transformers', and their weights, to the byte."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    RobertaConfig,
)

from nextfill.core.errors import ModelError
from nextfill.keras_engine.adamw import make_optimizer
from nextfill.keras_engine.language_model import build_model
from nextfill.keras_engine.transformers_models import as_keras, as_transformers, computed_by
from nextfill.keras_engine.weight_conversion import parameters, save_weights
from nextfill.training.optimizer import decayed_names
from tests.keras.tiny_models import CONFIGS, VOCABULARY, torch_model

LIMIT = 1e-5


def keras_logits(model: Any, *rows: tuple[list[int], list[int], list[int]]) -> Any:
    names = ("input_ids", "position_ids", "document_ids")
    parts = (np.array([row[at] for row in rows], np.int32) for at in range(3))
    return keras.ops.convert_to_numpy(model(dict(zip(names, parts, strict=True))))


def torch_logits(model: Any, ids: list[int]) -> Any:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def tokens(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(5, VOCABULARY, count).tolist()


def test_logits_of_a_text(model: Any) -> None:
    ids = tokens(23)
    found = keras_logits(as_keras(model), (ids, list(range(23)), [0] * 23))[0]
    expected = torch_logits(model, ids)
    assert np.abs(expected).max() > 0.5
    assert np.abs(found - expected).max() < LIMIT


def test_documents_packed_into_a_row_do_not_see_one_another_nor_padding(model: Any) -> None:
    first, second = tokens(6), tokens(9, seed=1)
    places = [*range(6), *range(9), 0, 0, 0]
    documents = [0] * 6 + [1] * 9 + [-1] * 3
    found = keras_logits(as_keras(model), ([*first, *second, 1, 1, 1], places, documents))[0]
    assert np.abs(found[:6] - torch_logits(model, first)).max() < LIMIT
    assert np.abs(found[6:15] - torch_logits(model, second)).max() < LIMIT
    assert np.isfinite(found).all()


def test_there_and_back_again_is_equal_to_the_byte(model: Any) -> None:
    back = as_transformers(as_keras(model)).state_dict()
    assert back.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(back[name], tensor), name


def test_it_stands_in_for_a_model_of_transformers(model: Any) -> None:
    stand_in = computed_by(as_keras(model))
    assert type(stand_in) is type(model)
    ids = torch.tensor([tokens(7), tokens(7, seed=1)])
    with torch.no_grad():
        expected = model(ids).logits
        assert torch.allclose(stand_in(ids).logits, expected, atol=LIMIT)
        mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
        padded = model(ids, attention_mask=mask).logits
        found = stand_in(ids, attention_mask=mask).logits
    assert torch.allclose(found[0], padded[0], atol=LIMIT)
    assert torch.allclose(found[1, :5], padded[1, :5], atol=LIMIT)


def test_bfloat16_computes_in_it_and_keeps_float32_weights() -> None:
    model = torch_model(CONFIGS["gpt2"])
    found = as_keras(model, "bf16")
    assert {str(variable.dtype) for variable in found.trainable_variables} == {"float32"}
    assert found.layers[-2].compute_dtype in ("bfloat16", "float32")
    ids = tokens(12)
    logits = keras_logits(found, (ids, list(range(12)), [0] * 12))[0]
    difference = np.abs(logits - torch_logits(model, ids)).max()
    assert LIMIT < difference < 0.1
    assert logits.dtype == np.float32
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (MistralConfig(), "the type mistral; there are gpt2, bert"),
        (GPT2Config(activation_function="tanh"), "activation_function is 'tanh'"),
        (BertConfig(hidden_act="mish"), "hidden_act is 'mish'"),
        (BertConfig(is_decoder=True), "is_decoder is set"),
        (GPT2Config(add_cross_attention=True), "add_cross_attention is set"),
        (RobertaConfig(tie_word_embeddings=False), "tie_word_embeddings is false"),
        (
            Qwen2Config(use_sliding_window=True, max_window_layers=0, sliding_window=8),
            "look at a window only",
        ),
        (
            LlamaConfig(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
            "rope_type is 'dynamic'",
        ),
        (
            LlamaConfig(
                rope_parameters={
                    **{"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
                    "partial_rotary_factor": 0.5,
                }
            ),
            "partial_rotary_factor is 0.5",
        ),
        (RobertaConfig(pad_token_id=None), "pad_token_id is not given"),
    ],
)
def test_a_configuration_that_cannot_be_held_is_refused(config: Any, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        build_model(config)


def test_weights_of_another_model_are_refused() -> None:
    found = build_model(CONFIGS["gpt2"])
    with pytest.raises(ModelError, match="are not the same"):
        save_weights(found, torch_model(CONFIGS["llama"]))


def test_it_can_be_saved_by_keras(model: Any, tmp_path: Any) -> None:
    ours = as_keras(model)
    ours.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    row = (tokens(9), list(range(9)), [0] * 9)
    assert np.array_equal(keras_logits(ours, row), keras_logits(again, row))


def test_what_decays_is_what_decays_in_pytorch(model: Any) -> None:
    ours = as_keras(model)
    optimizer = make_optimizer(ours, [0.1], weight_decay=0.5)
    gradients = [np.zeros(one.shape, np.float32) for one in ours.trainable_variables]
    before = {one.path: keras.ops.convert_to_numpy(one) for one in ours.trainable_variables}
    optimizer.apply([keras.ops.convert_to_tensor(one) for one in gradients])
    decayed = decayed_names(model)
    for variable, name, _ in parameters(ours, model):
        shrunk = np.allclose(keras.ops.convert_to_numpy(variable), 0.95 * before[variable.path])
        assert shrunk == (name in decayed), name
