"""The trackers by name, and the check that their libraries are here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from nextfill.config.settings.tracking_settings import TRACKERS
from nextfill.core.errors import missing_library
from nextfill.runs.directory import RunDirectory
from nextfill.tracking.store import Store

_STORES = {
    "tensorboard": ("tensorboard", "TensorBoardStore"),
    "trackio": ("trackio", "TrackioStore"),
    "wandb": ("wandb", "WandbStore"),
    "mlflow": ("mlflow", "MlflowStore"),
}
"""The module to import, and the class of the store in `nextfill.tracking`."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers whose library is not here, before anything begins."""
    missing = [name for name in names if find_spec(_STORES[name][0]) is None]
    if missing:
        extras = ",".join(missing)
        raise missing_library(f"--track {extras}", extras)


def make_store(name: str, run: RunDirectory) -> Store:
    """Return the store of a tracker for a run."""
    module, kind = f"nextfill.tracking.{name}_store", _STORES[name][1]
    store: Store = getattr(import_module(module), kind)(run)
    return store


__all__ = ["TRACKERS", "check_trackers", "make_store"]
