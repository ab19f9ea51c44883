"""A model that is in place, with the documents in its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nextfill.config import EvaluateConfig, Precision
from nextfill.data.parts import Part
from nextfill.infer.evaluation.scores import TokenScores
from nextfill.infer.evaluation.surprisal import ReadText
from nextfill.infer.evaluation.tokenwise import read_texts
from nextfill.models.loaded import LoadedModel
from nextfill.models.step import StepModule
from nextfill.objectives.scored import ScoredRows


@dataclass(frozen=True)
class PlacedModel:
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
        """Read some of the documents token by token.

        Args:
            documents: Their numbers, ascending.
            config: How much is told of each.
            other: What each token costs another model.
        """
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
