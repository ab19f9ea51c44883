"""The masked guide's job, step by step equal to transformers.Trainer on the same masks.

At accumulation above 1 Trainer sums the means of micro-batches, which have different numbers of
masked tokens; there we equal a loop written by hand that divides by the step's own count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import default_data_collator

from nextfill.config import MaskingConfig, TrainingConfig
from nextfill.data.packing.order import block_order
from nextfill.data.parts import Part
from nextfill.data.special_tokens import plan_training, training_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.models.tokenizer import masking_of
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches
from tests.numerics.test_trainer_parity import (
    BATCH,
    GUIDE,
    STEPS,
    Trained,
    compared,
    train_with_nextfill,
    train_with_trainer,
    weights_of,
)

RATE, DECAY = 1e-3, 0.1
KEY_BIAS = ("key.bias",)
"""Softmax does not see what is added to all keys alike: Adam makes steps of the rounding alone."""


@pytest.fixture
def batches(masked_store: TokenStore, bpe_masked: Any) -> TrainingBatches:
    part = Part(masked_store, np.arange(masked_store.num_documents))
    frame = training_frame(
        bpe_masked, end_of_document=False, objective="masked", packing=GUIDE.packing
    )
    assert (frame.prefix, frame.suffix, frame.each_piece) == ((0,), (2,), False)
    masking = masking_of(bpe_masked, MaskingConfig(), "a model")
    plan = plan_training(part, GUIDE, frame)
    return TrainingBatches(masked_store, plan, pad_id=1, isolate=False, masking=masking)


def steps(batches: TrainingBatches) -> Iterator[Batch]:
    """Yield the batches of a run's steps, each epoch with an order and masks of its own."""
    per_epoch = -(-batches.plan.num_blocks // BATCH)
    for step in range(STEPS):
        epoch, within = divmod(step, per_epoch)
        order = block_order(batches.plan.shard, seed=0, epoch=epoch)
        yield batches(order[within * BATCH : (within + 1) * BATCH], epoch)


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_steps_equal_the_trainers(
    make_masked: Callable[..., Any],
    batches: TrainingBatches,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    before = weights_of(make_masked(kind, scale=1.0))
    training = TrainingConfig(
        learning_rate=RATE, weight_decay=DECAY, batch_size=BATCH, max_steps=STEPS
    )
    ours = train_with_nextfill(
        make_masked(kind, scale=1.0), batches, tmp_path / "run", training, "masked"
    )
    made = list(steps(batches))
    assert all(batch.input_ids.shape == (BATCH, 64) for batch in made)
    rows = {
        "input_ids": np.concatenate([batch.input_ids for batch in made]).tolist(),
        "labels": np.concatenate([batch.labels for batch in made]).tolist(),
    }
    model = make_masked(kind, scale=1.0)
    theirs = train_with_trainer(model, rows, default_data_collator, tmp_path / "trainer", 1)
    with capsys.disabled():
        print(f"\n{kind}, Trainer: {compared(ours, theirs, before, but=KEY_BIAS)}")


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_accumulated_steps_equal_a_loop_by_hand(
    make_masked: Callable[..., Any],
    batches: TrainingBatches,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    before = weights_of(make_masked(kind, scale=1.0))
    training = TrainingConfig(
        learning_rate=RATE,
        weight_decay=DECAY,
        batch_size=BATCH,
        micro_batch_size=BATCH // 4,
        max_steps=STEPS,
    )
    ours = train_with_nextfill(
        make_masked(kind, scale=1.0), batches, tmp_path / "run", training, "masked"
    )
    theirs = train_by_hand(make_masked(kind, scale=1.0), steps(batches))
    with capsys.disabled():
        print(f"\n{kind}, by hand: {compared(ours, theirs, before, but=KEY_BIAS)}")


def train_by_hand(model: nn.Module, batches: Iterator[Batch]) -> Trained:
    """Train in micro-batches of a quarter, dividing by the masked tokens of the whole step."""
    named = list(model.named_parameters())
    plain = {name for name, p in named if p.ndim < 2}
    groups = [
        {
            "params": [p for n, p in model.named_parameters() if n not in plain],
            "weight_decay": DECAY,
        },
        {"params": [p for n, p in named if n in plain], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    model.train()
    losses, norms, rates = [], [], []
    for step, batch in enumerate(batches):
        rate = RATE * (1 - step / STEPS)
        for group in optimizer.param_groups:
            group["lr"] = rate
        nats = 0.0
        for start in range(0, BATCH, BATCH // 4):
            ids, labels = (
                torch.from_numpy(part[start : start + BATCH // 4])
                for part in (batch.input_ids, batch.labels)
            )
            logits = model(input_ids=ids).logits.flatten(0, 1)
            total = functional.cross_entropy(logits, labels.flatten(), reduction="sum")
            (total / batch.num_targets).backward()
            nats += total.item()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(nats / batch.num_targets)
        rates.append(rate)
    return Trained(losses, norms, rates, weights_of(model))
