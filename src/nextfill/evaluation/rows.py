"""Which rows a model is given of the documents that it is scored on."""

from __future__ import annotations

import numpy as np

from nextfill.config import EvaluationConfig, MaskingConfig, Objective, PseudoMetric
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.word_starts import open_word_starts
from nextfill.data.train_test_split import Part
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.tokenizer import mask_id_of, masking_of
from nextfill.objectives.scored_rows import ScoredRows, causal_rows, masked_rows, pseudo_rows

NOTHING_TO_SCORE = (
    "The documents have no token to score: give more text, or longer; to a masked model also a "
    "higher --mask-rate, or another --mask-seed."
)


def check_windows(evaluation: EvaluationConfig, block_size: int, objective: Objective) -> None:
    """Refuse windows that an evaluation cannot have."""
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


def check_targets(rows: ScoredRows) -> None:
    """Refuse documents of which nothing is to be scored, by chance or because they are so short."""
    every = np.arange(len(rows.document))
    if not any(
        rows.batch(some).num_targets for some in np.array_split(every, len(every) // 64 + 1)
    ):
        raise DataError(NOTHING_TO_SCORE)


def scored_rows(
    loaded: LoadedModel,
    part: Part,
    *,
    block_size: int,
    evaluation: EvaluationConfig,
    masking: MaskingConfig,
    pseudo_metric: PseudoMetric | None = None,
) -> ScoredRows:
    """Make the rows that a model is given of some documents."""
    store, tokenizer = part.store, loaded.tokenizer
    frame = evaluation_frame(tokenizer, loaded.objective, start_token=evaluation.start_token)
    if loaded.objective == "causal":
        return causal_rows(
            store,
            part.documents,
            block_size=block_size,
            stride=evaluation.stride,
            frame=frame,
            pad_id=loaded.pad_id,
        )
    if pseudo_metric is not None:
        return pseudo_rows(
            store,
            part.documents,
            block_size=block_size,
            frame=frame,
            pad_id=loaded.pad_id,
            mask_id=mask_id_of(tokenizer, loaded.name),
            metric=pseudo_metric,
            word_starts=(
                None if pseudo_metric == "original" else open_word_starts(store, tokenizer)
            ),
        )
    hiding = masking_of(tokenizer, masking, loaded.name)
    return masked_rows(
        store,
        part.documents,
        block_size=block_size,
        frame=frame,
        pad_id=loaded.pad_id,
        masking=hiding,
        seed=evaluation.mask_seed,
        word_starts=None if hiding.unit == "token" else open_word_starts(store, tokenizer),
    )
