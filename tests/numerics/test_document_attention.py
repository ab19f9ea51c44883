"""Attention document by document gives each the logits and gradients that it has alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from nextfill.models.documents.document_attention import NAME, takes_document_attention
from nextfill.models.documents.isolation import Isolation, probe_isolation
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import Batch

CPU = torch.device("cpu")
LENGTHS = ((9, 30, 2), (17, 11), (40,))
WIDTH = 44


def batch_of(*, causal: bool) -> Batch:
    """Return rows of several documents, each with padding behind."""
    generator = np.random.default_rng(0)
    shape = len(LENGTHS), WIDTH
    ids = generator.integers(5, 300, shape)
    documents, positions = np.full(shape, -1), np.zeros(shape, np.int64)
    labels = np.full(shape, -100)
    for row, lengths in enumerate(LENGTHS):
        start = 0
        for number, length in enumerate(lengths):
            here = slice(start, start + length)
            documents[row, here], positions[row, here] = number, np.arange(length)
            if causal:
                labels[row, start : start + length - 1] = ids[row, start + 1 : start + length]
            else:
                labels[row, here][::3] = 7
            start += length
    return Batch(ids, labels, positions, documents)


def nats_alone(model: Any, batch: Batch, *, causal: bool) -> torch.Tensor:
    found = []
    for ids, labels, documents in zip(
        batch.input_ids, batch.labels, batch.document_ids, strict=True
    ):
        for number in range(documents.max() + 1):
            here = documents == number
            inputs = {"input_ids": torch.from_numpy(ids[here])[None]}
            logits = model(**inputs, **({"use_cache": False} if causal else {})).logits[0]
            targets = torch.from_numpy(labels[here])
            has_one = targets != -100
            nats = functional.cross_entropy(logits[has_one], targets[has_one], reduction="none")
            found.append(nats)
    return torch.cat(found)


def gradients_of(model: Any, nats: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    nats.mean().backward()
    named = model.named_parameters()
    return {name: one.grad.clone() for name, one in named if one.grad is not None}


def check(model: Any, objective: Any, *, checkpointing: bool = False) -> None:
    isolation = probe_isolation(model, objective, longest=WIDTH, by_documents=True)
    assert isolation.kind == "documents"
    causal, before = objective == "causal", model.config._attn_implementation
    batch, module = batch_of(causal=causal), StepModule(model, isolation)
    alone = nats_alone(model, batch, causal=causal)
    expected = gradients_of(model, alone)
    if checkpointing:
        model.activation_checkpointing_enable()
        model.train()
    with module.in_training():
        nats = module(*to_tensors(batch, CPU), host=batch)
        found = gradients_of(model, nats)
    assert model.config._attn_implementation == before != NAME
    assert (nats - alone).abs().max() < 1e-5 * alone.abs().max()
    size = torch.stack([one.norm() for one in expected.values()]).norm()
    for name, one in expected.items():
        assert (found[name] - one).norm() < 1e-5 * size, name


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3", "gpt_neox", "opt", "mixtral"])
def test_causal_documents_are_as_alone(make_model: Callable[..., Any], kind: str) -> None:
    check(make_model(kind), "causal")


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
def test_masked_documents_are_as_alone(make_masked: Callable[..., Any], kind: str) -> None:
    check(make_masked(kind), "masked")


def test_the_pass_back_of_checkpointing_is_by_documents(make_model: Callable[..., Any]) -> None:
    check(make_model("llama"), "causal", checkpointing=True)


@pytest.mark.parametrize("window", [4, 16])
def test_a_window_is_right(make_model: Callable[..., Any], window: int) -> None:
    check(make_model("mixtral", sliding_window=window), "causal")


def test_what_cannot_be_tried_or_is_not_there_is_left_to_others(
    make_model: Callable[..., Any],
) -> None:
    def found(kind: str, **settings: Any) -> str:
        model = make_model(kind, **settings)
        return probe_isolation(model, longest=2048, by_documents=True).kind

    assert found("gemma2") == "positions"  # caps its products
    assert found("mixtral", sliding_window=1024) == "positions"  # too long to be tried
    assert found("llama", attention_dropout=0.1, dropout=0.0) == "positions"  # none in the kernel
    assert found("bloom") == "pad"  # has an attention of its own
    assert not takes_document_attention(make_model("mamba"))
    assert probe_isolation(make_model("llama")).kind == "positions"


def test_a_model_without_the_bounds_is_refused(make_model: Callable[..., Any]) -> None:
    model = make_model("llama")
    ids = torch.arange(5, 12)[None]
    with Isolation("documents").attention(model), pytest.raises(ValueError, match="by documents"):
        model(input_ids=ids, use_cache=False)
