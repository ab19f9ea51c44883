"""Documents packed into one row cost what each costs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from nextfill.data.packing.block_plan import BlockPlan, Frame, plan_blocks
from nextfill.data.packing.block_reader import read_blocks
from nextfill.data.store.token_store import TokenStore
from nextfill.models.documents.isolation import Isolation, Kind, probe_isolation
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import Batch, causal
from tests.representative import often

CPU = torch.device("cpu")
EXPECTED: dict[str, Kind] = {
    "gpt2": "positions",
    "llama": "positions",
    "qwen3": "positions",
    "gemma2": "positions",
    "mixtral": "positions",
    "gpt_neox": "positions",
    "opt": "mask",
    "bloom": "pad",
    "mamba": "pad",
    "bart": "pad",
}
PACKED = [kind for kind, isolation in EXPECTED.items() if isolation != "pad"]


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("scale", often([1.0, 10.0], [10.0]))
def test_the_probe_finds_the_means(make_model: Callable[..., Any], kind: str, scale: float) -> None:
    assert probe_isolation(make_model(kind, scale=scale)).kind == EXPECTED[kind]


def test_the_probe_leaves_the_training_mode(make_model: Callable[..., Any]) -> None:
    model = make_model("gpt2").train()
    probe_isolation(model)
    assert model.training


def test_at_least_seven_of_ten_families_pack() -> None:
    assert len(EXPECTED) == 10
    assert len(PACKED) >= 7


@pytest.mark.parametrize("kind", EXPECTED)
def test_two_to_nine_documents_cost_what_they_cost_alone(
    make_model: Callable[..., Any], store: TokenStore, kind: str
) -> None:
    """In one row where the family packs, in rows of their own where not."""
    model = make_model(kind)
    isolation = probe_isolation(model)
    module = StepModule(model, isolation)
    lengths = store.documents["tokens"]
    short = np.flatnonzero((lengths >= 2) & (lengths <= 24))
    for count in range(2, 10):
        chosen = short[count * 8 : count * 8 + count]
        policy = "pad" if isolation.kind == "pad" else "best-fit"
        plan = plan_blocks(store, chosen, policy=policy, block_size=256, frame=Frame((0,), (0,)))
        assert plan.num_blocks == (count if policy == "pad" else 1)
        rows = read_blocks(store, plan, np.arange(plan.num_blocks), pad_id=0, isolate=True)
        batch = causal(rows)
        with torch.no_grad():
            together = module(*to_tensors(batch, CPU)).double()
            alone = [nats.double() for nats in nats_alone(model, batch)]
        losses = torch.stack([nats.mean() for nats in together.split([len(n) for n in alone])])
        losses_alone = torch.stack([nats.mean() for nats in alone])
        assert float(((losses - losses_alone) / losses_alone).abs().max()) < 1e-5


@pytest.fixture(scope="module")
def plan(store: TokenStore) -> BlockPlan:
    chosen = np.arange(0, store.num_documents, 2)
    return plan_blocks(store, chosen, policy="best-fit", block_size=96, frame=Frame((0,), (0,)))


def packed_batch(store: TokenStore, plan: BlockPlan) -> Batch:
    """Return the rows with most segments, and some that continue a document."""
    segments = np.diff(plan.block_ptr)
    continued = np.unique(np.searchsorted(plan.block_ptr, np.flatnonzero(plan.start), "right") - 1)
    numbers = np.concatenate([np.argsort(-segments, kind="stable")[:10], continued[-10:]])
    assert segments[numbers].max() > 4
    assert len(continued) > 4
    return causal(read_blocks(store, plan, numbers, pad_id=0, isolate=True))


def nats_alone(model: torch.nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
    """Score each segment in a row of its own; one that goes on begins without context."""
    for ids, labels, documents in zip(
        batch.input_ids, batch.labels, batch.document_ids, strict=True
    ):
        for number in range(documents.max() + 1):
            here = documents == number
            alone = torch.from_numpy(ids[here])[None]
            targets = torch.from_numpy(labels[here])
            logits = model(input_ids=alone, use_cache=False).logits[0]
            nats = functional.cross_entropy(logits, targets, ignore_index=-100, reduction="none")
            yield nats[targets != -100]


@pytest.mark.parametrize("kind", PACKED)
def test_packed_nats_equal_nats_alone(
    make_model: Callable[..., Any], store: TokenStore, plan: BlockPlan, kind: str
) -> None:
    model = make_model(kind)
    batch = packed_batch(store, plan)
    with torch.no_grad():
        together = StepModule(model, probe_isolation(model))(*to_tensors(batch, CPU))
        alone = torch.cat(list(nats_alone(model, batch)))
    assert together.shape == alone.shape == (batch.num_targets,)
    assert difference(together, alone) < 1e-5


@pytest.mark.parametrize("kind", PACKED)
def test_a_leak_is_seen(
    make_model: Callable[..., Any], store: TokenStore, plan: BlockPlan, kind: str
) -> None:
    model = make_model(kind)
    batch = packed_batch(store, plan)
    with torch.no_grad():
        together = StepModule(model, Isolation("none"))(*to_tensors(batch, CPU))
        alone = torch.cat(list(nats_alone(model, batch)))
    assert difference(together, alone) > 0.1


def difference(some: torch.Tensor, others: torch.Tensor) -> float:
    largest = float((some - others).abs().max() / others.abs().max())
    print(f"largest difference relative to the largest target: {largest:.2e}")
    return largest
