"""Score documents with a model: nats and counts first, every figure derived from those.

Each document is scored alone. A causal model predicts it from its first token (whose context is the
start token) to its last, in windows of at most ``block_size`` positions; a masked one fills blanks
that stay where they are. Rows of like length are batched together, which changes the time and not
the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import EvaluationConfig, MaskingConfig, Precision
from nextfill.data.frames import evaluation_frame
from nextfill.data.packing.loader import NO_TARGET
from nextfill.data.parts import Part
from nextfill.data.tokens.store import TokenStore
from nextfill.data.tokens.words import open_word_starts
from nextfill.errors import DataError
from nextfill.infer.figures import DocumentScores
from nextfill.models.compute import autocast
from nextfill.models.hiding import masking_of
from nextfill.models.loaded import LoadedModel
from nextfill.models.shape import embedding_rows
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.scored import ScoredRows, causal_rows, masked_rows

MOST_LOGITS = 2**27
"""Logits of one forward pass: half a gigabyte in float32, whatever the batch size asked for."""

REPLACEMENT = "\ufffd"
"""What a decoder puts where the bytes of a character are incomplete."""

MOST_BYTES_OF_A_CHARACTER = 4
LOOK_AHEAD = 8
"""Tokens within which the text goes on after the first, or after its character."""


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
    """Score the documents of a part as the settings say; see `score_documents`.

    Args:
        module: The step module around the model.
        loaded: The model and its tokenizer.
        part: The documents.
        block_size: Positions of a row at most.
        evaluation: Stride and batch size.
        masking: What a masked model has to fill in.
        precision: ``fp32`` for nats that do not depend on the batch size.
        on_progress: Told of rows scored, and of how many there are.
    """
    frame = evaluation_frame(loaded.tokenizer, loaded.objective)
    if loaded.objective == "masked":
        hiding = masking_of(loaded.tokenizer, masking, loaded.name)
        starts = None if hiding.unit == "token" else open_word_starts(part.store, loaded.tokenizer)
        rows = masked_rows(
            part.store,
            part.documents,
            block_size=block_size,
            frame=frame,
            pad_id=loaded.pad_id,
            masking=hiding,
            seed=evaluation.mask_seed,
            word_starts=starts,
        )
    else:
        stride = evaluation.stride or block_size
        rows = causal_rows(
            part.store,
            part.documents,
            block_size=block_size,
            stride=stride,
            frame=frame,
            pad_id=loaded.pad_id,
        )
    scores = score_documents(
        module,
        part.store,
        part.documents,
        rows,
        batch_size=evaluation.eval_batch_size,
        device=loaded.device,
        precision=precision,
        on_progress=on_progress,
    )
    if loaded.objective == "causal" and not frame.prefix:
        return without_first(scores, part.store, loaded.tokenizer.decode)
    return scores


@torch.no_grad()
def score_documents(
    module: StepModule,
    store: TokenStore,
    selected: NDArray[np.int64],
    rows: ScoredRows,
    *,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DocumentScores:
    """Score documents of a store.

    Args:
        module: The step module around the model.
        store: The tokens.
        selected: Documents to score, ``[D] int64``; those without a target are left out.
        rows: Their rows, with the targets.
        batch_size: Rows per forward pass at most; fewer where their logits need much memory.
        device: Where to compute.
        precision: ``fp32`` for nats that do not depend on the batch size.
        on_progress: Told of rows scored, and of how many there are.

    Returns:
        The scores, one entry per document with at least one target.

    Raises:
        DataError: If there is nothing to score.
    """
    per_row, counts = score_rows(
        module,
        rows,
        batch_size=batch_size,
        device=device,
        precision=precision,
        on_progress=on_progress,
    )
    nats = np.zeros(store.num_documents, dtype=np.float64)
    targets = np.zeros(store.num_documents, dtype=np.int64)
    np.add.at(nats, rows.document, per_row)
    np.add.at(targets, rows.document, counts)
    kept = selected[targets[selected] > 0]
    if len(kept) == 0:
        raise DataError("The held-out documents have no token to score: hold out longer texts.")
    units = ("bytes", "characters", "words")
    size, characters, words = (store.documents[unit][kept].astype(np.int64) for unit in units)
    return DocumentScores(kept, nats[kept], targets[kept], size, characters, words)


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
    vocabulary = embedding_rows(module.model)
    for numbers in _batches_by_length(rows.length, batch_size, MOST_LOGITS // vocabulary):
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


def without_first(
    scores: DocumentScores, store: TokenStore, decode: Callable[[Sequence[int]], str]
) -> DocumentScores:
    """Take the text of each document's first token out of the denominators.

    Args:
        scores: Of documents whose first token has no context, and so is not scored.
        store: Their tokens.
        decode: Turns ids into text, to measure that token.
    """
    unscored = [_size_of_first(store.tokens(int(number)), decode) for number in scores.document]
    size, characters, words = np.array(unscored, np.int64).reshape(-1, 3).T
    return replace(
        scores,
        bytes=scores.bytes - size,
        characters=scores.characters - characters,
        words=scores.words - words,
    )


def _size_of_first(
    ids: NDArray[np.unsignedinteger], decode: Callable[[Sequence[int]], str]
) -> tuple[int, int, int]:
    """Measure what a document's first token stands for, in bytes, characters and words.

    A character of several tokens leaves whole with the first of them; a word that the second token
    goes on with is kept.
    """
    most = min(len(ids), MOST_BYTES_OF_A_CHARACTER)
    pieces = (decode(ids[:count].tolist()) for count in range(1, most + 1))
    first = next((piece for piece in pieces if REPLACEMENT not in piece), None)
    if first is None:  # the text itself holds that character, or the vocabulary lacks the first
        first = decode(ids[:1].tolist())
    rest = decode(ids[:LOOK_AHEAD].tolist())[len(first) :]
    goes_on = bool(first and rest) and not first[-1].isspace() and not rest[0].isspace()
    return len(first.encode()), len(first), len(first.split()) - goes_on


def _batches_by_length(
    lengths: NDArray[np.int64], batch_size: int, most_positions: int
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches, longest first, so that little is padded."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        fitting = most_positions // int(lengths[order[start]])
        stop = start + max(1, min(batch_size, fitting))
        yield order[start:stop]
        start = stop
