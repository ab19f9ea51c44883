"""Load what an evaluation needs, and run it."""

from __future__ import annotations

import json

from nextfill.config import EvaluateConfig, Scope
from nextfill.data.parts import Part
from nextfill.data.prepare import Progress, prepare_data, prepare_part
from nextfill.data.tokens.cache import cache_dir
from nextfill.errors import RunError
from nextfill.infer.evaluate import score_part
from nextfill.infer.figures import Evaluation, summarize
from nextfill.models.compute import pick_device, pick_precision, tune_allocator
from nextfill.models.live import NOTHING_LIVE, Live
from nextfill.models.load import fitting_block_size, load_model
from nextfill.models.step import StepModule
from nextfill.paths import user_path


def evaluate_model(
    config: EvaluateConfig, *, scope: Scope, on_progress: Progress, live: Live = NOTHING_LIVE
) -> Evaluation:
    """Score documents with a model.

    Args:
        config: The settings.
        scope: Which of the documents to score.
        on_progress: Told of each stage.
        live: A model or tokenizer that the program holds already.

    Returns:
        The evaluation.
    """
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    loaded = load_model(config.model, live=live)
    block_size = fitting_block_size(config.blocks.block_size, loaded)
    cache = cache_dir(config.cache_dir)
    if scope == "all":
        part = prepare_part(config.data, loaded.tokenizer, cache=cache, on_progress=on_progress)
    else:
        part = prepare_data(
            config.data, loaded.tokenizer, seed=config.seed, cache=cache, on_progress=on_progress
        ).held_out
    if scope == "own":
        _check_same_data(config.model.name, part)
    loaded.model.to(device)
    scores = score_part(
        StepModule(loaded.model, "pad"),  # windows hold one document each
        loaded,
        part,
        block_size=block_size,
        evaluation=config.evaluation,
        precision=precision,
        on_progress=lambda done, total: on_progress("evaluating", done, total),
    )
    return summarize(scores)


def _check_same_data(model: str, part: Part) -> None:
    """Refuse to score other documents than those that a run, scored on its own data, held out."""
    ledger = user_path(model, "MODEL") / "ledger.json"
    if not ledger.is_file():
        return
    known = json.loads(ledger.read_text("utf-8"))["content_sha256"]
    if part.store.meta["content_sha256"] not in known:
        raise RunError(
            f"The data of {model} have changed since it was trained, so that what it trained on "
            "may now be held out. Bring the old data back, or name others with --data."
        )
