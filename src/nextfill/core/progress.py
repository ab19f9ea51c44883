"""Progress as it is reported: one protocol for whoever shows it, and one that shows nothing."""

from __future__ import annotations

from typing import Any, Protocol

HELD_OUT = "held-out"
"""Names the documents that the figures before and after are over."""


class Observer(Protocol):
    """Told of everything that happens, in order."""

    def on_stage(self, label: str, done: int, total: int) -> None:
        """A stage other than training has done so much of a total (0 where unknown)."""

    def on_note(self, text: str) -> None:
        """Something the user should know."""

    def on_start(self, step: int, num_steps: int) -> None:
        """Training begins at a step."""

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """One optimizer step was taken."""

    def on_evaluation(self, step: int, evaluation: Any, name: str) -> None:
        """A set of documents was scored: the held-out part, or another by its name."""

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """A text was continued."""

    def on_end(self) -> None:
        """Nothing more will be told, whether all went well or not."""


class Silent:
    """An observer that says nothing."""

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Say nothing."""

    def on_note(self, text: str) -> None:
        """Say nothing."""

    def on_start(self, step: int, num_steps: int) -> None:
        """Say nothing."""

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Say nothing."""

    def on_evaluation(self, step: int, evaluation: Any, name: str) -> None:
        """Say nothing."""

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Say nothing."""

    def on_end(self) -> None:
        """Say nothing."""
