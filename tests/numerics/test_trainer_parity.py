"""The guide's job, step by step equal to transformers.Trainer.

The guide: huggingface.co/docs/transformers/tasks/language_modeling, with its ``group_texts`` and
its collator. Trainer divides GPT-2's loss by the unshifted labels, as ``normalize_by="tokens"``
does; for Llama it divides by the targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import numpy as np
import pytest
from torch import Tensor, nn
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from nextfill.config import BlocksConfig, DataConfig, Objective, TrainConfig, TrainingConfig
from nextfill.core.progress import Silent
from nextfill.data.packing.block_plan import BlockPlan
from nextfill.data.packing.block_reader import read_blocks
from nextfill.data.packing.order import block_order
from nextfill.data.parts import Part
from nextfill.data.preparation import prepare_data, prepare_part
from nextfill.data.records.sources import open_source
from nextfill.data.special_tokens import plan_training, training_frame
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.runs.directory import RunDirectory
from nextfill.training import loop, run_state
from nextfill.training.setup import Setup

BLOCK = 64
STEPS = 20
BATCH = 8
GUIDE = BlocksConfig(
    block_size=BLOCK, packing="concat", window_rows=1000, end_of_document=False, isolate=False
)


def group_texts(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
    """Join a window's documents and cut them into blocks, as the guide does word for word."""
    concatenated_examples = {k: sum(examples[k], []) for k in examples}  # noqa: RUF017
    total_length = len(concatenated_examples[next(iter(examples.keys()))])
    if total_length >= BLOCK:
        total_length = (total_length // BLOCK) * BLOCK
    result = {
        k: [t[i : i + BLOCK] for i in range(0, total_length, BLOCK)]
        for k, t in concatenated_examples.items()
    }
    result["labels"] = result["input_ids"].copy()
    return result


def blocks_by_the_guide(texts: list[str], tokenizer: Any) -> list[list[int]]:
    dataset = datasets.Dataset.from_dict({"text": texts})
    tokenized = dataset.map(
        lambda examples: {"input_ids": tokenizer(examples["text"])["input_ids"]},
        batched=True,
        remove_columns=["text"],
    )
    grouped: list[list[int]] = tokenized.map(group_texts, batched=True)["input_ids"][:]
    return grouped


def all_blocks(part: Part, plan: BlockPlan) -> list[list[int]]:
    every = np.arange(plan.num_blocks)
    rows = read_blocks(part.store, plan, every, pad_id=0, isolate=False)
    return [
        tokens[documents >= 0].tolist()
        for tokens, documents in zip(rows.tokens, rows.document_ids, strict=True)
    ]


@pytest.fixture(scope="module")
def part(bpe: Any, tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Documentation of the standard library: 2,300 records make three windows."""
    data = DataConfig(source="builtin:stdlib-docs", split="train[:2300]")
    return prepare_part(data, bpe, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.disable_progress_bars()
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_blocks_equal_the_guides(part: Part, bpe: Any) -> None:
    source = open_source("builtin:stdlib-docs", split="train[:2300]")
    texts = ["\n\n".join(record.value["answers"]["text"]) for record in source.read()]
    assert len(texts) == len(part.documents) == 2300
    plan = plan_training(part, GUIDE, training_frame(bpe, end_of_document=False))
    assert plan.dropped["window tail"] > 0
    assert all_blocks(part, plan) == blocks_by_the_guide(texts, bpe)


def test_blocks_equal_the_guides_on_its_own_data(test_data: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(test_data / "tokenizers" / "gpt2")
    file = test_data / "eli5_category" / "eli5-category-test.json.gz"
    split = "train[:800]"
    data = DataConfig(source=str(file), text_field="answers.text", split=split, test_size=0.2)
    train_part = prepare_data(data, tokenizer, seed=0, cache=tmp_path).train
    records = [record.value for record in open_source(str(file), split=split).read()]
    chosen = [records[i] for i in train_part.store.documents["record"][train_part.documents]]
    texts = [" ".join(record["answers"]["text"]) for record in chosen]
    plan = plan_training(train_part, GUIDE, training_frame(tokenizer, end_of_document=False))
    assert all_blocks(train_part, plan) == blocks_by_the_guide(texts, tokenizer)


@dataclass(frozen=True)
class Trained:
    losses: list[float]
    norms: list[float]
    rates: list[float]
    weights: dict[str, Tensor]


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().double().clone() for name, p in model.named_parameters()}


def train_with_nextfill(
    model: nn.Module,
    batches: TrainingBatches,
    folder: Path,
    training: TrainingConfig,
    objective: Objective = "causal",
) -> Trained:
    folder.mkdir()
    run = RunDirectory(folder)
    setup = Setup(
        config=TrainConfig(precision="fp32", blocks=GUIDE, training=training),
        loaded=LoadedModel(model, tokenizer=None, name="model", objective=objective),
        module=StepModule(model, Isolation("none", objective)),
        prepared=None,
        batches=batches,
        origin={},
    )
    with patch.object(run_state, "evaluate_step", return_value=False):
        loop.run_steps(setup, run, Silent(), loop.TORCH)
    events = run.read_events()
    assert [event["step"] for event in events] == list(range(1, STEPS + 1))
    return Trained(
        [event["loss"] for event in events],
        [event["grad_norm"] for event in events],
        [event["learning_rate"] for event in events],
        weights_of(model),
    )


def train_with_trainer(
    model: nn.Module, rows: dict[str, Any], collator: Any, folder: Path, accumulation: int
) -> Trained:
    args = TrainingArguments(
        str(folder),
        learning_rate=1e-3,
        weight_decay=0.1,
        max_steps=STEPS,
        per_device_train_batch_size=BATCH // accumulation,
        gradient_accumulation_steps=accumulation,
        train_sampling_strategy="sequential",  # the rows are in our order already
        lr_scheduler_type="linear",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=datasets.Dataset.from_dict(rows),
        data_collator=collator,
    )
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return Trained(
        [entry["loss"] for entry in logs],
        [float(entry["grad_norm"]) for entry in logs],
        [entry["learning_rate"] for entry in logs],
        weights_of(model),
    )


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize(("kind", "normalize_by"), [("gpt2", "tokens"), ("llama", "targets")])
def test_steps_equal_the_trainers(
    make_model: Callable[..., Any],
    part: Part,
    bpe: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    normalize_by: Any,
    accumulation: int,
) -> None:
    training = TrainingConfig(
        learning_rate=1e-3,
        weight_decay=0.1,
        batch_size=BATCH,
        micro_batch_size=BATCH // accumulation,
        max_steps=STEPS,
        schedule="linear",
        normalize_by=normalize_by,
    )
    plan = plan_training(part, GUIDE, training_frame(bpe, end_of_document=False))
    before = weights_of(make_model(kind, scale=1.0))
    batches = TrainingBatches(part.store, plan, pad_id=0, isolate=False)
    ours = train_with_nextfill(make_model(kind, scale=1.0), batches, tmp_path / "run", training)

    blocks = all_blocks(part, plan)
    order = block_order(plan.shard, seed=0, epoch=0)[: STEPS * BATCH]
    bpe.pad_token = bpe.eos_token  # as the guide does
    theirs = train_with_trainer(
        make_model(kind, scale=1.0),
        {"input_ids": [blocks[number] for number in order]},
        DataCollatorForLanguageModeling(tokenizer=bpe, mlm=False),
        tmp_path / "trainer",
        accumulation,
    )
    with capsys.disabled():
        print(f"\n{kind}, accumulation {accumulation}: {compared(ours, theirs, before)}")


def compared(
    ours: Trained, theirs: Trained, before: dict[str, Tensor], *, but: tuple[str, ...] = ()
) -> str:
    """Hold two trainings against one another, and say how far apart they are.

    Args:
        ours: What Nextfill did.
        theirs: What it is held against.
        before: The weights that both began with.
        but: Endings of the names of weights whose gradient is nothing but rounding.
    """
    assert len(theirs.losses) == STEPS
    assert theirs.losses[-1] < theirs.losses[0] - 0.1  # something was learned
    loss = max(abs(a / b - 1) for a, b in zip(ours.losses, theirs.losses, strict=True))
    norm = max(abs(a / b - 1) for a, b in zip(ours.norms, theirs.norms, strict=True))
    assert ours.rates == pytest.approx(theirs.rates, rel=1e-12)
    moved = {
        name: (ours.weights[name] - theirs.weights[name]).norm().item()
        / (theirs.weights[name] - before[name]).norm().item()
        for name in before
        if not name.endswith(but)
    }
    worst = max(moved, key=lambda name: moved[name])
    assert loss < 1e-5
    assert norm < 1e-4
    assert not math.isnan(moved[worst])
    assert moved[worst] < 1e-3
    return f"loss {loss:.2e}, gradient norm {norm:.2e}, {worst} {moved[worst]:.2e} of its movement"
