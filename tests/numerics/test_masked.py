"""Masked models give the numbers that transformers' own classes give, packed or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nextfill.config import MaskingConfig
from nextfill.data.packing.block_plan import Policy, plan_blocks
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.data.special_tokens import training_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.models.architecture import max_positions
from nextfill.models.documents.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.objective import default_objective
from nextfill.models.step import StepModule, row_problem, to_tensors
from nextfill.models.tokenizer import masking_of
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches

CPU = torch.device("cpu")
ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
}
PADS = ("deberta-v2", "fnet")
"""What folds a mask into two dimensions, and what takes none."""

MakeBatches = Callable[..., TrainingBatches]


@pytest.fixture
def batches(masked_store: TokenStore, bpe_masked: Any) -> MakeBatches:
    """Return a function that plans blocks of the documentation for a masked model."""

    def make(documents: Any, policy: Policy, size: int = 64) -> TrainingBatches:
        frame = training_frame(bpe_masked, end_of_document=True, objective="masked")
        assert (frame.prefix, frame.suffix, frame.each_piece) == ((0,), (2,), True)
        plan = plan_blocks(masked_store, documents, policy=policy, block_size=size, frame=frame)
        masking = masking_of(bpe_masked, MaskingConfig(rate=0.5), "a model")
        return TrainingBatches(masked_store, plan, pad_id=1, isolate=True, masking=masking)

    return make


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_probe_finds_the_means(
    make_masked: Callable[..., Any], masked_family: str, scale: float
) -> None:
    model = make_masked(masked_family, scale=scale).train()
    assert default_objective(model.config) == "masked"
    isolation = probe_isolation(model, "masked")
    assert isolation.kind == ("pad" if masked_family in PADS else "mask")
    assert isolation.heeds_padding == (masked_family != "fnet")
    assert StepModule(model, isolation).gathers
    assert model.training
    assert max_positions(model) == (254 if masked_family in BEHIND_PADDING else 256)


BEHIND_PADDING = ("roberta", "xlm-roberta", "mpnet")
"""What counts its positions from behind the pad token's."""


def test_two_to_nine_documents_cost_what_they_cost_alone(
    make_masked: Callable[..., Any],
    masked_store: TokenStore,
    batches: MakeBatches,
    masked_family: str,
) -> None:
    """In one row where the family packs, in rows of their own where not."""
    model = make_masked(masked_family)
    isolation = probe_isolation(model, "masked")
    lengths = masked_store.documents["tokens"]
    short = np.flatnonzero((lengths >= 6) & (lengths <= 24))
    assert len(short) >= 40
    for count in range(2, 10):
        chosen = short[count * 3 : count * 3 + count]
        policy = "pad" if isolation.kind == "pad" else "best-fit"
        making = batches(chosen, policy, 240)
        assert making.plan.num_blocks == (count if policy == "pad" else 1)
        batch = making(np.arange(making.plan.num_blocks))
        with torch.no_grad():
            together = StepModule(model, isolation)(*to_tensors(batch, CPU))
            alone = list(nats_alone(model, batch))
        found = together.split([len(nats) for nats in alone])
        losses = [(some.mean(), one.mean()) for some, one in zip(found, alone, strict=True)]
        assert all(abs(a / b - 1) < 1e-5 for a, b in losses if b == b)
        assert len(alone) == count
        assert sum(len(nats) > 0 for nats in alone) >= count - 1  # by chance nothing is masked


def nats_alone(model: nn.Module, batch: Batch) -> Iterator[Tensor]:
    """Score each document of each row in a plain call of its own."""
    for ids, labels, documents in zip(
        batch.input_ids, batch.labels, batch.document_ids, strict=True
    ):
        for number in range(documents.max() + 1):
            here = documents == number
            logits = model(input_ids=torch.from_numpy(ids[here])[None]).logits[0]
            targets = torch.from_numpy(labels[here])
            nats = functional.cross_entropy(logits, targets, reduction="none")
            yield nats[targets != NO_TARGET]


def test_packed_rows_equal_documents_alone(
    make_masked: Callable[..., Any],
    masked_store: TokenStore,
    batches: MakeBatches,
    masked_family: str,
) -> None:
    """Rows of many pieces, some of them cut from long documents, some rows not full."""
    model = make_masked(masked_family)
    isolation = probe_isolation(model, "masked")
    policy = "pad" if isolation.kind == "pad" else "best-fit"
    making = batches(np.arange(0, masked_store.num_documents, 3), policy, 96)
    segments = np.diff(making.plan.block_ptr)
    most = np.argsort(-segments, kind="stable")[:8]
    batch = making(np.concatenate([most, np.arange(8)]))
    assert (batch.document_ids < 0).any()
    with torch.no_grad():
        together = StepModule(model, isolation)(*to_tensors(batch, CPU))
        alone = torch.cat(list(nats_alone(model, batch)))
    assert difference(together, alone) < 1e-5


def test_a_leak_is_seen(
    make_masked: Callable[..., Any],
    masked_store: TokenStore,
    batches: MakeBatches,
    masked_family: str,
) -> None:
    """Between documents, and in FNet from the padding."""
    model = make_masked(masked_family)
    making = batches(np.arange(0, masked_store.num_documents, 3), "best-fit", 96)
    batch = making(np.arange(making.plan.num_blocks - 6, making.plan.num_blocks))
    with torch.no_grad():
        together = StepModule(model, Isolation("none", "masked"))(*to_tensors(batch, CPU))
        alone = torch.cat(list(nats_alone(model, batch)))
    assert difference(together, alone) > 0.01


def difference(some: Tensor, others: Tensor) -> float:
    assert some.shape == others.shape
    largest = float((some - others).abs().max() / others.abs().max())
    print(f"largest difference {largest:.2e}")
    return largest


def test_loss_and_gradients_equal_the_models_own(
    make_masked: Callable[..., Any],
    masked_store: TokenStore,
    batches: MakeBatches,
    masked_family: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the same masks, against the class itself with labels: the head sees every position."""
    model = make_masked(masked_family, scale=3.0)
    lengths = masked_store.documents["tokens"]
    making = batches(np.flatnonzero(lengths >= 30), "pad")
    numbers = np.arange(12)
    if masked_family == "fnet":  # it knows no padding
        numbers = np.flatnonzero(making.plan.length == 64)[:8]
    batch = making(numbers)
    inputs = to_tensors(batch, CPU)
    module = StepModule(model, padding_isolation(model, "masked"))
    assert module.gathers
    model.zero_grad()
    nats = module(*inputs)
    loss = nats.sum() / batch.num_targets
    loss.backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    model.zero_grad()
    seen = {} if masked_family == "fnet" else {"attention_mask": (inputs[3] >= 0).long()}
    theirs = model(input_ids=inputs[0], labels=inputs[1], **seen)
    theirs.loss.backward()
    worst = max(
        float((ours[n] - p.grad).norm() / p.grad.norm().clamp(min=1e-12))
        for n, p in model.named_parameters()
        if p.grad is not None
    )
    apart = abs(loss.item() / theirs.loss.item() - 1)
    with capsys.disabled():
        print(f"\n{masked_family}: loss {apart:.1e}, worst gradient {worst:.1e}", end="")
    assert theirs.logits.shape[:2] == inputs[0].shape
    assert 0.4 < batch.num_targets / (batch.num_tokens - 2 * len(numbers)) < 0.6
    assert {n for n, p in model.named_parameters() if p.grad is not None} == set(ours)
    assert apart < 1e-6
    assert worst < 1e-6


def test_local_layers_never_get_the_mask_of_the_others(make_masked: Callable[..., Any]) -> None:
    """Not by small weights, which hide the difference, nor by a window beyond the probe's texts."""
    for settings in ({"scale": 0.05}, {"local_attention": 1200}):
        isolation = probe_isolation(make_masked("modernbert", **settings), "masked")
        assert [kind for kind, _ in isolation.windows] == ["full_attention", "sliding_attention"]


@pytest.mark.parametrize("pad", [0, 1, 7])
def test_positions_behind_the_padding_whatever_its_id(
    make_masked: Callable[..., Any], pad: int
) -> None:
    model = make_masked("roberta", pad_token_id=pad)
    isolation = probe_isolation(model, "masked")
    assert (isolation.kind, isolation.first_position) == ("mask", pad + 1)
    assert max_positions(model) == 256 - pad - 1


ODD: dict[str, dict[str, Any]] = {
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 2},
    "funnel": {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64, "block_sizes": [1, 1]},
    "roformer": {**ENCODER, "embedding_size": 16},
    "deberta": ENCODER,
}


@pytest.mark.parametrize("kind", ODD)
def test_other_families_are_tried_and_pad(make_masked: Callable[..., Any], kind: str) -> None:
    """They refuse what the probe tries, each with an error of its own."""
    model = make_masked(kind, **ODD[kind])
    isolation = probe_isolation(model, "masked")
    module = StepModule(model, isolation)
    ids = torch.arange(24).reshape(2, 12) + 5
    nats = module(ids, ids, torch.arange(12).expand(2, 12), torch.zeros_like(ids))
    assert nats.shape == (24,)
    assert nats.isfinite().all()
    problem = row_problem(module, "bf16", 12)
    assert (problem is not None) == (kind == "deberta")
