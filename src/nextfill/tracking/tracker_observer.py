"""An observer whose training is followed by trackers, from its first step to its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nextfill.config import TrackingConfig
from nextfill.config.settings.tracking_settings import tracker_names
from nextfill.core.progress import Observer
from nextfill.runs.directory import RunDirectory
from nextfill.tracking.follower import Follower


class TrackerObserver(Observer):
    """Passes everything on to another observer.

    Args:
        observer: The other one, which is also told where the points are.
        config: The trackers.
        on_failure: Is told once of each tracker that fails.
    """

    def __init__(
        self, observer: Observer, config: TrackingConfig, on_failure: Callable[[str], None]
    ) -> None:
        self._observer, self._config, self._on_failure = observer, config, on_failure
        self._run: RunDirectory | None = None
        self._follower: Follower | None = None

    def on_directory(self, path: Path) -> None:
        """The run's directory is known."""
        self._run = RunDirectory(path)

    def on_start(self, step: int, num_steps: int) -> None:
        """Begin to follow the events, which are cut back to the checkpoint by now."""
        self._observer.on_start(step, num_steps)
        names = tracker_names(self._config.to)
        if names and self._run is not None:
            self._follower = Follower(
                self._run,
                names,
                samples=self._config.samples,
                on_note=self._observer.on_note,
                on_failure=self._on_failure,
            )

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Pass it on, and note trackers that failed."""
        self._observer.on_step(event, timing)
        if self._follower is not None:
            self._follower.note_failures()

    def on_end(self) -> None:
        """Have the rest sent."""
        if self._follower is not None:
            self._follower.end()
        self._observer.on_end()

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Pass it on."""
        self._observer.on_stage(label, done, total)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self._observer.on_note(text)

    def on_evaluation(self, step: int, evaluation: Any, name: str) -> None:
        """Pass it on."""
        self._observer.on_evaluation(step, evaluation, name)

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Pass it on."""
        self._observer.on_sample(step, prompt, text)
