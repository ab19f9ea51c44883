"""Score documents with a model: nats and counts first, every figure derived from those.

Each document is scored alone. A causal model predicts it from its first token (whose context is the
start token) to its last, in windows of at most ``block_size`` positions; a masked one fills blanks
that stay where they are, or each token once. Rows of like length are batched together, which
changes the time and not the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import EvaluationConfig, MaskingConfig, Precision
from nextfill.data.frames import evaluation_frame
from nextfill.data.packing.loader import NO_TARGET
from nextfill.data.parts import Part
from nextfill.data.tokens.store import TokenStore
from nextfill.errors import DataError
from nextfill.infer.figures import DocumentScores
from nextfill.infer.rows import NOTHING_TO_SCORE, scored_rows
from nextfill.infer.unscored import without_first
from nextfill.models.compute import autocast
from nextfill.models.loaded import LoadedModel
from nextfill.models.shape import embedding_rows
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.scored import ScoredRows

MOST_LOGITS = 2**27
"""Logits of one forward pass: half a gigabyte in float32, whatever the batch size asked for."""

GROUP_ROWS = 4096
"""Rows of a group at least: enough that those of like length fill batches."""


@dataclass(frozen=True)
class ScoredGroup:
    """Some documents that were scored, whole.

    Args:
        scores: What each of them cost, if it had a target.
        row_document: Number of each row's document in the store, ascending, ``[R] int64``.
        row_nats: What each row cost, ``[R] float64``; in a pseudo-log-likelihood a row is a token.
    """

    scores: DocumentScores
    row_document: NDArray[np.int64]
    row_nats: NDArray[np.float64]


def score_part(
    module: StepModule,
    loaded: LoadedModel,
    part: Part,
    *,
    block_size: int,
    evaluation: EvaluationConfig,
    masking: MaskingConfig,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DocumentScores:
    """Score the documents of a part as the settings say.

    Args:
        module: The step module around the model.
        loaded: The model and its tokenizer.
        part: The documents.
        block_size: Positions of a row at most.
        evaluation: Stride and batch size.
        masking: What a masked model has to fill in.
        precision: ``fp32`` for nats that do not depend on the batch size.
        on_progress: Told of rows scored, and of how many there are.

    Returns:
        The scores, one entry per document with at least one target.

    Raises:
        DataError: If there is nothing to score.
    """
    rows = scored_rows(loaded, part, block_size=block_size, evaluation=evaluation, masking=masking)
    groups = score_groups(
        module,
        loaded,
        part.store,
        rows,
        batch_size=evaluation.eval_batch_size,
        precision=precision,
        on_progress=on_progress,
    )
    return join_scores([group.scores for group in groups])


def score_groups(
    module: StepModule,
    loaded: LoadedModel,
    store: TokenStore,
    rows: ScoredRows,
    *,
    batch_size: int,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[ScoredGroup]:
    """Score documents some at a time, in their order.

    Args:
        module: The step module around the model.
        loaded: The model and its tokenizer.
        store: The tokens.
        rows: The documents' rows, with the targets.
        batch_size: Rows per forward pass at most; fewer where their logits need much memory.
        precision: ``fp32`` for nats that do not depend on the batch size.
        on_progress: Told of rows scored, and of how many there are.

    Yields:
        The documents that are done; those without a target are among their rows alone.
    """
    total = len(rows.document)
    no_start = loaded.objective == "causal" and not evaluation_frame(loaded.tokenizer).prefix
    for first, stop in _whole_documents(rows.document, GROUP_ROWS):
        group = rows.between(first, stop)

        def on_rows(done: int, _: int, before: int = first) -> None:
            on_progress(before + done, total)

        nats, targets = score_rows(
            module,
            group,
            batch_size=batch_size,
            device=loaded.device,
            precision=precision,
            on_progress=on_rows,
        )
        scores = _by_document(store, group.document, nats, targets)
        if no_start:
            scores = without_first(scores, store, loaded.tokenizer.decode)
        yield ScoredGroup(scores, group.document, nats)


def join_scores(parts: Sequence[DocumentScores]) -> DocumentScores:
    """Return the scores of several groups of documents as one.

    Raises:
        DataError: If there are none.
    """
    if not any(len(part.document) for part in parts):
        raise DataError(NOTHING_TO_SCORE)
    names = [field.name for field in fields(DocumentScores)]
    return DocumentScores(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _whole_documents(document: NDArray[np.int64], size: int) -> Iterator[tuple[int, int]]:
    """Cut rows into groups of about a size, where one document ends and the next begins."""
    ends = np.append(np.flatnonzero(np.diff(document)) + 1, len(document))
    first = 0
    while first < len(document):
        at = int(np.searchsorted(ends, first + size))
        stop = int(ends[min(at, len(ends) - 1)])
        yield first, stop
        first = stop


def _by_document(
    store: TokenStore,
    document: NDArray[np.int64],
    nats: NDArray[np.float64],
    targets: NDArray[np.int64],
) -> DocumentScores:
    """Add up the rows of each document; all arrays are ``[R]``."""
    numbers, row = np.unique(document, return_inverse=True)
    summed, counts = np.zeros(len(numbers)), np.zeros(len(numbers), np.int64)
    np.add.at(summed, row, nats)
    np.add.at(counts, row, targets)
    scored = counts > 0
    kept = numbers[scored]
    units = ("bytes", "characters", "words")
    size, characters, words = (store.documents[unit][kept].astype(np.int64) for unit in units)
    return DocumentScores(kept, summed[scored], counts[scored], size, characters, words)


@torch.no_grad()
def score_rows(
    module: StepModule,
    rows: ScoredRows,
    *,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score rows, those of like length together.

    Args:
        module: The step module around the model.
        rows: The rows.
        batch_size: Rows per forward pass at most.
        device: Where to compute.
        precision: ``fp32`` or ``bf16``.
        on_progress: Told of rows scored, and of how many there are.

    Returns:
        Nats, ``[R] float64``, and targets, ``[R] int64``, of each row.
    """
    total = len(rows.document)
    nats, targets = np.zeros(total, dtype=np.float64), np.zeros(total, dtype=np.int64)
    was_training = module.training
    module.eval()
    done = 0
    most = MOST_LOGITS // embedding_rows(module.model)
    heads = rows.targets if module.gathers else rows.length
    for numbers in _batches_by_length(rows.length, heads, batch_size, most):
        batch = rows.batch(numbers)
        counts = (batch.labels != NO_TARGET).sum(axis=1)
        if counts.any():  # of a few masked words, by chance, perhaps none
            with autocast(device, precision):
                scored = module(*to_tensors(batch, device)).float().cpu().double().numpy()
            row = np.repeat(np.arange(len(numbers)), counts)
            nats[numbers] = np.bincount(row, weights=scored, minlength=len(numbers))
            targets[numbers] = counts
        done += len(numbers)
        on_progress(done, total)
    module.train(was_training)
    return nats, targets


def _batches_by_length(
    lengths: NDArray[np.int64], heads: NDArray[np.int64], batch_size: int, most_heads: int
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches, longest first, so that little is padded.

    Args:
        lengths: Positions of each row, ``[R] int64``.
        heads: Positions that the head is applied to; the most of them in the longest row.
        batch_size: Rows of a batch at most.
        most_heads: Such positions of a batch at most.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        fitting = most_heads // int(heads[order[start]])
        stop = start + max(1, min(batch_size, fitting))
        yield order[start:stop]
        start = stop
