"""A step's gradients do not depend on how its rows fall into micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nextfill.config import BlocksConfig, TrainConfig, TrainingConfig
from nextfill.data.packing.block_plan import Frame, plan_blocks
from nextfill.data.store.token_store import TokenStore
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import LossSum
from nextfill.models.step import StepModule
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.gradients import accumulate_gradients
from nextfill.training.setup import Setup

BATCH = 4


@pytest.fixture(scope="module")
def jobs(make_model: Callable[..., Any], store: TokenStore) -> Callable[..., Setup]:
    def make(
        kind: str,
        micro: int,
        normalize_by: Literal["targets", "tokens"] = "targets",
        **settings: Any,
    ) -> Setup:
        training = TrainingConfig(
            batch_size=BATCH, micro_batch_size=micro, normalize_by=normalize_by
        )
        plan = plan_blocks(
            store,
            np.arange(store.num_documents),
            policy="pad",
            block_size=64,
            frame=Frame((0,), (0,)),
        )
        model = make_model(kind, **settings)
        return Setup(
            config=TrainConfig(
                precision="fp32", blocks=BlocksConfig(block_size=64), training=training
            ),
            loaded=LoadedModel(model, tokenizer=None, name=kind),
            module=StepModule(model, Isolation("positions")),
            prepared=None,
            batches=TrainingBatches(store, plan, pad_id=0, isolate=True),
            origin={},
        )

    return make


def uneven(job: Setup) -> Batch:
    """Return rows of which two are full and one is nearly empty."""
    plan = job.batches.plan
    tokens = np.add.reduceat(plan.length, plan.block_ptr[:-1])
    order = np.argsort(tokens, kind="stable")
    order = order[tokens[order] > 4]  # the targets of a row: all but its document's last token
    numbers = np.concatenate([order[:1], order[-2:], order[1:2]])
    batch = job.batches(numbers)
    counts = (batch.labels != -100).sum(axis=1)
    assert counts.max() > 3 * counts.min() > 0
    return batch


def gradients(job: Setup, batch: Batch) -> tuple[dict[str, Tensor], LossSum, int]:
    loss, divisor, _ = accumulate_gradients(job, batch, step=0).read()
    found = {name: p.grad.double() for name, p in job.module.named_parameters()}
    return found, loss, divisor


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("normalize_by", ["targets", "tokens"])
def test_gradients_do_not_depend_on_the_micro_batch(
    jobs: Callable[..., Setup], kind: str, normalize_by: str
) -> None:
    batch = uneven(jobs(kind, BATCH))
    whole, whole_loss, whole_divisor = gradients(jobs(kind, BATCH, normalize_by), batch)
    expected = batch.num_targets if normalize_by == "targets" else batch.num_tokens
    assert whole_divisor == expected
    for micro in (1, 2, 3):
        found, loss, divisor = gradients(jobs(kind, micro, normalize_by), batch)
        assert (loss.targets, divisor) == (whole_loss.targets, whole_divisor)
        assert loss.nats == pytest.approx(whole_loss.nats, rel=1e-6)
        difference = torch.stack([(found[n] - whole[n]).norm() for n in whole]).norm()
        size = torch.stack([gradient.norm() for gradient in whole.values()]).norm()
        print(f"{kind}, micro-batch {micro}: {difference / size:.2e}")
        assert difference < 1e-6 * size


def test_a_gradient_is_that_of_the_mean_over_the_targets(jobs: Callable[..., Setup]) -> None:
    job = jobs("gpt2", 1)
    batch = uneven(job)
    found, _, _ = gradients(job, batch)
    reference = jobs("gpt2", BATCH)
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    nats = reference.module(*(torch.from_numpy(part) for part in parts))
    nats.mean().backward()
    for name, parameter in reference.module.named_parameters():
        expected = parameter.grad.double()
        scale = max(expected.norm().item(), 1e-3)
        assert (found[name] - expected).norm().item() < 1e-6 * scale, name


@pytest.mark.parametrize("micro", [1, 2, 3, BATCH])
def test_a_router_weighs_in_each_micro_batch_as_its_targets_do(
    jobs: Callable[..., Setup], micro: int
) -> None:
    """The step's loss is the mean of what transformers' is, weighted by the targets."""
    asking = {"output_router_logits": True, "router_aux_loss_coef": 5.0}
    job = jobs("mixtral", micro, **asking)
    batch = uneven(job)
    loss, divisor, others = accumulate_gradients(job, batch, step=0).read()
    reference = jobs("mixtral", BATCH, **asking).module.model.train()
    expected_loss = 0.0
    for start in range(0, BATCH, micro):
        rows = batch.rows(start, start + micro)
        mask = torch.from_numpy(rows.document_ids >= 0)
        output = reference(
            input_ids=torch.from_numpy(rows.input_ids),
            attention_mask=mask.long(),
            use_cache=False,
        )
        labels = torch.from_numpy(rows.labels).flatten()  # a row's last token has one, too
        nats = functional.cross_entropy(output.logits.flatten(0, 1), labels)
        whole = nats + 5.0 * output.aux_loss
        share = rows.num_targets / batch.num_targets
        (share * whole).backward()
        expected_loss += share * whole.item()
    assert others.keys() == {"router_loss", "expert_load", "expert_entropy"}
    assert loss.nats / divisor + others["router_loss"] == pytest.approx(expected_loss, rel=1e-6)
    ours = dict(job.module.model.named_parameters())
    theirs = dict(reference.named_parameters())
    size = torch.stack([one.grad.norm() for one in theirs.values()]).norm()
    off = torch.stack([(ours[n].grad - theirs[n].grad).norm() for n in theirs]).norm()
    assert (off / size).item() < 1e-6
