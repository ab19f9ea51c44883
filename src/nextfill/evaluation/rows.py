"""Rows of documents for a model, and readings of their targets in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import EvaluationConfig, MaskingConfig, Objective, Precision, PseudoMetric
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.data.parts import Part
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.word_starts import open_word_starts
from nextfill.evaluation.batch_division import WHOLE, BatchDivision, Reading
from nextfill.evaluation.scores import NOTHING_TO_SCORE
from nextfill.models.architecture import embedding_rows
from nextfill.models.computation import autocast
from nextfill.models.inference.decoder_scores import DecoderScores
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import Read
from nextfill.models.step import StepModule, to_tensors
from nextfill.models.tokenizer import mask_id_of, masking_of
from nextfill.objectives.masked import word_starts_for
from nextfill.objectives.scored_rows import ScoredRows, causal_rows, masked_rows, pseudo_rows

MOST_LOGITS = 2**27
"""Logits of one forward pass: half a gigabyte in float32, whatever the batch size."""


def check_windows(evaluation: EvaluationConfig, block_size: int, objective: Objective) -> None:
    """Refuse settings of windows that an evaluation cannot have."""
    stride = evaluation.stride
    if not evaluation.start_token and objective == "masked":
        raise ConfigError(
            [
                "--no-start-token is for causal models: leave it out, a masked one has its own "
                "tokens around each text."
            ]
        )
    if stride is not None and objective == "masked":
        raise ConfigError(
            ["--stride slides a causal model's window: leave it out, this is masked."]
        )
    if stride is not None and stride > block_size:
        raise ConfigError([f"--stride {stride} is above the block size: give 1 to {block_size}."])


def scored_rows(
    loaded: LoadedModel,
    part: Part,
    *,
    block_size: int,
    evaluation: EvaluationConfig,
    masking: MaskingConfig,
    pseudo_metric: PseudoMetric | None = None,
) -> ScoredRows:
    """Make the rows of documents by a model's objective; a pseudo metric hides each token in turn.

    Rows have at most ``block_size`` positions.
    """
    store, tokenizer, documents = part.store, loaded.tokenizer, part.documents
    frame = evaluation_frame(tokenizer, loaded.objective, start_token=evaluation.start_token)
    common: dict[str, Any] = {"block_size": block_size, "frame": frame, "pad_id": loaded.pad_id}
    if loaded.objective == "causal":
        return causal_rows(store, documents, stride=evaluation.stride, **common)
    if pseudo_metric is not None:
        whole_words = pseudo_metric != "original"
        return pseudo_rows(
            store,
            documents,
            mask_id=mask_id_of(tokenizer, loaded.name),
            metric=pseudo_metric,
            word_starts=open_word_starts(store, tokenizer) if whole_words else None,
            **common,
        )
    hiding = masking_of(tokenizer, masking, loaded.name)
    return masked_rows(
        store,
        documents,
        masking=hiding,
        seed=evaluation.mask_seed,
        word_starts=word_starts_for(hiding, store, tokenizer),
        **common,
    )


def check_targets(rows: ScoredRows) -> None:
    """Refuse documents without a single target, by chance or because they are so short."""
    every = np.arange(len(rows.document))
    if not any(
        rows.batch(some).num_targets for some in np.array_split(every, len(every) // 64 + 1)
    ):
        raise DataError(NOTHING_TO_SCORE)


@torch.no_grad()
def read_rows(
    module: StepModule | DecoderScores,
    rows: ScoredRows,
    read: Read,
    *,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    division: BatchDivision = WHOLE,
) -> Reading:
    """Read something off the logits of every target, in batches of rows of like length.

    Several processes read some batches each, by their ``division``, and all get every reading.

    Returns:
        Of each target its document and its place there, ``[N] int64``, and the reading, ``[N, C]
        float32``, row by row.
    """
    total, done = len(rows.document), 0
    was_training = module.training
    module.eval()
    heads = rows.targets if module.gathers else rows.length
    most = MOST_LOGITS // embedding_rows(module.model)
    readings: list[Reading] = []
    batches = [*_batches_by_length(rows.length, heads, batch_size, most)]
    costs = [len(numbers) * int(rows.length[numbers[0]]) for numbers in batches]
    for numbers, is_own in zip(batches, division.takes(np.array(costs, np.int64)), strict=True):
        if is_own:
            batch = rows.batch(numbers)
            row, column = np.nonzero(batch.labels != NO_TARGET)
            if len(row):  # of a few masked words, by chance, perhaps none
                with autocast(device, precision):
                    reading = module(*to_tensors(batch, device), read).float().cpu().numpy()
                readings.append((numbers[row], rows.place[numbers[row]] + column, reading))
        done += len(numbers)  # the others are about as far
        on_progress(done, total)
    module.train(was_training)
    joined = division.join(readings)
    if not joined:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing.astype(np.float32)
    row, place, reading = (np.concatenate(part) for part in zip(*joined, strict=True))
    order = np.argsort(row, kind="stable")
    return rows.document[row[order]], place[order], reading[order]


def _batches_by_length(
    lengths: NDArray[np.int64], heads: NDArray[np.int64], batch_size: int, most_heads: int
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches, longest first, so that little is padded.

    Args:
        lengths: Positions of each row, ``[R] int64``.
        heads: Its positions at the model's head, ``[R] int64``; the longest row has the most.
        batch_size: Rows of a batch at most.
        most_heads: Positions of a batch at the head at most.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        fitting = most_heads // int(heads[order[start]])
        stop = start + max(1, min(batch_size, fitting))
        yield order[start:stop]
        start = stop
