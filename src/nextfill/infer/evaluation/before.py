"""The model that a run, or an adapter, was made from, which stands beside it in evaluations."""

from __future__ import annotations

from dataclasses import replace

from nextfill.config import EvaluateConfig, ModelConfig, Scope, TrainConfig
from nextfill.infer.evaluation.kept import read_scores, read_tokens, scores_file, tokens_file
from nextfill.infer.evaluation.scores import DocumentScores, TokenScores
from nextfill.models.adapters import base_of
from nextfill.models.live import LIVE
from nextfill.models.tokenizer import SCRATCH
from nextfill.paths import user_path
from nextfill.recipe import build, read_recipe


def base_of_run(model: ModelConfig) -> ModelConfig | None:
    """Return the model that another was made from, where a folder of this machine tells.

    Args:
        model: A run directory, an adapter's folder, or any other model.

    Returns:
        Its settings; None where none is known, and for random weights, which say nothing.
    """
    path = user_path(model.name, "MODEL")
    recipe = path / "config.toml"
    if recipe.is_file():
        base = build(TrainConfig, [read_recipe(recipe)]).model
        return None if base.name.startswith((SCRATCH, LIVE)) else base
    found = base_of(path) if path.is_dir() else None
    return None if found is None else ModelConfig(name=found[0], revision=found[1])


def measured_before(
    config: EvaluateConfig, scope: Scope
) -> tuple[DocumentScores, TokenScores | None] | None:
    """Return what a run measured before its first step, where that is what is asked for now.

    Args:
        config: The settings of this evaluation.
        scope: Which documents it is over.

    Returns:
        What each document cost, and each token where that was kept.
    """
    if scope != "own" or config.pseudo or config.precision != "fp32":
        return None
    if config.model != ModelConfig(name=config.model.name):  # another tokenizer, perhaps
        return None
    run = user_path(config.model.name, "MODEL")
    recorded = build(TrainConfig, [read_recipe(run / "config.toml")])
    plain = replace(
        recorded.evaluation,
        sets={},
        by=config.evaluation.by,
        eval_batch_size=config.evaluation.eval_batch_size,
    )
    asked = (config.blocks, config.masking, config.evaluation, config.data, config.seed)
    known = (recorded.blocks, recorded.masking, plain, recorded.data, recorded.seed)
    if asked != known or config.objective != recorded.objective:
        return None
    scores = read_scores(scores_file(run / "evaluations", 0))
    tokens = read_tokens(tokens_file(run / "evaluations", 0))
    return None if scores is None or (config.show and tokens is None) else (scores, tokens)
