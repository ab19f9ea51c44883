"""The masks of an evaluation stay where they are, and so do its nats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from nextfill.api.packed_dataset import PackedDataset
from nextfill.config import BlocksConfig, EvaluationConfig, MaskingConfig, MaskingUnit
from nextfill.core.errors import ModelError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.data.parts import Part
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.word_starts import open_word_starts
from nextfill.evaluation.metrics import summarize
from nextfill.evaluation.scorer import score_part
from nextfill.evaluation.scores import DocumentScores
from nextfill.models.collator import Collator
from nextfill.models.documents.isolation import padding_isolation, probe_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule, to_tensors
from nextfill.models.tokenizer import masking_of
from nextfill.objectives.scored_rows import ScoredRows, masked_rows

UNITS: tuple[MaskingUnit, ...] = ("token", "word", "span")
BLOCK = 48


def rows_of(store: TokenStore, selected: Any, tokenizer: Any, unit: MaskingUnit) -> ScoredRows:
    return masked_rows(
        store,
        selected,
        block_size=BLOCK,
        frame=evaluation_frame(tokenizer, "masked"),
        pad_id=1,
        masking=masking_of(tokenizer, MaskingConfig(unit=unit), "a model"),
        word_starts=open_word_starts(store, tokenizer),
    )


def masks(rows: ScoredRows, size: int) -> dict[tuple[int, int], tuple[bytes, bytes]]:
    """Return the inputs and labels of each row by its document and its place there."""
    found = {}
    seen: dict[int, int] = {}
    for start in range(0, len(rows.document), size):
        numbers = np.arange(start, min(start + size, len(rows.document)))
        batch = rows.batch(numbers)
        for at, number in enumerate(numbers):
            document, length = int(rows.document[number]), int(rows.length[number])
            seen[document] = seen.get(document, -1) + 1
            row = (part[at, :length].tobytes() for part in (batch.input_ids, batch.labels))
            found[document, seen[document]] = tuple(row)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("unit", UNITS)
def test_masks_are_byte_equal_in_any_batch_and_beside_any_others(
    masked_store: TokenStore, bpe_masked: Any, unit: MaskingUnit
) -> None:
    every = np.arange(masked_store.num_documents)
    first = masks(rows_of(masked_store, every, bpe_masked, unit), 64)
    for size in (1, 7, 64):
        assert masks(rows_of(masked_store, every, bpe_masked, unit), size) == first
    some = masks(rows_of(masked_store, every[::3], bpe_masked, unit), 7)
    assert some == {key: value for key, value in first.items() if key[0] % 3 == 0}
    labels = np.concatenate([np.frombuffer(value[1], np.int64) for value in first.values()])
    assert 0.1 < (labels != NO_TARGET).mean() < 0.2


@pytest.mark.parametrize("kind", ["roberta", "modernbert", "fnet"])
def test_nats_do_not_depend_on_the_batch(
    make_masked: Callable[..., Any], masked_store: TokenStore, bpe_masked: Any, kind: str
) -> None:
    model = make_masked(kind)
    module = StepModule(model, padding_isolation(model, "masked"))
    loaded = LoadedModel(model, bpe_masked, "a model", "masked")

    def score(size: int) -> DocumentScores:
        return score_part(
            module,
            loaded,
            Part(masked_store, np.arange(0, masked_store.num_documents, 4)),
            block_size=BLOCK,
            evaluation=EvaluationConfig(eval_batch_size=size),
            masking=MaskingConfig(),
            precision="fp32",
        ).scores

    first = score(64)
    assert first.targets.sum() > 400
    for size in (1, 7, 64):
        again = score(size)
        assert np.array_equal(again.targets, first.targets)
        assert np.array_equal(again.document, first.document)
        assert again.nats == pytest.approx(first.nats, rel=1e-6)
        assert again.nats.sum() == pytest.approx(first.nats.sum(), rel=1e-6)
    figures = summarize(first, "masked")
    assert figures.perplexity == pytest.approx(np.exp(first.nats.sum() / first.targets.sum()))
    assert np.isnan([figures.bits_per_byte, figures.word_perplexity, figures.byte_perplexity]).all()


@pytest.mark.parametrize("unit", UNITS)
def test_loader_workers_change_nothing(
    make_masked: Callable[..., Any], masked_store: TokenStore, bpe_masked: Any, unit: MaskingUnit
) -> None:
    """PyTorch's DataLoader over the packed blocks, with 0 and with 2 workers, twice in a row."""
    model = make_masked("roberta")
    masking = masking_of(bpe_masked, MaskingConfig(unit=unit), "a model")
    dataset = PackedDataset(
        Part(masked_store, np.arange(0, masked_store.num_documents, 2)),
        BlocksConfig(block_size=BLOCK),
        evaluation_frame(bpe_masked, "masked"),
        masking,
        word_starts=open_word_starts(masked_store, bpe_masked),
    )
    collator = Collator(model)

    def go_through(size: int, workers: int) -> tuple[list[bytes], float]:
        masked, nats = [], 0.0
        loader = DataLoader(dataset, size, collate_fn=collator, num_workers=workers)
        for batch in loader:
            labels = batch.pop("labels")
            with torch.no_grad():
                logits = model(**batch).logits
            losses = functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), reduction="none"
            )
            nats += float(losses.double().sum())
            for ids, row, here in zip(batch["input_ids"], labels, labels != NO_TARGET, strict=True):
                masked.append(ids[here].numpy().tobytes() + row[here].numpy().tobytes())
        return masked, nats

    first, nats = go_through(64, 0)
    for size, workers in ((64, 0), (1, 0), (7, 2), (64, 2)):
        again, total = go_through(size, workers)
        assert again == first
        assert total == pytest.approx(nats, rel=1e-6)
    dataset.set_epoch(1)
    other, _ = go_through(64, 0)
    assert other != first
    assert dataset.num_targets > 0


def test_packed_blocks_cost_what_documents_cost(
    make_masked: Callable[..., Any], masked_store: TokenStore, bpe_masked: Any
) -> None:
    """A batch of Collator's, in a plain call of the model, equals the step module's."""
    model = make_masked("modernbert")
    dataset = PackedDataset(
        Part(masked_store, np.arange(0, masked_store.num_documents, 2)),
        BlocksConfig(block_size=BLOCK),
        evaluation_frame(bpe_masked, "masked"),
        masking_of(bpe_masked, MaskingConfig(), "a model"),
    )
    rows = [dataset[number] for number in range(12)]
    batch = Collator(model)(rows)
    assert set(batch["attention_mask"]) == {"full_attention", "sliding_attention"}
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = model(**batch).logits
        theirs = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        made = dataset.batch(np.arange(12))
        isolation = probe_isolation(model, "masked")
        ours = StepModule(model, isolation)(*to_tensors(made, torch.device("cpu")))
    theirs = theirs[labels.flatten() != NO_TARGET]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_trainer_has_new_masks_in_every_epoch(
    make_masked: Callable[..., Any],
    masked_store: TokenStore,
    bpe_masked: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    dataset = PackedDataset(
        Part(masked_store, np.arange(8)),
        BlocksConfig(block_size=BLOCK),
        evaluation_frame(bpe_masked, "masked"),
        masking_of(bpe_masked, MaskingConfig(rate=0.5), "a model"),
    )
    model, seen = make_masked("bert"), []
    collator = Collator(model)

    def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
        seen.append(b"".join(row["labels"].numpy().tobytes() for row in rows))
        return collator(rows)

    arguments = TrainingArguments(
        str(tmp_path),
        num_train_epochs=3,
        per_device_train_batch_size=len(dataset),
        train_sampling_strategy="sequential",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    Trainer(model=model, args=arguments, train_dataset=dataset, data_collator=collate).train()
    assert len(seen) == len(set(seen)) == 3


def test_workers_that_live_on_hear_of_the_epoch(masked_store: TokenStore, bpe_masked: Any) -> None:
    dataset = PackedDataset(
        Part(masked_store, np.arange(8)),
        BlocksConfig(block_size=BLOCK),
        evaluation_frame(bpe_masked, "masked"),
        masking_of(bpe_masked, MaskingConfig(rate=0.5), "a model"),
    )
    loader = DataLoader(dataset, None, num_workers=1, persistent_workers=True)

    def go_through() -> bytes:
        return b"".join(row["labels"].numpy().tobytes() for row in loader)

    first = go_through()
    assert go_through() == first
    dataset.set_epoch(1)
    assert go_through() != first
    dataset.set_epoch(0)
    assert go_through() == first


def test_rows_that_would_teach_nothing_are_refused(make_masked: Callable[..., Any]) -> None:
    collator = Collator(make_masked("roberta"))
    ids = torch.arange(40)
    hidden = {"input_ids": ids, "labels": ids.where(ids % 3 == 0, NO_TARGET)}
    with pytest.raises(ModelError, match="remove_unused_columns=False"):
        collator([hidden])
    with pytest.raises(ModelError, match="would learn to copy"):
        collator([{**hidden, "position_ids": ids}] * 40)
    row = {**hidden, "input_ids": ids.where(ids % 3 != 0, 4), "position_ids": ids}
    assert collator([row])["attention_mask"].shape == (1, 1, 40, 40)
