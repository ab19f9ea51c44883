"""A Keras model is scored, continued and filled in as transformers does it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
import torch
from transformers import TopKLogitsWarper, TopPLogitsWarper, pipeline

import nextfill
from nextfill.config import ModelConfig
from nextfill.keras_engine.transformers_models import as_keras
from nextfill.models.load import load_model

PROMPT = "Returns a new tensor"


@pytest.fixture(scope="module")
def causal() -> tuple[Any, Any, Any]:
    """The bundled causal model, as it is and in Keras, and its tokenizer."""
    loaded = load_model(ModelConfig(name="builtin:base-causal"))
    return loaded.model, as_keras(loaded.model), loaded.tokenizer


@pytest.fixture(scope="module")
def masked() -> tuple[Any, Any, Any]:
    """A RoBERTa of random weights, as it is and in Keras, and a tokenizer with a mask."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = ModelConfig(
        name="scratch:roberta",
        tokenizer="builtin:base-masked",
        config={**shape, "intermediate_size": 48, "max_position_embeddings": 70},
    )
    loaded = load_model(config, "masked")
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return loaded.model, as_keras(loaded.model), loaded.tokenizer


def test_greedy_generation_is_that_of_transformers(causal: Any) -> None:
    model, ours, tokenizer = causal
    prompts = [PROMPT, "The gradient of", "If True,"]
    found = nextfill.generate(
        ours, prompts, tokenizer=tokenizer, greedy=True, max_new_tokens=40, precision="fp32"
    )
    for prompt, texts in zip(prompts, found, strict=True):
        ids = tokenizer(prompt, return_tensors="pt")
        made = model.generate(**ids, max_new_tokens=40, do_sample=False)
        assert texts[0]["generated_text"] == tokenizer.decode(made[0], skip_special_tokens=True)


def distance_of_next_token(causal: Any, draws: int, top_k: int, top_p: float) -> float:
    """Return the total variation between tokens that were drawn and transformers' distribution."""
    model, ours, tokenizer = causal
    found = nextfill.generate(
        ours,
        PROMPT,
        tokenizer=tokenizer,
        num_samples=draws,
        max_new_tokens=1,
        top_k=top_k,
        top_p=top_p,
        seed=0,
        precision="fp32",
    )
    counts = Counter(one["generated_text"] for one in found)
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        scores = model(ids).logits[:, -1]
    for warp in (TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
        scores = warp(ids, scores)
    expected: Counter[str] = Counter()
    for token, share in enumerate(scores[0].double().softmax(-1).tolist()):
        if share:
            expected[tokenizer.decode([*ids[0].tolist(), token], skip_special_tokens=True)] += share
    assert expected.total() == pytest.approx(1)
    names = counts.keys() | expected.keys()
    return 0.5 * sum(abs(counts[name] / draws - expected[name]) for name in names)


def test_the_next_token_has_the_distribution_of_transformers(causal: Any) -> None:
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    config = ModelConfig(name="scratch:gpt2", tokenizer="builtin:base-causal", config=shape)
    loaded = load_model(config)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(20)  # so that some tokens are likelier than others
    small = loaded.model, as_keras(loaded.model), loaded.tokenizer
    assert distance_of_next_token(small, 3000, top_k=4, top_p=0.9) < 0.02


@pytest.mark.trial
def test_the_next_token_of_the_guide_has_the_distribution_of_transformers(causal: Any) -> None:
    assert distance_of_next_token(causal, 20_000, top_k=50, top_p=0.95) < 0.02


def test_blanks_are_filled_as_by_transformers(masked: Any) -> None:
    model, ours, tokenizer = masked
    text = f"Returns a new {tokenizer.mask_token} with the same shape."
    found = nextfill.fill(ours, text, tokenizer=tokenizer, top_k=5, precision="fp32")
    expected = pipeline("fill-mask", model=model, tokenizer=tokenizer)(text, top_k=5)
    assert [one["token"] for one in found] == [one["token"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_it_is_evaluated_as_a_model_of_transformers(kind: str, request: Any) -> None:
    model, ours, tokenizer = request.getfixturevalue(kind)
    job = {"data": "builtin:torch-docs", "split": "test[:8]", "block_size": 64}
    found, expected = (
        nextfill.evaluate(one, tokenizer=tokenizer, precision="fp32", **job)
        for one in (ours, model)
    )
    assert found.targets == expected.targets
    assert found.nats == pytest.approx(expected.nats, rel=1e-6)


def test_names_lead_to_models(tmp_path: Any) -> None:
    model = nextfill.keras.from_transformers("builtin:base-causal")
    assert model.name == "llama"
    loaded = load_model(ModelConfig(name="builtin:base-causal"))
    folder = nextfill.keras.to_transformers(model, tmp_path / "saved", loaded.tokenizer)
    again = nextfill.keras.from_transformers(folder)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(nextfill.NextfillError, match="is there already"):
        nextfill.keras.to_transformers(model, folder)
    assert keras.backend.backend() in ("tensorflow", "jax", "torch")


def test_the_function_that_makes_the_loss_is_no_loss(causal: Any) -> None:
    model = causal[1]
    model.compile(loss=nextfill.keras.loss)
    blocks = nextfill.packed_dataset(
        data=["one text", "another"] * 9, block_size=16, model="builtin:base-causal"
    )
    with pytest.raises(nextfill.ConfigError, match=r"compile\(loss=nextfill.keras.loss\(\)\)"):
        model.evaluate(nextfill.keras.dataset(blocks), verbose=0)


def test_another_use_of_a_keras_model_is_named_without_a_tokenizer() -> None:
    model = nextfill.keras.from_transformers("builtin:base-causal")
    with pytest.raises(nextfill.ModelError) as raised:
        nextfill.fill(model, "Salt ___")
    assert str(raised.value).startswith("This Keras model is a causal language model")
    assert str(raised.value).endswith("nextfill.generate(model, 'a text to continue')")
    assert nextfill.generate(model, "a text to continue", max_new_tokens=2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow alone traces")
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_tensorflow_traces_a_model_once_for_all_shapes(causal: Any, run_eagerly: bool) -> None:
    _, model, tokenizer = causal
    model.compile(run_eagerly=run_eagerly)
    job = {"data": ["a text", "one of several more words than that"] * 3, "precision": "fp32"}
    short = nextfill.evaluate(model, tokenizer=tokenizer, block_size=32, **job)
    long = nextfill.evaluate(model, tokenizer=tokenizer, block_size=64, **job)
    assert short.nats == pytest.approx(long.nats, rel=1e-5)
    if not run_eagerly:
        assert model.predict_function.experimental_get_tracing_count() == 1
