"""Compute with a model and leave it as it was.

Some models change as they compute: BigBird gives up its sparse attention at the first short text,
for good; Reformer fixes its number of buckets by the first text's length; RWKV divides its own
weights when it evaluates; RecurrentGemma keeps its state in its layers. After that a figure depends
on what was computed before it, and a saved model is not the one that was trained. So every probe
runs in `restored`, which puts back whatever changed, and remembers the models that need it, and
every other computation in `guarded`, which does the same for those alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakSet

from torch import nn

from nextfill.core.errors import ModelError
from nextfill.models.architecture import configs_of

_CHANGING: WeakSet[nn.Module] = WeakSet()
"""Models that were seen to change as they compute."""

_TABLES = ("_modules", "_parameters", "_buffers")
"""Attributes of a module that hold its parts by name."""


def _own(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what a module or a configuration says of itself.

    Names that begin with ``_`` are libraries' own: hooks, and the notes that they are there.
    """
    return {name: value for name, value in attributes.items() if not name.startswith("_")}


class _State:
    """Everything that hangs on a model's modules and configurations, by reference."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        for module in self._modules:  # perhaps computed with before, by others
            _undo_rescaling(module)
        self._tables = [
            (vars(module)[name], dict(vars(module)[name]))
            for module in self._modules
            for name in _TABLES
        ]
        owners = [*self._modules, *configs_of(model)]
        self._attributes = [(one, _own(vars(one))) for one in owners]
        self._versions = {name: p._version for name, p in model.named_parameters()}

    def put_back(self, model: nn.Module) -> bool:
        """Put back everything that changed, and say whether anything had."""
        rescaled = sum(map(_undo_rescaling, self._modules)) > 0  # each of them
        changed = [_reset(table, table, before) for table, before in self._tables]
        for owner, before in self._attributes:
            if isinstance(owner, nn.Module):
                before["training"] = owner.training  # of whoever called, and no trace
            changed.append(_reset(vars(owner), _own(vars(owner)), before))
        if not any(hasattr(module, "_rescale_layers") for module in self._modules):
            self._check_weights(model)
        return rescaled or any(changed)

    def _check_weights(self, model: nn.Module) -> None:
        written = [
            name for name, p in model.named_parameters() if p._version != self._versions.get(name)
        ]
        if written:
            raise ModelError(
                f"A {type(model).__name__} writes into its own weights as it computes "
                f"({', '.join(written[:3])}), so that its figures depend on what it computed "
                "before: it cannot be used here."
            )


def _reset(holder: dict[str, Any], now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Make a dict hold what it held before, the very objects, and say whether it did not."""
    if now.keys() == before.keys() and all(now[name] is before[name] for name in before):
        return False
    for name in now.keys() - before.keys():
        del holder[name]
    holder.update(before)
    return True


def _undo_rescaling(module: nn.Module) -> bool:
    """Give RWKV its weights back, which it divides by powers of two for an evaluation."""
    undo: Any = getattr(module, "_rescale_layers", None)
    if undo is None or not getattr(module, "layers_are_rescaled", False):
        return False
    was_training = module.training
    module.training = True
    undo()
    module.training = was_training
    return True


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Put back afterwards whatever a computation changed in a model, its mode apart."""
    state = _State(model)
    try:
        yield
    finally:
        if state.put_back(model):
            _CHANGING.add(model)


def guarded(model: nn.Module) -> AbstractContextManager[None]:
    """Return `restored` for a model that was seen to change, else a context that does nothing."""
    return restored(model) if model in _CHANGING else nullcontext()
