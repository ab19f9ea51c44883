"""The load-balancing loss of a mixture of experts, which transformers adds to a training loss.

A config that says ``output_router_logits`` asks for it: the model's forward then answers with an
``aux_loss`` over the whole batch, and transformers adds it to the loss times the config's
coefficient. Here it is taken from the same forward, so that it is the model's own, with its own
numbers of experts. It leaves padding out by a mask ``[B, T]``, which the layers must not see where
packed documents are kept apart by other means: a hook gives them what they have without it.

Outside of training it is nobody's concern and in the way (a mask of another shape makes it fail,
and so does generating with a cache), so that it is switched off there, as far as the config goes.

Source: Fedus et al. 2021, Switch Transformers, equations (4) to (6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from nextfill.models.architecture import bodies, configs_of

SWITCH = "output_router_logits"
_COEFFICIENTS = ("router_aux_loss_coef", "aux_loss_coef")


def asks_for_router(configs: Sequence[Any]) -> bool:
    """Say whether a model's configs ask for the logits of its router, and so for their loss."""
    return any(getattr(one, SWITCH, False) for one in configs)


@contextmanager
def router_off(configs: Sequence[Any]) -> Iterator[None]:
    """Have a model compute no loss of its router, and leave its configs as they were found."""
    asking = [(one, getattr(one, SWITCH)) for one in configs if getattr(one, SWITCH, False)]
    try:
        for one, _ in asking:
            setattr(one, SWITCH, False)
        yield
    finally:
        for one, before in asking:
            setattr(one, SWITCH, before)


@contextmanager
def mask_for_router(
    model: nn.Module, inputs: dict[str, Any], document_ids: Tensor
) -> Iterator[dict[str, Any]]:
    """Tell a model's router what is padding, and its layers what they are told without it.

    Args:
        model: The model.
        inputs: The arguments of its forward.
        document_ids: ``[B, T] int64``, -1 on padding.

    Yields:
        The arguments to give it instead.
    """
    layers, theirs = bodies(model), inputs.get("attention_mask")
    if not layers:  # nothing stands between the router's loss and the layers
        yield inputs
        return

    def restore(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return args, {**kwargs, "attention_mask": theirs}

    hook = layers[0].register_forward_pre_hook(restore, with_kwargs=True)
    try:
        yield {**inputs, "attention_mask": (document_ids >= 0).long()}
    finally:
        hook.remove()


def coefficient(model: nn.Module) -> float | None:
    """Return what a model multiplies its router's loss by, or None where nothing tells."""
    for owner in (model, *configs_of(model)):
        for name in _COEFFICIENTS:
            value = getattr(owner, name, None)
            if isinstance(value, int | float):
                return float(value)
    return None
