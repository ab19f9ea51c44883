"""The loss after a context is that of a plain loop with labels of -100 on the prompt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextfill.config import (
    BlocksConfig,
    DataConfig,
    EvaluationConfig,
    MaskingConfig,
    Packing,
    TrainConfig,
    TrainingConfig,
)
from nextfill.data.parts import Part
from nextfill.data.preparation import prepare_part
from nextfill.data.special_tokens import evaluation_frame, plan_training, training_frame
from nextfill.evaluation.metrics import summarize
from nextfill.evaluation.scorer import score_part
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import LossSum
from nextfill.models.step import StepModule
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.training.loop import accumulate_gradients
from nextfill.training.setup import Setup

BLOCK = 96
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def pairs(texts: list[str]) -> Pairs:
    """Prompts and completions of many sizes, cut at any place of a text, even within a word."""
    short = [text for text in texts if 30 < len(text) < 150][:40]
    cut = [
        (text[: (at := 5 + 7 * n % (len(text) - 10))], text[at:]) for n, text in enumerate(short)
    ]
    return [*cut, ("", "No prompt stands before this."), ("Ünï", "çödé 🙂"), ("a ", " b")]


@pytest.fixture(scope="module")
def part(pairs: Pairs, bpe: Any, tmp_path_factory: pytest.TempPathFactory) -> Part:
    folder = tmp_path_factory.mktemp("pairs")
    lines = [json.dumps({"prompt": before, "completion": text}) for before, text in pairs]
    (folder / "pairs.jsonl").write_text("\n".join(lines), "utf-8")
    return prepare_part(DataConfig(source=str(folder / "pairs.jsonl")), bpe, cache=folder)


def ids_and_labels(
    tokenizer: Any, pair: tuple[str, str], end: bool = True
) -> tuple[Tensor, Tensor]:
    """A document as a plain program writes it, start and end token around it."""
    before, text = (tokenizer(one, add_special_tokens=False)["input_ids"] for one in pair)
    around = tokenizer.eos_token_id
    ids = [around, *before, *text, *([around] if end else [])]
    labels = [-100] * (1 + len(before)) + ids[1 + len(before) :]
    return torch.tensor([ids]), torch.tensor([labels])


def plain_step(model: nn.Module, tokenizer: Any, pairs: Pairs) -> LossSum:
    """Gradients of the mean over all targets, by transformers' own loss, a document at a time."""
    batch = [ids_and_labels(tokenizer, pair) for pair in pairs]
    targets = sum(int((labels != -100).sum()) for _, labels in batch)
    nats = 0.0
    for ids, labels in batch:
        of_this = int((labels != -100).sum())
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss * of_this
        (loss / targets).backward()
        nats += loss.item()
    return LossSum(nats, targets)


@pytest.mark.parametrize("packing", ["best-fit", "pad"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_nats_and_gradients_are_those_of_a_plain_loop(
    make_model: Callable[..., Any], part: Part, pairs: Pairs, bpe: Any, kind: str, packing: Packing
) -> None:
    blocks = BlocksConfig(block_size=BLOCK, packing=packing)
    plan = plan_training(part, blocks, training_frame(bpe, end_of_document=True))
    ours, theirs = (make_model(kind, scale=3.0).double() for _ in range(2))
    size = plan.num_blocks
    job = Setup(
        config=TrainConfig(
            precision="fp32",
            blocks=blocks,
            training=TrainingConfig(batch_size=size, micro_batch_size=2),
        ),
        loaded=LoadedModel(ours, tokenizer=bpe, name=kind),
        module=StepModule(ours, Isolation("positions" if packing == "best-fit" else "pad")),
        prepared=None,
        batches=TrainingBatches(part.store, plan, pad_id=0, isolate=True),
        origin={},
    )
    batch = job.batches(np.arange(size))
    if packing == "best-fit":
        assert batch.document_ids.max() > 0
    loss, _, _ = accumulate_gradients(job, batch, step=0).read()
    expected = plain_step(theirs.train(), bpe, pairs)
    assert loss.targets == expected.targets
    assert loss.nats == pytest.approx(expected.nats, rel=1e-6)
    found = {name: p.grad for name, p in ours.named_parameters()}
    wanted = {name: p.grad for name, p in theirs.named_parameters()}
    difference = math.sqrt(sum((found[n] - wanted[n]).norm().item() ** 2 for n in wanted))
    norm = math.sqrt(sum(one.norm().item() ** 2 for one in wanted.values()))
    print(f"{kind}, {packing}: gradients differ by {difference / norm:.1e}")
    assert difference < 1e-6 * norm


@pytest.mark.parametrize("kind", ["gpt2", "bloom"])
@torch.no_grad()
def test_an_evaluation_is_that_of_each_completion_alone(
    make_model: Callable[..., Any], part: Part, pairs: Pairs, bpe: Any, kind: str
) -> None:
    model = make_model(kind)
    scores = score_part(
        StepModule(model, Isolation("pad")),
        LoadedModel(model, bpe, "a model"),
        part,
        block_size=BLOCK,
        evaluation=EvaluationConfig(),
        masking=MaskingConfig(),
        precision="fp32",
    ).scores
    exact = make_model(kind).double()
    assert len(scores.document) == len(pairs)
    assert evaluation_frame(bpe).prefix == (bpe.eos_token_id,)
    for at, pair in enumerate(pairs):
        ids, labels = ids_and_labels(bpe, pair, end=False)
        targets = int((labels != -100).sum())
        loss = exact(input_ids=ids, labels=labels, use_cache=False).loss.item()
        assert scores.targets[at] == targets
        assert scores.nats[at] == pytest.approx(loss * targets, rel=1e-5)
    assert scores.bytes.tolist() == [len(text.encode()) for _, text in pairs]
    assert scores.words.tolist() == [len(text.split()) for _, text in pairs]
    size = sum(len(text.encode()) for _, text in pairs)
    bits = summarize(scores).bits_per_byte
    assert bits == pytest.approx(scores.nats.sum() / math.log(2) / size)


@torch.no_grad()
def test_without_a_start_token_the_context_alone_leads(
    make_model: Callable[..., Any], part: Part, pairs: Pairs, bpe: Any
) -> None:
    model = make_model("gpt2")
    scores = score_part(
        StepModule(model, Isolation("pad")),
        LoadedModel(model, bpe, "a model"),
        part,
        block_size=BLOCK,
        evaluation=EvaluationConfig(start_token=False),
        masking=MaskingConfig(),
        precision="fp32",
    ).scores
    sizes = dict(zip(scores.document.tolist(), scores.bytes.tolist(), strict=True))
    for number, (before, text) in enumerate(pairs):
        if before:
            assert sizes[number] == len(text.encode())
        else:  # its first token is not scored
            assert sizes[number] < len(text.encode())
