"""Gathering the target rows before the head changes the time and not the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.data.packing.block_plan import Frame, plan_blocks
from nextfill.data.packing.block_reader import read_blocks
from nextfill.data.store.token_store import TokenStore
from nextfill.models.documents.isolation import Isolation
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import Batch, causal


@pytest.fixture(scope="module")
def batch(store: TokenStore) -> Batch:
    plan = plan_blocks(store, np.arange(60), policy="pad", block_size=64, frame=Frame((0,), (0,)))
    return causal(read_blocks(store, plan, np.arange(12), pad_id=0, isolate=True))


def gradients(model: nn.Module, nats: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    nats.sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_gathered_rows_equal_the_full_head(
    make_model: Callable[..., Any], batch: Batch, family: str
) -> None:
    model = make_model(family)
    module = StepModule(model, Isolation("none"))
    assert module.gathers
    inputs = to_tensors(batch, torch.device("cpu"))
    gathered = module(*inputs)
    ours = gradients(model, gathered)

    logits = model(input_ids=inputs[0], use_cache=False).logits
    assert logits.shape[:2] == inputs[0].shape  # the hook is gone
    labels = inputs[1].flatten()
    full = functional.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
    full = full[labels != -100]
    theirs = gradients(model, full)

    assert gathered.shape == (batch.num_targets,) == full.shape
    assert batch.num_targets < labels.numel()
    torch.testing.assert_close(gathered, full, rtol=1e-6, atol=1e-6 * full.max().item())
    assert ours.keys() == theirs.keys()
    worst = max(relative(ours[name], theirs[name]) for name in ours)
    print(f"{family}: largest difference of a gradient {worst:.2e}")
    assert worst < 1e-6


def relative(some: Tensor, others: Tensor) -> float:
    return float((some - others).norm() / others.norm().clamp(min=1e-30))


class CumulativeHead(nn.Linear):
    """A head whose rows are not independent: each adds up those before it."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.cumsum(dim=-2))


def test_a_head_that_mixes_rows_is_left_whole(make_model: Callable[..., Any], batch: Batch) -> None:
    model = make_model("llama")
    head = CumulativeHead(32, model.config.vocab_size, bias=False)
    head.weight = model.lm_head.weight
    model.lm_head = head
    module = StepModule(model, Isolation("none"))
    assert not module.gathers

    inputs = to_tensors(batch, torch.device("cpu"))
    logits = model(input_ids=inputs[0], use_cache=False).logits
    labels = inputs[1].flatten()
    full = functional.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
    torch.testing.assert_close(module(*inputs), full[labels != -100], rtol=1e-6, atol=1e-6)


def test_a_model_without_a_base_is_left_whole(make_model: Callable[..., Any]) -> None:
    class Bare(nn.Module):
        """A model that only answers with logits."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = make_model("gpt2")

        def get_input_embeddings(self) -> nn.Module:
            return self.inner.get_input_embeddings()

        def forward(self, **inputs: Any) -> Any:
            return self.inner(**inputs)

    module = StepModule(Bare(), Isolation("none"))
    assert not module.gathers
    ids = torch.arange(10).reshape(2, 5)
    nats = module(ids, ids, ids, torch.zeros_like(ids))
    assert nats.shape == (10,)


def test_the_probe_keeps_modes_and_leaves_no_gradients(make_model: Callable[..., Any]) -> None:
    model = make_model("gpt2").train()
    StepModule(model, Isolation("none"))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
