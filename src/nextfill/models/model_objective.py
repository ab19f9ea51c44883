"""What a model was made for: to predict the next token, or to fill in the blank."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nextfill.config import Objective
from nextfill.core.errors import ModelError

AUTO_CLASSES = {"causal": "AutoModelForCausalLM", "masked": "AutoModelForMaskedLM"}
"""transformers' class that loads a model for an objective."""

_VERBS = {
    "causal": 'continues text: nextfill generate {name} "a text to continue"',
    "masked": 'fills blanks: nextfill fill {name} "a text with ___ in it"',
}


def auto_class(objective: Objective) -> Any:
    """Return transformers' class that loads or makes a model for an objective."""
    import transformers

    return getattr(transformers, AUTO_CLASSES[objective])


def model_types(objective: Objective) -> dict[str, tuple[str, ...]]:
    """Return the types of model there are for an objective, each with its classes' names."""
    from transformers.models.auto import modeling_auto

    names = {
        "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    }[objective]
    return {kind: (one,) if isinstance(one, str) else tuple(one) for kind, one in names.items()}


def own_objective(shape: Any) -> Objective | None:
    """Return what a model is for, as its config tells.

    Its type decides where there is only one sort of head for it. Else the class that it was saved
    as does, and where that says nothing, whether its attention looks back only: a BERT is masked
    unless its config makes a decoder of it. Of an encoder with a decoder we use the decoder alone,
    which is causal.
    """
    causal, masked = (model_types(objective).get(shape.model_type) for objective in _BOTH)
    if causal is None or masked is None:
        return "causal" if causal else "masked" if masked else None
    if getattr(shape, "is_encoder_decoder", False):
        return "causal"
    saved_as = set(getattr(shape, "architectures", None) or ())
    if saved_as & (set(causal) ^ set(masked)):
        return "causal" if saved_as & set(causal) else "masked"
    decoder = getattr(shape, "is_decoder", False) or getattr(shape, "causal", False)  # XLM's
    return "causal" if decoder else "masked"


def choose_objective(shape: Any, asked: Objective | None, name: str) -> Objective:
    """Return the objective to use a model with, refusing one that it was not made for."""
    own = own_objective(shape)
    if own is None:
        raise ModelError(
            f"{name} is a {shape.model_type}, which is neither a causal nor a masked language "
            "model: give a model that continues text or fills blanks."
        )
    if asked is not None and own != asked and not _serves_both(shape.model_type):
        raise ModelError(
            f"{name} is a {own} language model, not a {asked} one. It "
            f"{_VERBS[own].format(name=name)}"
        )
    return asked or own


def _serves_both(kind: str) -> bool:
    """Say whether one class of a type is both a causal and a masked model, as XLM's."""
    causal, masked = (model_types(objective).get(kind, ()) for objective in _BOTH)
    return bool(set(causal) & set(masked))


def live_objective(model: Any, asked: Objective | None, name: str) -> Objective:
    """Return the objective of a live model, which its own class tells."""
    kind = type(model).__name__
    of: list[Objective] = [
        objective for objective in _BOTH if kind in set(_flat(model_types(objective).values()))
    ]
    if len(of) == 1 and asked in (None, of[0]):
        return of[0]
    return choose_objective(model.config, asked, name)


def _flat(groups: Iterable[tuple[str, ...]]) -> Iterable[str]:
    return (one for group in groups for one in group)


_BOTH: tuple[Objective, Objective] = ("causal", "masked")
