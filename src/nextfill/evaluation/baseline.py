"""The baseline of an evaluation: the model's base, and its recorded scores before training."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nextfill.config import EvaluateConfig, EvaluationConfig, ModelConfig, Scope, TrainConfig
from nextfill.config.layers import build
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.recipe_file import read_run_settings
from nextfill.core import VERSION
from nextfill.core.checksums import is_changed
from nextfill.core.paths import user_path
from nextfill.evaluation.scores import (
    DocumentScores,
    TokenScores,
    read_scores,
    read_tokens,
    scores_file,
    tokens_file,
)
from nextfill.models.adapters.lora import hold_as_in, hold_for
from nextfill.models.folder.location import read_base
from nextfill.models.loaded_model import LoadedModel


def base_of(model: ModelConfig) -> ModelConfig | None:
    """Return the base of a run's model or of an adapter's folder.

    Other models have none, nor has a run from random weights, from a live model, or from some
    layers of another.
    """
    path = user_path(model.name, "MODEL")
    recipe = path / "config.toml"
    if recipe.is_file():
        config = build(TrainConfig, [read_run_settings(path)])
        base, is_part = config.model, config.distillation.student_layers is not None
        return None if is_part or base.name.startswith((SCRATCH, LIVE)) else base
    place = read_base(path) if path.is_dir() else None
    return None if place is None else ModelConfig(name=place[0], revision=place[1])


def hold_like(base: LoadedModel, model: ModelConfig) -> LoadedModel:
    """Hold a base in 4 bits, in place, where that of a run or of an adapter's folder was."""
    path = user_path(model.name, "MODEL")
    if not (path / "config.toml").is_file():
        return hold_as_in(base, path, model.name)
    lora = build(TrainConfig, [read_run_settings(path)]).lora
    return base if lora.quantization == "none" else hold_for(base, lora)


def recorded_baseline(
    config: EvaluateConfig, scope: Scope
) -> tuple[DocumentScores, TokenScores | None] | None:
    """Return a run's scores before its first step, if this evaluation would measure the same.

    Those of tokens may be missing unless the evaluation shows texts.
    """
    if scope != "own" or config.pseudo or config.precision != "fp32":
        return None
    if config.model.tokenizer is not None:  # another than the run's, perhaps
        return None
    run = user_path(config.model.name, "MODEL")
    recorded = build(TrainConfig, [read_run_settings(run)])
    if recorded.new_tokens.wanted:  # those are of other tokens than its base's
        return None
    same_attention = config.model.attn_implementation == recorded.model.attn_implementation
    if not same_attention or _scoring(config) != _scoring(recorded) or not _same_versions(run):
        return None
    scores = tokens = None
    of_scores, of_tokens = (file(run / "evaluations", 0) for file in (scores_file, tokens_file))
    if not is_changed(run, of_scores.relative_to(run).as_posix()):
        scores = read_scores(of_scores)
    if not is_changed(run, of_tokens.relative_to(run).as_posix()):
        tokens = read_tokens(of_tokens)
    return None if scores is None or (config.show and tokens is None) else (scores, tokens)


def covers(before: DocumentScores, now: DocumentScores) -> bool:
    """Return whether recorded scores include all documents of now, with the same sizes.

    They do not if somebody has changed the settings in the run.
    """
    shared = before[np.isin(before.document, now.document)]
    columns = (
        (shared.document, now.document),
        (shared.targets, now.targets),
        (shared.bytes, now.bytes),
    )
    return all(np.array_equal(one, other) for one, other in columns)


def _scoring(config: EvaluateConfig | TrainConfig) -> tuple[Any, ...]:
    """Return the settings that a document's nats depend on, with any model.

    Those that choose or group documents, further sets, and the batch size, which changes nothing in
    fp32, have their defaults.
    """
    defaults = EvaluationConfig()
    evaluation = replace(
        config.evaluation,
        sets={},
        by=None,
        drop_leaks=defaults.drop_leaks,
        eval_batch_size=defaults.eval_batch_size,
    )
    return config.objective, config.blocks.block_size, config.masking, evaluation


def _same_versions(run: Path) -> bool:
    """Return whether the software has the versions that a run recorded."""
    try:
        recorded = json.loads((run / "measured.json").read_text("utf-8"))["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    now = {"nextfill": VERSION} | {name: version(name) for name in ("transformers", "tokenizers")}
    return all(recorded.get(name) == one for name, one in now.items())
