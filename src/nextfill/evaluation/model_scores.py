"""The scores of an evaluation's documents by one model after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import EvaluateConfig, ModelConfig, Objective, Precision, PseudoMetric
from nextfill.config.model_settings import LIVE, NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError, ModelError
from nextfill.data.parts import Part
from nextfill.data.preparation import Progress
from nextfill.data.store.encoder import fingerprint_of
from nextfill.data.store.word_starts import open_word_starts
from nextfill.evaluation.comparison import ScoredModel
from nextfill.evaluation.document_file import words_of, written_documents
from nextfill.evaluation.documents import EvaluatedDocuments
from nextfill.evaluation.read_text import ReadText
from nextfill.evaluation.rows import check_windows, scored_rows
from nextfill.evaluation.scorer import score_groups
from nextfill.evaluation.scores import DocumentScores, TokenScores, join_scores, join_tokens
from nextfill.evaluation.token_view import read_texts
from nextfill.models.device import pick_device, pick_precision, tune_allocator
from nextfill.models.isolation import padding_isolation
from nextfill.models.load import fitting_block_size, load_model
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.mask_token import mask_id_of
from nextfill.models.step import StepModule, row_problem
from nextfill.objectives.scored_rows import ScoredRows


@dataclass(frozen=True)
class ModelWithDocuments:
    """A model that is loaded, with the documents in its tokens.

    Args:
        loaded: The model and its tokenizer.
        part: The documents.
        module: The step module around the model.
        rows: Makes the rows that it is given of some documents.
        precision: ``fp32`` or ``bf16``.
        batch_size: Rows per forward pass at most.
        settings: What the figures depend on: ``data``, ``block_size``; of a causal model also
            ``stride`` and ``start_token``.
    """

    loaded: LoadedModel
    part: Part
    module: StepModule
    rows: Callable[[Part], ScoredRows]
    precision: Precision
    batch_size: int
    settings: Mapping[str, Any]

    def read(
        self, documents: Sequence[int], config: EvaluateConfig, other: TokenScores | None
    ) -> list[ReadText]:
        """Read some of the documents token by token."""
        store = self.part.store
        rows = self.rows(Part(store, np.array(documents, np.int64)))
        lengths = store.documents["tokens"]
        nats = None
        if other is not None:
            nats = [other.spread(one, int(lengths[one])) for one in documents]
        return read_texts(
            self.module,
            self.loaded,
            store,
            rows,
            documents,
            alternatives=config.alternatives,
            most_tokens=config.show_tokens,
            batch_size=self.batch_size,
            precision=self.precision,
            other_nats=nats,
        )


@dataclass(frozen=True)
class Scoring:
    """What a model made of the documents.

    Args:
        placed: The model.
        scored: What each document cost.
        tokens: What each token cost, if that was to be kept.
        left_out: What of the data is in no figure, counted by reason.
    """

    placed: ModelWithDocuments
    scored: ScoredModel
    tokens: TokenScores | None
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class ScoringJob:
    """What is the same for every model that is scored.

    Args:
        config: The settings, with the first model.
        documents: Finds the documents to score.
        on_progress: Told of each stage.
        on_note: Told what is scored.
    """

    config: EvaluateConfig
    documents: EvaluatedDocuments
    on_progress: Progress
    on_note: Callable[[str], None]

    def score(
        self, loaded: LoadedModel, out: Path | None = None, *, keep_tokens: bool = False
    ) -> Scoring:
        """Score the documents with a model."""
        config = self.config
        for note in loaded.notes:
            self.on_note(note)
        placed = self._place(loaded)
        part, metric = placed.part, self._metric(loaded)
        rows = placed.rows(part)
        if metric is not None:
            self.on_note(f"hiding each of {len(rows.document):,} tokens in turn ({metric})")
        groups = score_groups(
            placed.module,
            loaded,
            part.store,
            rows,
            evaluation=config.evaluation,
            precision=placed.precision,
            on_progress=lambda done, total: self.on_progress("evaluating", done, total),
        )
        if out is not None:
            words = None if metric is None else _words(loaded, part)
            groups = written_documents(out, part.store, groups, words)
        scores, tokens = [], []
        for group in groups:
            scores.append(group.scores)
            if keep_tokens:
                tokens.append(group.tokens)
        joined = join_scores(scores)
        _check_finite(joined, part, loaded.name)
        left_out = _left_out(part, joined)
        if left_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
            self.on_note(f"in no figure, as nothing of them can be scored: {reasons}")
        if out is not None:
            self.on_note(f"{len(joined.document):,} documents written into {out}")
        name, objective, tokenizer = described(loaded)
        return Scoring(
            placed,
            ScoredModel(name, objective, tokenizer, joined, metric),
            join_tokens(tokens) if tokens else None,
            left_out,
        )

    def _place(self, loaded: LoadedModel) -> ModelWithDocuments:
        """Check the settings against a model, find the documents, and put the model in place."""
        config, evaluation = self.config, self.config.evaluation
        tune_allocator()
        device = pick_device(config.device, loaded.model if loaded.name.startswith(LIVE) else None)
        block_size = fitting_block_size(config.blocks.block_size, loaded)
        check_windows(evaluation, block_size, loaded.objective)
        metric = self._metric(loaded)
        part = self.documents.of(loaded)
        loaded.model.to(device)

        def rows_of(some: Part) -> ScoredRows:
            return scored_rows(
                loaded,
                some,
                block_size=block_size,
                evaluation=evaluation,
                masking=config.masking,
                pseudo_metric=metric,
            )

        precision = pick_precision(config.precision, device)
        isolation = padding_isolation(loaded.model, loaded.objective, longest=block_size)
        module = StepModule(loaded.model, isolation)
        problem = row_problem(module, precision, block_size)
        if problem is not None:
            raise ModelError(
                f"{loaded.name} cannot score a row of {block_size} tokens in {precision}: "
                f"{problem}. Give another --block-size or --precision, or another model."
            )
        settings: dict[str, Any] = {"data": config.data.name, "block_size": block_size}
        if loaded.objective == "causal":
            settings |= {"stride": evaluation.stride, "start_token": evaluation.start_token}
        return ModelWithDocuments(
            loaded=loaded,
            part=part,
            module=module,
            rows=rows_of,
            precision=precision,
            batch_size=evaluation.eval_batch_size,
            settings=settings,
        )

    def _metric(self, loaded: LoadedModel) -> PseudoMetric | None:
        """Return how tokens are hidden one by one, if they are; refuse it of a causal model."""
        if not self.config.pseudo:
            return None
        if loaded.objective == "causal":
            raise ConfigError(
                [f"{loaded.name}: a causal model's log-likelihood is exact: leave --pseudo out."]
            )
        mask_id_of(loaded.tokenizer, loaded.name)
        return self.config.pseudo_metric

    def score_base(self, base: ModelConfig) -> tuple[ScoredModel, TokenScores | None] | None:
        """Score the documents with the model that another was made from, if it can be had."""
        try:
            return self.score_and_leave(base, NOTHING_LIVE, keep_tokens=self.config.show > 0)
        except ModelError as error:
            self.on_note(f"the model it was made from is not beside it (--no-base): {error}")
            return None

    def score_and_leave(
        self, model: ModelConfig, live: Live, *, keep_tokens: bool
    ) -> tuple[ScoredModel, TokenScores | None]:
        """Load a model and score the documents with it; it is not kept in memory."""
        scoring = self.score(
            load_model(model, self.config.objective, live=live), keep_tokens=keep_tokens
        )
        return scoring.scored, scoring.tokens


def described(loaded: LoadedModel) -> tuple[str, Objective, str]:
    """Return a model's name, what it is for, and its tokenizer's fingerprint."""
    return loaded.name, loaded.objective, fingerprint_of(loaded.tokenizer)


def _check_finite(scores: DocumentScores, part: Part, name: str) -> None:
    """Refuse a model that gives no probability; a figure of the others would be of other text."""
    broken = ~np.isfinite(scores.nats)
    if broken.any():
        record = part.store.documents["record"][scores.document[broken][0]]
        raise ModelError(
            f"{name} gives no finite probability for {int(broken.sum()):,} of "
            f"{len(scores.nats):,} documents, first for record {record}: its weights are damaged, "
            "or training diverged; take an earlier checkpoint, or another model."
        )


def _left_out(part: Part, scores: DocumentScores) -> dict[str, int]:
    """Return what of the data is in no figure, by reason; skipped ones of both parts."""
    found = {
        **part.store.meta["counts"]["skipped"],
        "empty": len(part.documents) - part.num_texts,
        "without a token to score": part.num_texts - len(scores.document),
    }
    return {reason.replace("_", " "): int(count) for reason, count in found.items() if count}


def _words(
    loaded: LoadedModel, part: Part
) -> Callable[[int, NDArray[np.float64]], list[dict[str, Any]]]:
    """Return what takes a document's tokens apart into words."""
    starts = open_word_starts(part.store, loaded.tokenizer)

    def decode(ids: Sequence[int]) -> str:
        return str(loaded.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    return words_of(part.store, starts, decode)
