"""What a person sees while Nextfill works: rate, loss, perplexity and time left, on stderr."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # at run time it would bring PyTorch, before the settings have been checked
    from nextfill.infer.evaluate import Evaluation

PLAIN_EVERY_S = 10.0
"""Seconds between lines where stderr is not a terminal."""


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

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """The held-out part was scored."""

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """A text was continued."""


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

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Say nothing."""

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Say nothing."""


class Terminal:
    """An observer that writes to stderr: a live line at a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._live = self._console.is_terminal
        self._bar: Any = None
        self._label = ""
        self._began_s = self._said_s = time.monotonic()
        self._first_step = self._num_steps = 0
        self._tokens = 0
        self._smoothed_loss: float | None = None

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Show a stage's progress; without a total, ``done`` counts bytes of text."""
        self._switch_to(label)
        if self._live:
            self._show(label, done, total, "" if total else f"{done / 1e6:.1f} MB")
        elif self._is_time():
            amount = f"{done / total:.0%}" if total else f"{done / 1e6:.1f} MB"
            self._say(f"{label}: {amount}")

    def on_note(self, text: str) -> None:
        """Print a note; text from models and data is shown as it is, never as markup."""
        self._console.print(text, markup=False, soft_wrap=True)

    def on_start(self, step: int, num_steps: int) -> None:
        """Begin the training bar."""
        self._first_step, self._num_steps, self._tokens = step, num_steps, 0
        self._smoothed_loss = None

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Show loss, perplexity, tokens per second and the time left."""
        self._switch_to("training")
        self._tokens += timing["tokens"]
        loss = event["nats"] / max(1, event["targets"])
        before = self._smoothed_loss
        self._smoothed_loss = loss if before is None else 0.9 * before + 0.1 * loss
        elapsed_s = max(1e-9, time.monotonic() - self._began_s)
        rate = self._tokens / elapsed_s
        details = (
            f"loss {self._smoothed_loss:.3f}  perplexity {_exp(self._smoothed_loss):.2f}  "
            f"{rate:,.0f} tokens/s"
        )
        step = event["step"]
        if self._live:
            self._show("training", step, self._num_steps, details)
        elif self._is_time() or step == self._num_steps:
            left_s = elapsed_s / max(1, step - self._first_step) * (self._num_steps - step)
            self._say(f"step {step}/{self._num_steps}  {details}  {_clock(left_s)} left")

    def on_evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Print the held-out perplexity."""
        self._end_bar()
        self.on_note(
            f"step {step}: held-out perplexity {evaluation.perplexity:.2f}, "
            f"{evaluation.bits_per_byte:.3f} bits per byte"
        )

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Print a sample, its prompt set apart."""
        self.on_note(f"  sample: {prompt}|{text.removeprefix(prompt)}".replace("\n", "\n    "))

    def _switch_to(self, label: str) -> None:
        if label != self._label:
            self._end_bar()
            self._label = label
            self._began_s = self._said_s = time.monotonic()
            self._tokens = 0

    def _show(self, label: str, done: int, total: int, details: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[details]}", markup=False),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(label, total=total or None, completed=done, details=details)
            self._bar.start()
        self._bar.update(0, completed=done, details=details)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._label = ""

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._said_s < PLAIN_EVERY_S:
            return False
        self._said_s = now
        return True

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
