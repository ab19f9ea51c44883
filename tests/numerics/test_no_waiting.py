"""A step on a GPU makes the host wait for nothing; tried on a CPU that is taken for one.

`NoWaiting` fails where a figure would be read. What cannot be seen so, copies to the host, fails on
the meta device, whose tensors have no figures at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nextfill.config import BlocksConfig, MaskingConfig, TrainConfig, TrainingConfig
from nextfill.data.packing.block_plan import Frame, plan_blocks
from nextfill.data.special_tokens import training_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.models import computation
from nextfill.models.distillation import Teacher
from nextfill.models.documents.isolation import padding_isolation, probe_isolation
from nextfill.models.expert_load import ENTROPY, LOAD
from nextfill.models.head_loss import is_worthwhile
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from nextfill.models.tokenizer import masking_of
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.gradients import DISTILLATION, ROUTER, accumulate_gradients
from nextfill.training.optimizer import clip_gradients, make_optimizer
from nextfill.training.setup import Setup
from nextfill.training.step_figures import StepLosses
from tests.device_waits import NoWaiting
from tests.representative import often

PACKINGS = ("concat", "best-fit", "pad")


@pytest.fixture(autouse=True)
def cpu_taken_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computation, "LATE", {"cuda", "cpu", "meta"})


@pytest.fixture
def jobs(
    make_model: Callable[..., Any],
    make_masked: Callable[..., Any],
    store: TokenStore,
    masked_store: TokenStore,
    bpe_masked: Any,
) -> Callable[..., Setup]:
    def make(
        kind: str, packing: Any, *, masked: bool = False, max_norm: float = 1.0, **settings: Any
    ) -> Setup:
        objective: Any = "masked" if masked else "causal"
        model = (make_masked if masked else make_model)(kind, **settings)
        # What packs no documents gets rows of one.
        probe = padding_isolation if packing == "pad" else probe_isolation
        frame, masking = Frame((0,), (0,)), None
        if masked:
            frame = training_frame(bpe_masked, end_of_document=True, objective="masked")
            frame = replace(frame, each_piece=packing != "concat")
            masking = masking_of(bpe_masked, MaskingConfig(rate=0.5), "a model")
        tokens = masked_store if masked else store
        plan = plan_blocks(tokens, np.arange(40), policy=packing, block_size=64, frame=frame)
        training = TrainingConfig(batch_size=4, micro_batch_size=3, max_grad_norm=max_norm)
        return Setup(
            config=TrainConfig(
                objective=objective,
                precision="fp32",
                blocks=BlocksConfig(block_size=64),
                training=training,
            ),
            loaded=LoadedModel(model, tokenizer=None, name=kind),
            module=StepModule(model, probe(model, objective)),
            prepared=None,
            batches=TrainingBatches(
                tokens, plan, pad_id=int(masked), isolate=True, masking=masking
            ),
            origin={},
        )

    return make


def take_step(job: Setup, *, is_real: bool = True) -> StepLosses:
    """Take a step; one that is not real has no figures, and no fused kernels of an optimizer."""
    model = job.module.model
    optimizer = make_optimizer(model, job.config.training) if is_real else None
    losses = accumulate_gradients(job, job.batches(np.arange(4)), 0)
    losses.copied(clip_gradients(model, job.config.training.max_grad_norm))
    if optimizer is not None:
        optimizer.step()
    return losses


def check(job: Setup, *, on_meta: bool = True) -> StepLosses:
    """Take a step that may not wait, and one without figures."""
    with NoWaiting():
        losses = take_step(job)
    assert losses.targets > 20
    assert losses.read()[0].nats > 0
    if on_meta:
        job.module.model.to("meta")
        take_step(job, is_real=False)
    return losses


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("kind", often(["gpt2", "llama", "opt", "gemma2"], ["gpt2", "opt"]))
def test_a_causal_step_waits_for_nothing(
    jobs: Callable[..., Setup], kind: str, packing: str
) -> None:
    check(jobs(kind, packing, max_norm=1.0 if kind in ("gpt2", "opt") else 0.0))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    "kind", often(["roberta", "bert", "modernbert"], ["roberta", "modernbert"])
)
def test_a_masked_step_waits_for_nothing(
    jobs: Callable[..., Setup], kind: str, packing: str
) -> None:
    check(jobs(kind, packing, masked=True))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
def test_the_kernel_of_documents_waits_for_nothing(jobs: Callable[..., Setup], kind: str) -> None:
    """It has shapes alone where there are no figures, both ways and with heads in groups."""
    job = jobs(kind, "best-fit", masked=kind == "bert")
    job.module.isolation = replace(job.module.isolation, kind="documents")
    job = replace(job, module=StepModule(job.module.model, job.module.isolation))
    job.module.model.to("meta", torch.bfloat16)
    take_step(job, is_real=False)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_loss_without_whole_logits_waits_for_nothing(
    jobs: Callable[..., Setup], kind: str
) -> None:
    job = jobs(kind, "concat", vocab_size=40_000)
    assert job.module.has_plain_head
    rows = job.batches(np.arange(4)).rows(0, 3).num_targets
    assert is_worthwhile(rows, 40_000)
    check(job)


def test_rows_in_groups_of_one_length_wait_for_nothing(jobs: Callable[..., Setup]) -> None:
    job = jobs("fnet", "pad", masked=True)
    assert not job.module.isolation.heeds_padding
    check(job, on_meta=False)  # which has no Fourier transform of whole numbers


def test_a_mixture_with_a_router_waits_in_its_experts_alone(jobs: Callable[..., Setup]) -> None:
    """Its loss and the load of its experts are read late; grouped products of experts wait not."""
    job = jobs("mixtral", "concat", output_router_logits=True, router_aux_loss_coef=0.1)
    job.module.model.set_experts_implementation("grouped_mm")
    losses = check(job, on_meta=False)
    assert losses.read()[2].keys() == {ROUTER, LOAD, ENTROPY}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_step_by_a_teacher_waits_for_nothing(jobs: Callable[..., Setup], packing: str) -> None:
    taught = jobs("llama", packing)
    teacher = Teacher(taught.loaded, taught.module, weight=0.5, temperature=2.0)
    losses = check(replace(jobs("gpt2", packing), teacher=teacher), on_meta=False)
    assert losses.read()[2][DISTILLATION]


def test_what_waits_is_seen(jobs: Callable[..., Setup]) -> None:
    ones = torch.ones(4)
    waits: list[Callable[[], object]] = [
        ones.sum().item,
        ones.nonzero,
        lambda: ones[ones > 0],
        lambda: bool(ones.any()),
        lambda: torch.bincount(ones.long()),
        lambda: torch.equal(ones, ones.clone()),
    ]
    for wait in waits:
        with pytest.raises(AssertionError, match="wait"), NoWaiting():
            wait()
