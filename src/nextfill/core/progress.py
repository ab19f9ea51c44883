"""The protocol of observers of progress, and a silent observer."""

from __future__ import annotations

from typing import Any, Protocol

HELD_OUT = "held-out"
"""Name of the documents that are evaluated before and after training."""


class Observer(Protocol):
    """An observer of all events of a command, in order."""

    def on_stage(self, label: str, done: int, total: int) -> None:
        """A stage other than training is at ``done`` of a total (0 where unknown)."""

    def on_note(self, text: str) -> None:
        """A message for the user."""

    def on_start(self, step: int, num_steps: int) -> None:
        """Training begins at a step."""

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """One optimizer step was taken."""

    def on_evaluation(self, step: int, evaluation: Any, name: str) -> None:
        """A set of documents was evaluated: the held-out part, or another by its name."""

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """A text was generated from a prompt."""

    def on_end(self) -> None:
        """The last event, after success and after failure."""


class Silent:
    """An observer that shows nothing."""

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Show nothing."""

    def on_note(self, text: str) -> None:
        """Show nothing."""

    def on_start(self, step: int, num_steps: int) -> None:
        """Show nothing."""

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Show nothing."""

    def on_evaluation(self, step: int, evaluation: Any, name: str) -> None:
        """Show nothing."""

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Show nothing."""

    def on_end(self) -> None:
        """Show nothing."""
