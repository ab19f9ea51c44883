"""transformers.Trainer on our packed data set: each document costs what it costs alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Trainer, TrainingArguments

import nextfill
from nextfill import Collator, PackedDataset, packed_dataset
from nextfill.data.corpora import builtin
from nextfill.data.document import Record

STEPS = 4
BATCH = 4
RATE = 1e-3
PACKED = ["gpt2", "llama", "opt"]
Rows = Sequence[dict[str, Tensor]]


@pytest.fixture(scope="module")
def blocks(texts: list[str], bpe: Any, tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    cache = str(tmp_path_factory.mktemp("cache"))
    return packed_dataset(data=texts[::2], tokenizer=bpe, block_size=64, cache_dir=cache)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.disable_progress_bars()
    monkeypatch.setenv("TQDM_DISABLE", "1")


class Recorded:
    """A collator that remembers the rows it was given."""

    def __init__(self, collator: Callable[[Rows], dict[str, Any]]) -> None:
        self.collator = collator
        self.batches: list[Rows] = []

    def __call__(self, rows: Rows) -> dict[str, Any]:
        self.batches.append(rows)
        return self.collator(rows)


def trained(
    model: nn.Module, blocks: PackedDataset, collator: Any, out: Path, **settings: Any
) -> list[float]:
    """Train and return the loss of each step."""
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=STEPS,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=0.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        **{"per_device_train_batch_size": BATCH, **settings},
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=blocks, data_collator=collator)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def loss_alone(model: nn.Module, rows: Rows) -> Tensor:
    """Return the mean over all targets, each document of each row in a call of its own."""
    nats, count = torch.zeros(()), 0
    for row in rows:
        starts = (row["position_ids"] == 0).nonzero().flatten().tolist()
        for first, last in zip(starts, [*starts[1:], len(row["input_ids"])], strict=True):
            ids = row["input_ids"][first:last]
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
            nats = nats + functional.cross_entropy(logits, ids[1:], reduction="sum")
            count += len(ids) - 1
    return nats / count


def trained_alone(model: nn.Module, batches: Sequence[Rows]) -> list[float]:
    """Train on the same rows, document by document, in a loop written out by hand."""
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0)
    losses = []
    for rows in batches:
        loss = loss_alone(model.train(), rows)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def largest_difference(some: Sequence[float], others: Sequence[float]) -> float:
    largest = max(abs(a - b) / b for a, b in zip(some, others, strict=True))
    print(f"largest relative difference of a loss: {largest:.1e}")
    return largest


@pytest.mark.parametrize("kind", PACKED)
def test_trainers_losses_are_those_of_documents_alone(
    make_model: Callable[..., Any], blocks: PackedDataset, kind: str, tmp_path: Path
) -> None:
    model = make_model(kind, scale=10.0)
    alone = copy.deepcopy(model)
    collator = Recorded(Collator(model))
    losses = trained(model, blocks, collator, tmp_path)
    batches = collator.batches[:STEPS]
    segments = [int((row["position_ids"] == 0).sum()) for rows in batches for row in rows]
    assert max(segments) > 3
    assert min(len(row["labels"]) for rows in batches for row in rows) < 64
    assert largest_difference(losses, trained_alone(alone, batches)) < 1e-5


@pytest.mark.parametrize("kind", PACKED)
def test_a_leak_is_seen(
    make_model: Callable[..., Any], blocks: PackedDataset, kind: str, tmp_path: Path
) -> None:
    model = make_model(kind, scale=10.0)
    alone = copy.deepcopy(model)
    inner = Collator(model)

    def leaking(rows: Rows) -> dict[str, Any]:
        batch = inner(rows)
        return {**batch, "attention_mask": torch.ones_like(batch["input_ids"])}

    collator = Recorded(leaking)
    losses = trained(model, blocks, collator, tmp_path)
    assert largest_difference(losses, trained_alone(alone, collator.batches[:STEPS])) > 1e-3


def test_workers_and_accumulation_change_no_loss(
    make_model: Callable[..., Any], blocks: PackedDataset, tmp_path: Path
) -> None:
    model = make_model("llama", scale=10.0)
    others, collator = [copy.deepcopy(model), copy.deepcopy(model)], Collator(model)
    plain = trained(model, blocks, collator, tmp_path)
    assert trained(others[0], blocks, collator, tmp_path, dataloader_num_workers=2) == plain
    halves = {"per_device_train_batch_size": BATCH // 2, "gradient_accumulation_steps": 2}
    assert (
        largest_difference(trained(others[1], blocks, collator, tmp_path, **halves), plain) < 1e-5
    )


def test_a_model_that_packs_nothing_takes_padded_rows_only(
    make_model: Callable[..., Any],
    texts: list[str],
    bpe: Any,
    blocks: PackedDataset,
    tmp_path: Path,
) -> None:
    model = make_model("bloom", scale=10.0)
    alone = copy.deepcopy(model)
    with pytest.raises(nextfill.NextfillError, match=r"BloomForCausalLM: .* packing='pad'"):
        trained(model, blocks, Collator(model), tmp_path)
    padded = packed_dataset(data=texts[::2], tokenizer=bpe, block_size=64, packing="pad")
    collator = Recorded(Collator(model, pad_to_multiple_of=8))
    losses = trained(model, padded, collator, tmp_path, remove_unused_columns=False)
    assert largest_difference(losses, trained_alone(alone, collator.batches[:STEPS])) < 1e-5


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_the_probe_sees_through_bfloat16(make_model: Callable[..., Any], kind: str) -> None:
    # A GPT-2 of this size rounds off by 1% in bfloat16, packed or not.
    size = {"n_embd": 512, "n_layer": 8, "n_head": 8} if kind == "gpt2" else {}
    model = make_model(kind, scale=1.0, **size).to(torch.bfloat16)
    collator = Collator(model)
    assert collator.isolation == {"gpt2": "positions", "opt": "mask"}[kind]
    row = {"input_ids": torch.tensor([5, 6, 7]), "labels": torch.tensor([-100, 6, -100])}
    batch = collator([row])
    assert batch.get("attention_mask", batch["labels"]).dtype in (torch.bfloat16, torch.long)
    with torch.no_grad():
        assert torch.isfinite(model(**batch).logits).all()
    assert next(model.parameters()).dtype == torch.bfloat16


def test_every_token_is_there_once_and_its_label_is_itself(
    blocks: PackedDataset, texts: list[str], bpe: Any
) -> None:
    end = bpe.eos_token_id
    rows = [blocks[number] for number in range(len(blocks))]
    together = sorted(i for row in rows for i in row["input_ids"].tolist())
    framed = [[end, *bpe(text)["input_ids"], end] for text in texts[::2] if text]
    assert together == sorted(chain_all(framed))
    targets = 0
    for row in rows:
        first = row["position_ids"] == 0
        assert (row["labels"][first] == -100).all()
        assert (row["labels"][~first] == row["input_ids"][~first]).all()
        targets += int((~first).sum())
    assert blocks.num_targets == targets
    assert f"{targets:,} targets" in repr(blocks)


def chain_all(lists: Sequence[Sequence[int]]) -> list[int]:
    return [item for one in lists for item in one]


def test_a_copy_for_a_worker_is_small_and_the_same(blocks: PackedDataset) -> None:
    blocks[0]  # opens the memory map
    state = pickle.dumps(blocks)
    assert len(state) < 2000
    again = pickle.loads(state)  # noqa: S301 - our own
    assert len(again) == len(blocks)
    for number in (0, 3, -1):
        for name, values in blocks[number].items():
            assert torch.equal(again[number][name], values)


def test_indices_are_those_of_a_sequence(blocks: PackedDataset) -> None:
    assert torch.equal(blocks[-1]["labels"], blocks[len(blocks) - 1]["labels"])
    assert torch.equal(blocks[np.int64(1)]["labels"], blocks[1]["labels"])
    for outside in (len(blocks), -len(blocks) - 1):
        with pytest.raises(IndexError, match=f"there are {len(blocks)}"):
            blocks[outside]
    with pytest.raises(TypeError):
        blocks["train"]  # type: ignore[index]


def test_parts_are_those_of_train(texts: list[str], bpe: Any) -> None:
    settings = {"data": texts, "tokenizer": bpe, "block_size": 64, "test_size": 0.3, "seed": 5}
    train, held_out = (packed_dataset(part=part, **settings) for part in ("train", "held-out"))
    ledger = nextfill.prepare(**settings).ledger
    assert train.plan.placed_tokens == ledger["trained"]
    assert len(np.unique(held_out.plan.document)) <= ledger["held_out_documents"]
    whole = packed_dataset(data=texts, tokenizer=bpe, block_size=64)
    together = train.plan.placed_tokens + held_out.plan.placed_tokens
    assert whole.plan.placed_tokens == together


def test_all_of_a_corpus_is_its_training_part(bpe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def records(names: Sequence[str], split: str) -> Iterator[Record]:
        yield Record(0, {"answers": {"text": [f"text of {split}"]}}, f"{names}")

    monkeypatch.setattr(builtin, "records", records)  # the real ones take seconds to gather
    monkeypatch.setattr(builtin, "fingerprint", lambda names, split: f"{names} {split}")
    blocks = packed_dataset(data="builtin:stdlib-docs", tokenizer=bpe, block_size=64)
    assert "text of train" in bpe.decode(blocks[0]["input_ids"])


def test_the_guides_rows_run_across_documents(texts: list[str], bpe: Any) -> None:
    settings = {"packing": "concat", "isolate": False, "end_of_document": False}
    blocks = packed_dataset(data=texts, tokenizer=bpe, block_size=64, **settings)
    row = blocks[0]
    assert row["position_ids"].tolist() == list(range(64))
    assert row["labels"].tolist() == [-100, *row["input_ids"].tolist()[1:]]
    batch = Collator(None, isolation="mask")([row])
    assert torch.equal(batch["attention_mask"][0, 0] == 0, torch.ones(64, 64).tril().bool())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"part": "test"}, "part: found 'test'; expected 'all', 'train' or 'held-out'"),
        ({"test_size": 0.5}, "test_size divides the data: say which part"),
        ({"bloc_size": 4}, "Did you mean 'block_size'"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], message: str, bpe: Any) -> None:
    with pytest.raises(nextfill.NextfillError, match=message):
        packed_dataset(data=iter(["x"]), tokenizer=bpe, **settings)


def test_a_collator_says_what_it_needs() -> None:
    for settings in ({}, {"isolation": "some"}, {"isolation": "pad", "pad_to_multiple_of": 0}):
        with pytest.raises(nextfill.NextfillError):
            Collator(None, **settings)
