"""The protocol of observers of progress, and a silent observer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Progress = Callable[[str, int, int], None]
"""Called with a stage in words, what is done of it, and all there is to do, 0 where that is
unknown: `Observer.on_stage`."""

HELD_OUT = "held-out"
"""Name of the documents that are evaluated before and after training."""


class Observer(Protocol):
    """An observer of a call's progress, as ``observer=`` takes it.

    Nothing else shows progress then. Any object with some of these methods will do: those that it
    lacks are left out. A subclass has them all, which type checkers want. They are called in order,
    from the thread of the call, which waits for them. An exception of theirs ends the call as any
    other would: a run of `train` then goes on from its last checkpoint, with ``resume=True``.

    Example:
        >>> import nextfill
        >>> class Losses(nextfill.Observer):
        ...     def __init__(self):
        ...         self.losses = []
        ...     def on_step(self, event, timing):
        ...         self.losses.append(event["loss"])
        >>> observer = Losses()
        >>> observer.on_step({"step": 1, "loss": 2.5}, {})
        >>> observer.losses
        [2.5]
    """

    def on_stage(self, label: str, done: int, total: int) -> None:
        """A stage other than training is at ``done`` of a total.

        Args:
            label: The stage, in words, such as ``reading notes.txt``.
            done: What is done: documents, or bytes of text where there is no total.
            total: All there is to do; 0 where it is not known.
        """
        return None

    def on_note(self, text: str) -> None:
        """A message for the user."""
        return None

    def on_start(self, step: int, num_steps: int) -> None:
        """Training begins at a step, 0 or that of a checkpoint, of so many."""
        return None

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """One optimizer step was taken.

        Args:
            event: A line of the run's ``events.jsonl``: ``step``, ``epoch``, ``loss`` in nats per
                target, ``learning_rate``, ``grad_norm`` and others.
            timing: A line of its ``timing.jsonl``: ``step``, ``tokens`` and ``elapsed_s``.
        """
        return None

    def on_evaluation(self, step: int, evaluation: Any, name: str) -> None:
        """A set of documents was evaluated.

        Args:
            step: The steps taken before; 0 before training.
            evaluation: A `nextfill.Evaluation`.
            name: ``held-out``, ``validation``, or an evaluation set's own name.
        """
        return None

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """A text was generated from a prompt, or its blanks were filled."""
        return None

    def on_end(self) -> None:
        """The last event, after success and after failure."""
        return None


class Silent(Observer):
    """An observer that shows nothing."""
