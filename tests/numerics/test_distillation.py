"""A distilled step's gradients are those of a loop by hand over the documents, each alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nextfill.config import BlocksConfig, MaskingConfig, TrainConfig, TrainingConfig
from nextfill.data.packing.block_plan import Frame, plan_blocks
from nextfill.data.store.token_store import TokenStore
from nextfill.models.distillation import Teacher
from nextfill.models.documents.isolation import Isolation, padding_isolation, probe_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from nextfill.models.tokenizer import masking_of
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.gradients import DISTILLATION, accumulate_gradients
from nextfill.training.setup import Setup
from tests.numerics.conftest import VOCABULARY

BATCH = 4
WEIGHT, TEMPERATURE = 0.7, 3.0
PAIRS = {"causal": ("gpt2", "llama"), "masked": ("bert", "roberta")}
"""Student and teacher, which need not be of one type."""


@pytest.fixture(scope="module")
def jobs(
    make_model: Callable[..., Any],
    make_masked: Callable[..., Any],
    store: TokenStore,
    masked_store: TokenStore,
    bpe_masked: Any,
) -> Callable[..., Setup]:
    def make(
        objective: Literal["causal", "masked"],
        packing: Literal["concat", "pad"],
        micro: int = BATCH,
        normalize_by: Literal["targets", "tokens"] = "targets",
    ) -> Setup:
        is_masked = objective == "masked"
        make_one = make_masked if is_masked else make_model
        documents, frame = (
            (masked_store, Frame((0,), (2,))) if is_masked else (store, Frame((), (0,)))
        )
        training = TrainingConfig(
            batch_size=BATCH, micro_batch_size=micro, normalize_by=normalize_by
        )
        plan = plan_blocks(
            documents,
            np.arange(documents.num_documents),
            policy=packing,
            block_size=64,
            frame=frame,
        )
        own, other = PAIRS[objective]
        student = make_one(own, scale=3.0)
        # Its table of tokens has rows to spare, as those have that are padded to a round size.
        teacher = make_one(other, seed=1, scale=3.0, vocab_size=VOCABULARY + 12)
        masking = masking_of(bpe_masked, MaskingConfig(rate=0.3), "m") if is_masked else None
        return Setup(
            config=TrainConfig(
                precision="fp32", blocks=BlocksConfig(block_size=64), training=training
            ),
            loaded=LoadedModel(student, None, own, objective),
            module=StepModule(student, isolation(student, objective, packing)),
            prepared=None,
            batches=TrainingBatches(documents, plan, pad_id=0, isolate=True, masking=masking),
            origin={},
            teacher=Teacher(
                LoadedModel(teacher.requires_grad_(False), None, other, objective),
                StepModule(teacher, isolation(teacher, objective, packing)),
                WEIGHT,
                TEMPERATURE,
            ),
        )

    return make


def isolation(model: Any, objective: Any, packing: str) -> Isolation:
    if packing == "pad":
        return padding_isolation(model, objective)
    found = probe_isolation(model, objective)
    assert found.kind != "pad"
    return found


def uneven(job: Setup) -> Batch:
    """Return rows with different numbers of documents and of targets, padding among them."""
    tokens = np.add.reduceat(job.batches.plan.length, job.batches.plan.block_ptr[:-1])
    order = np.argsort(tokens, kind="stable")
    order = order[tokens[order] > 8]
    return job.batches(np.concatenate([order[:1], order[-2:], order[1:2]]))


def documents_of(batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the tokens and labels of each document of a batch, ``[1, n]`` and ``[n]``."""
    for row in range(len(batch.input_ids)):
        for number in np.unique(batch.document_ids[row]):
            if number >= 0:
                place = batch.document_ids[row] == number
                ids, labels = batch.input_ids[row][place], batch.labels[row][place]
                yield torch.from_numpy(ids)[None], torch.from_numpy(labels)


def by_hand(job: Setup, batch: Batch, divisor: int) -> tuple[dict[str, Tensor], float, float]:
    """Return gradients, nats and distance of models that see one document at a time."""
    assert job.teacher is not None
    student, teacher = job.module.model, job.teacher.module.model
    student.zero_grad()
    nats_sum = distance_sum = 0.0
    for ids, labels in documents_of(batch):
        here = labels != -100
        if not here.any():
            continue
        logits = student(ids).logits[0][here].double()
        with torch.no_grad():
            taught = teacher(ids).logits[0][here].double()[:, :VOCABULARY]
        nats = functional.cross_entropy(logits, labels[here], reduction="sum")
        p = torch.softmax(taught / TEMPERATURE, dim=1)
        q = torch.softmax(logits / TEMPERATURE, dim=1)
        distance = TEMPERATURE**2 * (p * (p.log() - q.log())).sum()
        (((1 - WEIGHT) * nats + WEIGHT * distance) / divisor).backward()
        nats_sum, distance_sum = nats_sum + nats.item(), distance_sum + distance.item()
    found = {name: p.grad.double() for name, p in student.named_parameters() if p.grad is not None}
    return found, nats_sum, distance_sum


@pytest.mark.parametrize("micro", [1, 3, BATCH])
@pytest.mark.parametrize("packing", ["concat", "pad"])
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_gradients_are_those_of_a_loop_by_hand(
    jobs: Callable[..., Setup], objective: str, packing: str, micro: int
) -> None:
    job = jobs(objective, packing, micro)
    batch = uneven(job)
    several = [len(set(row[row >= 0])) for row in batch.document_ids]
    assert (max(several) > 1) == (packing == "concat")
    loss, divisor, others = accumulate_gradients(job, batch, step=0).read()
    assert divisor == batch.num_targets
    found = {name: p.grad.double().clone() for name, p in job.module.model.named_parameters()}
    expected, nats, distance = by_hand(job, batch, divisor)
    assert loss.nats == pytest.approx(nats, rel=1e-6)
    assert others[DISTILLATION] == pytest.approx(distance / divisor, rel=3e-6)  # a sum in float32
    whole = torch.cat([one.flatten() for one in expected.values()]).norm()
    assert whole > 1e-2
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-6 * whole, name


def test_a_teacher_has_no_gradient_and_stays_as_it_is(jobs: Callable[..., Setup]) -> None:
    job = jobs("causal", "concat")
    assert job.teacher is not None
    model = job.teacher.module.model
    before = {name: one.clone() for name, one in model.state_dict().items()}
    job.teacher.module.train()
    accumulate_gradients(job, uneven(job), step=0)
    assert not model.training
    assert all(one.grad is None for one in model.parameters())
    assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())


def test_the_divisor_of_trainer_divides_the_distance_too(jobs: Callable[..., Setup]) -> None:
    job = jobs("causal", "pad", normalize_by="tokens")
    batch = uneven(job)
    _, divisor, others = accumulate_gradients(job, batch, step=0).read()
    assert divisor == batch.num_tokens > batch.num_targets
    found = {name: p.grad.double().clone() for name, p in job.module.model.named_parameters()}
    expected, _, distance = by_hand(job, batch, divisor)
    assert others[DISTILLATION] == pytest.approx(distance / divisor, rel=3e-6)  # a sum in float32
    name = "transformer.h.0.mlp.c_fc.weight"
    assert (found[name] - expected[name]).norm() <= 1e-6 * expected[name].norm()
