"""Settings of trackers: programs of others that keep the curves of many runs.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from nextfill.config.options import Section, option
from nextfill.core.errors import nearest

TRACKERS = ("tensorboard", "trackio", "wandb", "mlflow")

WANTED_TRACKERS = f"Give some of {', '.join(TRACKERS)}, joined by commas"


@dataclass(frozen=True, kw_only=True, repr=False)
class TrackingConfig(Section):
    """Where a run's points are sent while it trains."""

    shorthand: ClassVar[str] = "to"

    to: str | None = option(
        None,
        "send the curves to tensorboard, trackio, wandb or mlflow; several are joined by commas",
        flag="--track",
        hint=WANTED_TRACKERS,
    )
    samples: bool = option(
        False, "send the texts of samples to the trackers, too", flag="--track-samples"
    )


def tracker_names(to: str | None) -> list[str]:
    """Return the names of trackers that are joined by commas, once each.

    Example:
        >>> tracker_names("mlflow, tensorboard,mlflow")
        ['mlflow', 'tensorboard']
    """
    return list(dict.fromkeys(name.strip() for name in (to or "").split(",") if name.strip()))


def tracker_problems(to: str | None, flag: str) -> Iterator[str]:
    """Yield a problem for each name that is no tracker."""
    if to is not None and not tracker_names(to):
        yield f"{flag}: found no name. {WANTED_TRACKERS}."
    for name in tracker_names(to):
        if name not in TRACKERS:
            hint = nearest(name, TRACKERS)
            yield f"{flag}: there is no tracker '{name}'.{hint} {WANTED_TRACKERS}."
