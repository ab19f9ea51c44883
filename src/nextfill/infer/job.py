"""Load what an evaluation needs, and run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import EvaluateConfig, PseudoMetric, Scope
from nextfill.data.parts import Part
from nextfill.data.prepare import Progress, prepare_data, prepare_part
from nextfill.data.tokens.cache import cache_dir
from nextfill.data.tokens.words import open_word_starts
from nextfill.errors import ConfigError, RunError
from nextfill.infer.documents import words_of, written_documents
from nextfill.infer.evaluate import join_scores, score_groups
from nextfill.infer.figures import Evaluation, summarize
from nextfill.infer.output import check_new_file
from nextfill.infer.rows import check_stride, scored_rows
from nextfill.models.compute import pick_device, pick_precision, tune_allocator
from nextfill.models.hiding import mask_id_of
from nextfill.models.isolation import padding_isolation
from nextfill.models.live import NOTHING_LIVE, Live
from nextfill.models.load import fitting_block_size, load_model
from nextfill.models.loaded import LoadedModel
from nextfill.models.step import StepModule
from nextfill.paths import user_path


def evaluate_model(
    config: EvaluateConfig,
    *,
    scope: Scope,
    on_progress: Progress,
    on_note: Callable[[str], None] = lambda text: None,
    live: Live = NOTHING_LIVE,
) -> Evaluation:
    """Score documents with a model.

    Args:
        config: The settings.
        scope: Which of the documents to score.
        on_progress: Told of each stage.
        on_note: Told what is scored.
        live: A model or tokenizer that the program holds already.

    Returns:
        The evaluation.
    """
    out = None if config.out is None else check_new_file(config.out)
    tune_allocator()
    device = pick_device(config.device, live.model)
    precision = pick_precision(config.precision, device)
    loaded = load_model(config.model, config.objective, live=live)
    block_size = fitting_block_size(config.blocks.block_size, loaded)
    metric = _check(config, loaded, block_size)
    part = _documents(config, scope, loaded, on_progress, on_note)
    loaded.model.to(device)
    rows = scored_rows(
        loaded,
        part,
        block_size=block_size,
        evaluation=config.evaluation,
        masking=config.masking,
        pseudo_metric=metric,
    )
    if metric is not None:
        on_note(f"hiding each of {len(rows.document):,} tokens in turn ({metric})")
    groups = score_groups(
        StepModule(loaded.model, padding_isolation(loaded.model, loaded.objective)),
        loaded,
        part.store,
        rows,
        batch_size=config.evaluation.eval_batch_size,
        precision=precision,
        on_progress=lambda done, total: on_progress("evaluating", done, total),
    )
    if out is not None:
        words = None if metric is None else _words(loaded, part)
        groups = written_documents(out, part.store, groups, words)
    scores = join_scores([group.scores for group in groups])
    if left_out := part.num_texts - len(scores.document):
        on_note(f"{left_out:,} documents have no token to score, and are in no figure")
    if out is not None:
        on_note(f"{len(scores.document):,} documents written into {out}")
    return summarize(scores, loaded.objective, metric)


def _documents(
    config: EvaluateConfig,
    scope: Scope,
    loaded: LoadedModel,
    on_progress: Progress,
    on_note: Callable[[str], None],
) -> Part:
    """Prepare the documents to score, and say so where a run has seen them or its own changed."""
    cache = cache_dir(config.cache_dir)
    if scope == "all":
        part = prepare_part(config.data, loaded.tokenizer, cache=cache, on_progress=on_progress)
    else:
        part = prepare_data(
            config.data, loaded.tokenizer, seed=config.seed, cache=cache, on_progress=on_progress
        ).held_out
    on_note(_what(config, scope))
    known = _known_content(config.model.name)
    same = part.store.meta["content_sha256"] in known
    if scope == "own" and known and not same:
        raise RunError(
            f"The data of {config.model.name} have changed since it was trained, so that what it "
            "trained on may now be held out. Bring the old data back, or name others with --data."
        )
    if scope == "all" and same:
        on_note(
            f"{config.model.name} was trained on most of these documents: the figures flatter it. "
            "Without --data, those that it held out are scored."
        )
    return part


def _check(config: EvaluateConfig, loaded: LoadedModel, block_size: int) -> PseudoMetric | None:
    """Refuse what the model cannot be asked for, before its data are prepared.

    Returns:
        How tokens are hidden one by one, if they are.
    """
    check_stride(config.evaluation.stride, block_size, loaded.objective)
    if not config.pseudo:
        return None
    if loaded.objective == "causal":
        raise ConfigError(
            [f"{loaded.name}: a causal model's log-likelihood is exact: leave --pseudo out."]
        )
    mask_id_of(loaded.tokenizer, loaded.name)
    return config.pseudo_metric


def _words(
    loaded: LoadedModel, part: Part
) -> Callable[[int, NDArray[np.float64]], list[dict[str, Any]]]:
    """Return what takes a document's tokens apart into words."""
    starts = open_word_starts(part.store, loaded.tokenizer)

    def decode(ids: Sequence[int]) -> str:
        return str(loaded.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    return words_of(part.store, starts, decode)


def _what(config: EvaluateConfig, scope: Scope) -> str:
    """Say which documents are scored."""
    model, data = config.model.name, config.data.name
    held_out = "the documents that it held out" if scope == "own" else "what is held out"
    split = ", ".join(dict.fromkeys(one.split for one in config.data.each if one.split))
    what = "all" if scope == "all" else held_out
    return f"scoring {model} on {what} of {data}{f' ({split})' if split else ''}"


def _known_content(model: str) -> list[str]:
    """Return the digests of the data that a run was trained on and held out; of no run, none."""
    ledger = user_path(model, "MODEL") / "ledger.json"
    if not ledger.is_file():
        return []
    return list(json.loads(ledger.read_text("utf-8"))["content_sha256"])
