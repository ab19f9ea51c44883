"""A scorer: a model and documents in its tokens, scored some whole documents at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import EvaluateConfig, EvaluationConfig, MaskingConfig, Precision, PseudoMetric
from nextfill.core.amounts import amount, part_of
from nextfill.core.errors import ModelError
from nextfill.core.progress import Progress
from nextfill.data.parts import Part
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.tokenizer_backend import fingerprint_of
from nextfill.data.store.word_starts import open_word_starts
from nextfill.evaluation.batch_division import WHOLE, BatchDivision
from nextfill.evaluation.document_file import SplitWords, word_splitter, write_documents
from nextfill.evaluation.rows import read_rows, scored_rows
from nextfill.evaluation.scores import (
    DocumentScores,
    ScoredGroup,
    ScoredModel,
    TokenScores,
    join_scores,
    join_tokens,
    sum_by_document,
    without_first,
)
from nextfill.evaluation.token_view import ScoredText, read_texts
from nextfill.models.computation import in_mode
from nextfill.models.inference.decoder_layouts import read_decoder
from nextfill.models.inference.decoder_scores import DecoderScores
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import nats_and_hits
from nextfill.models.step import StepModule
from nextfill.objectives.scored_rows import ScoredRows

GROUP_ROWS = 4096
"""Rows of a group at least: enough that those of like length fill batches."""


@dataclass(frozen=True)
class Scorer:
    """A model on its device and the documents in its tokens, with the settings of scoring.

    ``block_size`` fits into the model's positions; ``pseudo_metric`` is None unless each token is
    hidden in turn.
    """

    config: EvaluateConfig
    loaded: LoadedModel
    part: Part
    module: StepModule
    block_size: int
    precision: Precision
    pseudo_metric: PseudoMetric | None
    on_progress: Progress
    on_note: Callable[[str], None]
    division: BatchDivision = WHOLE

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that the figures depend on, as an `Evaluation` has them."""
        settings: dict[str, Any] = {"data": self.config.data.name, "block_size": self.block_size}
        if self.loaded.objective == "causal":
            evaluation = self.config.evaluation
            settings |= {"stride": evaluation.stride, "start_token": evaluation.start_token}
        if self.part.store.contexts is not None:
            counts = self.part.store.meta["counts"]
            settings |= {name: counts[name] for name in ("text_field", "context_field")}
        return settings

    def score(self, out: Path | None = None, *, keep_tokens: bool = False) -> ScoredModel:
        """Score all documents, each also written into a new file if there is one."""
        loaded, store, metric = self.loaded, self.part.store, self.pseudo_metric
        rows = self._rows(self.part)
        if metric is not None:
            self.on_note(
                f"hiding one token after another, {amount(len(rows.document), 'token')} ({metric})"
            )
        groups = score_groups(
            scoring_module(self.module, loaded, self.precision),
            loaded,
            store,
            rows,
            evaluation=self.config.evaluation,
            precision=self.precision,
            on_progress=lambda done, total: self.on_progress("evaluating", done, total),
            division=self.division,
        )
        if out is not None:
            groups = write_documents(out, store, groups, self._word_splitter())
        scores, tokens = [], []
        for group in groups:
            scores.append(group.scores)
            if keep_tokens:
                tokens.append(group.tokens)
        joined = join_scores(scores)
        self._check_finite(joined)
        if left_out := self.left_out(joined):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
            self.on_note(f"in no figure, as nothing of them can be scored: {reasons}")
        if out is not None:
            self.on_note(f"{amount(len(joined.document), 'document')} written into {out}")
        return ScoredModel(
            name=loaded.name,
            objective=loaded.objective,
            tokenizer=fingerprint_of(loaded.tokenizer),
            scores=joined,
            pseudo_metric=metric,
            tokens=join_tokens(tokens) if tokens else None,
        )

    def left_out(self, scores: DocumentScores) -> dict[str, int]:
        """Count the records and documents in no figure by reason; skipped ones of both parts."""
        part = self.part
        counts = {
            **part.store.meta["counts"]["skipped"],
            "empty": len(part.documents) - part.num_texts,
            "without a token to score": part.num_texts - len(scores.document),
        }
        return {reason.replace("_", " "): int(count) for reason, count in counts.items() if count}

    def read(self, documents: Sequence[int], other: TokenScores | None) -> list[ScoredText]:
        """Read some documents, in ascending order, token by token, beside another model's nats."""
        store, config = self.part.store, self.config
        lengths = store.documents["tokens"]
        nats = None
        if other is not None:
            nats = [other.spread(one, int(lengths[one])) for one in documents]
        return read_texts(
            self.module,
            self.loaded,
            store,
            self._rows(Part(store, np.array(documents, np.int64))),
            documents,
            alternatives=config.alternatives,
            most_tokens=config.show_tokens,
            batch_size=config.evaluation.eval_batch_size,
            precision=self.precision,
            other_nats=nats,
        )

    def _rows(self, part: Part) -> ScoredRows:
        return scored_rows(
            self.loaded,
            part,
            block_size=self.block_size,
            evaluation=self.config.evaluation,
            masking=self.config.masking,
            pseudo_metric=self.pseudo_metric,
        )

    def _word_splitter(self) -> SplitWords | None:
        """Return the function that splits documents into words, where every token is scored."""
        if self.pseudo_metric is None:
            return None
        tokenizer, store = self.loaded.tokenizer, self.part.store

        def decode(ids: Sequence[int]) -> str:
            return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

        return word_splitter(store, open_word_starts(store, tokenizer), decode)

    def _check_finite(self, scores: DocumentScores) -> None:
        """Refuse a model without finite probabilities; other figures would be of less text."""
        broken = ~np.isfinite(scores.nats)
        if broken.any():
            record = self.part.store.documents["record"][scores.document[broken][0]]
            raise ModelError(
                f"{self.loaded.name} gives no finite probability for "
                f"{part_of(int(broken.sum()), len(scores.nats), 'document')}, first for record "
                f"{record}: its weights are "
                "damaged, or training diverged; take an earlier checkpoint, or another model."
            )


def scoring_module(
    module: StepModule, loaded: LoadedModel, precision: Precision
) -> StepModule | DecoderScores:
    """Return what scores a model soonest: a causal one in float32 in parts, where they are known.

    The same for a training and afterwards, so that both have the same figures to the last bit.
    """
    if loaded.objective != "causal" or precision != "fp32":
        return module
    with in_mode(loaded.model, training=False):
        parts = read_decoder(loaded.model, "laid out")
    return module if parts is None else DecoderScores(loaded.model, parts)


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
    """Score the documents of a part; in ``fp32`` nats do not depend on the batch size."""
    groups = part_groups(
        *(module, loaded, part),
        block_size=block_size,
        evaluation=evaluation,
        masking=masking,
        precision=precision,
        on_progress=on_progress,
    )
    return join_groups(groups)


def part_groups(
    module: StepModule,
    loaded: LoadedModel,
    part: Part,
    *,
    block_size: int,
    evaluation: EvaluationConfig,
    masking: MaskingConfig,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ScoredGroup]:
    """Score the documents of a part, some of which may have no target, or all."""
    rows = scored_rows(loaded, part, block_size=block_size, evaluation=evaluation, masking=masking)
    return list(
        score_groups(
            scoring_module(module, loaded, precision),
            loaded,
            part.store,
            rows,
            evaluation=evaluation,
            precision=precision,
            on_progress=on_progress,
        )
    )


def join_groups(groups: Sequence[ScoredGroup]) -> ScoredGroup:
    """Join the scores of groups of documents, refusing those without a single target."""
    return ScoredGroup(
        join_scores([group.scores for group in groups]),
        join_tokens([group.tokens for group in groups]),
    )


def score_groups(
    module: StepModule | DecoderScores,
    loaded: LoadedModel,
    store: TokenStore,
    rows: ScoredRows,
    *,
    evaluation: EvaluationConfig,
    precision: Precision,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    division: BatchDivision = WHOLE,
) -> Iterator[ScoredGroup]:
    """Yield the scores of documents some at a time, in their order.

    ``on_progress`` receives the number of rows scored, and of all.
    """
    total = len(rows.document)
    frame = evaluation_frame(loaded.tokenizer, loaded.objective, start_token=evaluation.start_token)
    no_start = loaded.objective == "causal" and not frame.prefix
    for first, stop in _whole_documents(rows.document, GROUP_ROWS):

        def on_rows(done: int, _: int, before: int = first) -> None:
            on_progress(before + done, total)

        document, place, reading = read_rows(
            module,
            rows.between(first, stop),
            nats_and_hits,
            batch_size=evaluation.eval_batch_size,
            device=loaded.device,
            precision=precision,
            on_progress=on_rows,
            division=division,
        )
        nats, hits = reading.reshape(-1, 2).T
        tokens = TokenScores(document, place, nats, hits > 0)
        scores = sum_by_document(store, tokens)
        if no_start:
            scores = without_first(scores, store, loaded.tokenizer.decode)
        yield ScoredGroup(scores, tokens)


def _whole_documents(document: NDArray[np.int64], size: int) -> Iterator[tuple[int, int]]:
    """Cut rows into groups of about a size, between one document and the next."""
    ends = np.append(np.flatnonzero(np.diff(document)) + 1, len(document))
    first = 0
    while first < len(document):
        at = int(np.searchsorted(ends, first + size))
        stop = int(ends[min(at, len(ends) - 1)])
        yield first, stop
        first = stop
