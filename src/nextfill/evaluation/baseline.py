"""The model that a run, or an adapter, was made from, which stands beside it in evaluations."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nextfill.config import EvaluateConfig, EvaluationConfig, ModelConfig, Scope, TrainConfig
from nextfill.config.layers import build
from nextfill.config.model_settings import LIVE
from nextfill.config.recipe_file import read_run_settings
from nextfill.core.manifest import is_changed
from nextfill.core.paths import user_path
from nextfill.core.version import VERSION
from nextfill.evaluation.score_files import read_scores, read_tokens, scores_file, tokens_file
from nextfill.evaluation.scores import DocumentScores, TokenScores
from nextfill.models.adapter_files import read_base
from nextfill.models.tokenizer import SCRATCH


def base_of_run(model: ModelConfig) -> ModelConfig | None:
    """Return the model that another was made from, where a folder of this machine tells."""
    path = user_path(model.name, "MODEL")
    recipe = path / "config.toml"
    if recipe.is_file():
        base = build(TrainConfig, [read_run_settings(path)]).model
        return None if base.name.startswith((SCRATCH, LIVE)) else base
    found = read_base(path) if path.is_dir() else None
    return None if found is None else ModelConfig(name=found[0], revision=found[1])


def baseline_evaluation(
    config: EvaluateConfig, scope: Scope
) -> tuple[DocumentScores, TokenScores | None] | None:
    """Return what a run measured before its first step, where that is what is asked for now."""
    if scope != "own" or config.pseudo or config.precision != "fp32":
        return None
    if config.model.tokenizer is not None:  # another than the run's, perhaps
        return None
    run = user_path(config.model.name, "MODEL")
    recorded = build(TrainConfig, [read_run_settings(run)])
    if _scored_by(config) != _scored_by(recorded) or not _same_versions(run):
        return None
    scores = tokens = None
    of_scores, of_tokens = (file(run / "evaluations", 0) for file in (scores_file, tokens_file))
    if not is_changed(run, of_scores.relative_to(run).as_posix()):
        scores = read_scores(of_scores)
    if not is_changed(run, of_tokens.relative_to(run).as_posix()):
        tokens = read_tokens(of_tokens)
    return None if scores is None or (config.show and tokens is None) else (scores, tokens)


def fits(before: DocumentScores, now: DocumentScores) -> bool:
    """Say whether what a run measured is over documents that are scored now, or more of them.

    They are not where somebody has changed the settings that the run wrote down.
    """
    its = before[np.isin(before.document, now.document)]
    columns = ((its.document, now.document), (its.targets, now.targets), (its.bytes, now.bytes))
    return all(np.array_equal(one, other) for one, other in columns)


def _scored_by(config: EvaluateConfig | TrainConfig) -> tuple[Any, ...]:
    """Return the settings on which a document's nats depend, whoever scores it.

    Left out are those that choose among the documents or group them, further sets, and the batch
    size, which changes nothing in fp32.
    """
    plain = EvaluationConfig()
    scoring = replace(
        config.evaluation,
        sets={},
        by=None,
        drop_leaks=plain.drop_leaks,
        eval_batch_size=plain.eval_batch_size,
    )
    return config.objective, config.blocks.block_size, config.masking, scoring


def _same_versions(run: Path) -> bool:
    """Say whether what computed a run's figures is what would compute them now."""
    try:
        recorded = json.loads((run / "measured.json").read_text("utf-8"))["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    now = {"nextfill": VERSION} | {name: version(name) for name in ("transformers", "tokenizers")}
    return all(recorded.get(name) == one for name, one in now.items())
