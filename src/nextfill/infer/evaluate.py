"""Score documents with a causal model: nats and counts first, every figure derived from those.

Each document is scored alone, from its first token (whose context is the start token) to its last,
in windows of at most ``block_size`` positions. Windows of like length are batched together, which
changes the time and not the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import EvaluationConfig, Precision
from nextfill.data.frames import evaluation_frame
from nextfill.data.packing.loader import NO_TARGET, read_windows
from nextfill.data.packing.plan import Frame
from nextfill.data.packing.windows import WindowPlan, plan_windows
from nextfill.data.parts import Part
from nextfill.data.tokens.store import TokenStore
from nextfill.errors import DataError
from nextfill.infer.figures import DocumentScores
from nextfill.models.compute import autocast
from nextfill.models.loaded import LoadedModel
from nextfill.models.shape import embedding_rows
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.causal import causal

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
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DocumentScores:
    """Score the documents of a part as the settings say; see `score_documents`."""
    return score_documents(
        module,
        part.store,
        part.documents,
        frame=evaluation_frame(loaded.tokenizer),
        block_size=block_size,
        stride=evaluation.stride,
        batch_size=evaluation.eval_batch_size,
        device=loaded.device,
        precision=precision,
        pad_id=loaded.pad_id,
        decode=loaded.tokenizer.decode,
        on_progress=on_progress,
    )


@torch.no_grad()
def score_documents(
    module: StepModule,
    store: TokenStore,
    selected: NDArray[np.int64],
    *,
    frame: Frame,
    block_size: int,
    stride: int | None,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    pad_id: int,
    decode: Callable[[Sequence[int]], str],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DocumentScores:
    """Score documents of a store.

    Args:
        module: The step module around the model.
        store: The tokens.
        selected: Documents to score, ``[D] int64``; those without tokens are left out.
        frame: Ids around each document; without a prefix the first token has no context, is not
            scored, and its text leaves the denominators.
        block_size: Positions of a window at most.
        stride: New targets per further window of a long document; None for ``block_size``.
        batch_size: Windows per forward pass at most; fewer where their logits need much memory.
        device: Where to compute.
        precision: ``fp32`` for nats that do not depend on the batch size.
        pad_id: Fills short rows; never a target.
        decode: Turns ids into text, to measure a first token that is not scored.
        on_progress: Told of targets scored, and of how many there are.

    Returns:
        The scores, one entry per document with at least one target.

    Raises:
        DataError: If there is nothing to score.
    """
    plan = plan_windows(
        store, selected, block_size=block_size, stride=stride or block_size, frame=frame
    )
    if plan.num_targets == 0:
        raise DataError("The held-out documents have no token to score: hold out longer texts.")
    nats = np.zeros(store.num_documents, dtype=np.float64)
    targets = np.zeros(store.num_documents, dtype=np.int64)
    was_training = module.training
    module.eval()
    done = 0
    vocabulary = embedding_rows(module.model)
    for numbers in _batches_by_length(plan, batch_size, MOST_LOGITS // vocabulary):
        batch = causal(read_windows(store, plan, numbers, pad_id=pad_id))
        counts = (batch.labels != NO_TARGET).sum(axis=1)
        with autocast(device, precision):
            scored = module(*to_tensors(batch, device)).float().cpu().double().numpy()
        row = np.repeat(np.arange(len(numbers)), counts)
        per_row = np.bincount(row, weights=scored, minlength=len(numbers))
        np.add.at(nats, plan.document[numbers], per_row)
        np.add.at(targets, plan.document[numbers], counts)
        done += int(counts.sum())
        on_progress(done, plan.num_targets)
    module.train(was_training)
    kept = selected[targets[selected] > 0]
    units = ("bytes", "characters", "words")
    sizes = np.stack([store.documents[unit][kept].astype(np.int64) for unit in units], axis=1)
    if not frame.prefix:
        unscored = [_size_of_first(store.tokens(int(number)), decode) for number in kept]
        sizes -= np.array(unscored, np.int64).reshape(sizes.shape)
    return DocumentScores(kept, nats[kept], targets[kept], *sizes.T)


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
    plan: WindowPlan, batch_size: int, most_positions: int
) -> Iterator[NDArray[np.int64]]:
    """Yield window numbers in batches, longest first, so that little is padded."""
    order = np.argsort(-plan.length, kind="stable")
    start = 0
    while start < len(order):
        fitting = most_positions // int(plan.length[order[start]])
        stop = start + max(1, min(batch_size, fitting))
        yield order[start:stop]
        start = stop
