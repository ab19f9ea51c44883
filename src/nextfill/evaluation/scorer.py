"""Scores of documents by a model: nats and counts first, every figure derived from those."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nextfill.config import EvaluationConfig, MaskingConfig, Precision
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.data.train_test_split import Part
from nextfill.evaluation.length_batches import read_rows
from nextfill.evaluation.rows import scored_rows
from nextfill.evaluation.scores import (
    DocumentScores,
    ScoredGroup,
    TokenScores,
    join_scores,
    join_tokens,
)
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import nats_and_hits
from nextfill.models.step import StepModule
from nextfill.objectives.scored_rows import ScoredRows

REPLACEMENT = "\ufffd"
"""What a decoder puts where the bytes of a character are incomplete."""

MOST_BYTES_OF_A_CHARACTER = 4
LOOK_AHEAD = 8
"""Tokens within which the text goes on after the first, or after its character."""


def without_first(
    scores: DocumentScores, store: TokenStore, decode: Callable[[Sequence[int]], str]
) -> DocumentScores:
    """Take the text of each document's first token out of the denominators."""
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


GROUP_ROWS = 4096
"""Rows of a group at least: enough that those of like length fill batches."""


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
) -> ScoredGroup:
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
    """
    rows = scored_rows(loaded, part, block_size=block_size, evaluation=evaluation, masking=masking)
    groups = list(
        score_groups(
            module,
            loaded,
            part.store,
            rows,
            evaluation=evaluation,
            precision=precision,
            on_progress=on_progress,
        )
    )
    return ScoredGroup(
        join_scores([group.scores for group in groups]),
        join_tokens([group.tokens for group in groups]),
    )


def score_groups(
    module: StepModule,
    loaded: LoadedModel,
    store: TokenStore,
    rows: ScoredRows,
    *,
    evaluation: EvaluationConfig,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[ScoredGroup]:
    """Score documents some at a time, in their order.

    Args:
        module: The step module around the model.
        loaded: The model and its tokenizer.
        store: The tokens.
        rows: The documents' rows, with the targets.
        evaluation: Rows per forward pass at most, fewer where their logits need much memory; and
            whether a start token was put before each document.
        precision: ``fp32`` for nats that do not depend on the batch size.
        on_progress: Told of rows scored, and of how many there are.
    """
    total = len(rows.document)
    frame = evaluation_frame(loaded.tokenizer, loaded.objective, start_token=evaluation.start_token)
    no_start = loaded.objective == "causal" and not frame.prefix
    for first, stop in _whole_documents(rows.document, GROUP_ROWS):
        group = rows.between(first, stop)

        def on_rows(done: int, _: int, before: int = first) -> None:
            on_progress(before + done, total)

        tokens = score_rows(
            module,
            group,
            batch_size=evaluation.eval_batch_size,
            device=loaded.device,
            precision=precision,
            on_progress=on_rows,
        )
        scores = _by_document(store, tokens)
        if no_start:
            scores = without_first(scores, store, loaded.tokenizer.decode)
        yield ScoredGroup(scores, tokens)


def score_rows(
    module: StepModule,
    rows: ScoredRows,
    *,
    batch_size: int,
    device: torch.device,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> TokenScores:
    """Score rows, those of like length together."""
    document, place, found = read_rows(
        module,
        rows,
        nats_and_hits,
        batch_size=batch_size,
        device=device,
        precision=precision,
        on_progress=on_progress,
    )
    nats, hits = found.reshape(-1, 2).T
    return TokenScores(document, place, nats, hits > 0)


def _whole_documents(document: NDArray[np.int64], size: int) -> Iterator[tuple[int, int]]:
    """Cut rows into groups of about a size, where one document ends and the next begins."""
    ends = np.append(np.flatnonzero(np.diff(document)) + 1, len(document))
    first = 0
    while first < len(document):
        at = int(np.searchsorted(ends, first + size))
        stop = int(ends[min(at, len(ends) - 1)])
        yield first, stop
        first = stop


def _by_document(store: TokenStore, tokens: TokenScores) -> DocumentScores:
    """Add up the targets of each document, in float64."""
    numbers, row = np.unique(tokens.document, return_inverse=True)
    most = len(numbers)
    nats = np.zeros(most)
    np.add.at(nats, row, tokens.nats)
    documents = store.documents[numbers]
    size, characters, words = (
        documents[unit].astype(np.int64) for unit in ("bytes", "characters", "words")
    )
    return DocumentScores(
        document=numbers,
        nats=nats,
        targets=np.bincount(row, minlength=most),
        bytes=size,
        characters=characters,
        words=words,
        correct=np.bincount(row[tokens.correct], minlength=most),
    )
