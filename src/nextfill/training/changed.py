"""Where a run changed the model: held-out documents token by token, before beside after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextfill.data.parts import Part
from nextfill.infer.evaluation.chosen import choose_documents
from nextfill.infer.evaluation.kept import read_scores, read_tokens, scores_file, tokens_file
from nextfill.infer.evaluation.rows import scored_rows
from nextfill.infer.evaluation.surprisal import ReadText
from nextfill.infer.evaluation.tokenwise import read_texts
from nextfill.training.run import RunDirectory, write_json

if TYPE_CHECKING:
    from nextfill.training.ready import Ready

TEXTS = 6
"""Documents that are shown: three that gained most, three that lost most or gained least."""

TOKENS = 300
"""Tokens that are shown of each."""

ALTERNATIVES = 5


def write_changed(ready: Ready, run: RunDirectory, kept: int) -> None:
    """Write the held-out documents that changed most, as the model stands now.

    Args:
        ready: The job, with the weights that are kept.
        run: Its directory, with the evaluations before the first step and at ``kept``.
        kept: The step that these weights are of.
    """
    before, after = (read_scores(scores_file(run.evaluations, step)) for step in (0, kept))
    tokens = read_tokens(tokens_file(run.evaluations, 0))
    if before is None or after is None or tokens is None:
        return
    chosen = choose_documents(after, before, TEXTS)
    store = ready.prepared.held_out.store
    numbers = sorted(chosen)
    rows = scored_rows(
        ready.loaded,
        Part(store, np.array(numbers, np.int64)),
        block_size=ready.plan.block_size,
        evaluation=ready.config.evaluation,
        masking=ready.config.masking,
    )
    lengths = store.documents["tokens"]
    texts = read_texts(
        ready.module,
        ready.loaded,
        store,
        rows,
        numbers,
        alternatives=ALTERNATIVES,
        most_tokens=TOKENS,
        batch_size=ready.config.evaluation.eval_batch_size,
        precision="fp32",
        other_nats=[tokens.spread(number, int(lengths[number])) for number in numbers],
    )
    by_number: dict[int, ReadText] = dict(zip(numbers, texts, strict=True))
    shown = [replace(by_number[number], why=why).to_json() for number, why in chosen.items()]
    write_json(run.texts, {"step": kept, "texts": shown})
