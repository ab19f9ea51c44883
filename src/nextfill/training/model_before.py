"""Figures of a model as it is before a run makes another of it: without new tokens, or whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nextfill.config import DEFAULT_BLOCK_SIZE, TrainConfig
from nextfill.core.progress import Observer, Silent
from nextfill.data.parts import Part
from nextfill.evaluation.figures import CONTEXT
from nextfill.evaluation.metrics import summarize_part
from nextfill.evaluation.scorer import score_part
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule


def figures_before(
    config: TrainConfig, loaded: LoadedModel, part: Part, observer: Observer, label: str
) -> Mapping[str, Any]:
    """Return the figures of the model as it is on some documents, as an event has them."""
    block_size = config.blocks.block_size or DEFAULT_BLOCK_SIZE
    isolation = padding_isolation(loaded.model, loaded.objective, longest=block_size)
    scored = score_part(
        StepModule(loaded.model, isolation),
        loaded,
        part,
        block_size=block_size,
        evaluation=config.evaluation,
        masking=config.masking,
        precision="fp32",
        on_progress=lambda done, total: observer.on_stage(label, done, total),
    )
    evaluation = summarize_part(scored.scores, part.store, by=None, objective=loaded.objective)
    return {key: value for key, value in evaluation.to_json().items() if key not in CONTEXT}


class StagesAlone(Silent):
    """An observer of stages alone: the notes on the data come when they are read as they stay."""

    def __init__(self, observer: Observer) -> None:
        self.on_stage = observer.on_stage  # type: ignore[method-assign]
