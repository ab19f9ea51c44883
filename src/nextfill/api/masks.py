"""The refusal of settings of masks that were typed for a causal model."""

from __future__ import annotations

from collections.abc import Sequence

from nextfill.config import EvaluateConfig, ModelConfig, Objective
from nextfill.config.options import Assignment
from nextfill.config.problems.training_problems import mask_problems
from nextfill.config.resolve import refuse
from nextfill.config.settings.model_settings import Live
from nextfill.config.shorthands import normal_form


def refuse_masks(
    root: type,
    layer: Sequence[Assignment],
    model: ModelConfig,
    objective: Objective | None,
    live: Live,
) -> None:
    """Refuse the settings of masks in a layer where the model is causal, also their defaults.

    Args:
        root: The class of the command's settings.
        layer: The settings that were typed.
        model: The settings of the model.
        objective: The objective that was asked for, if one was.
        live: A model that the program holds already.
    """
    typed = normal_form(root, layer)
    if [*mask_problems(None, typed)]:  # only then is the model looked at
        from nextfill.models.objective import objective_of

        was_named = any(item.path == ("model", "name") for item in typed)
        # A run that is evaluated has its objective, which nobody asked for.
        asked = objective is not None and any(item.path == ("objective",) for item in typed)
        asked = asked or (objective is not None and root is not EvaluateConfig)
        named = model.name if was_named and not asked else ""
        refuse(mask_problems(objective_of(model, objective, live), typed, named))
