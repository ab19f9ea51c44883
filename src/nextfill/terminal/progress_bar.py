"""What a person sees while Nextfill works: rate, loss, perplexity and time left, on stderr."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

from nextfill.core.text_safety import printable
from nextfill.rendering.loss_curves import newest_smoothed
from nextfill.rendering.result_cards import sample_parts

if TYPE_CHECKING:
    from nextfill.evaluation.figures import Evaluation

PLAIN_EVERY_S = 10.0
"""Seconds between lines where stderr is not a terminal."""


class Terminal:
    """An observer that writes to stderr: a live line at a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = _console()
        self._live = self._console.is_terminal
        self._bar: Any = None
        self._label = ""
        self._began_s = self._said_s = time.monotonic()
        self._num_steps = self._steps = self._tokens = 0
        self._training_s = 0.0
        self._nats: list[float] = []
        self._targets: list[float] = []

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Show a stage's progress; without a total, ``done`` counts bytes of text."""
        self._switch_to(label)
        details = f"{done / 1e6:.1f} MB"
        if total:
            elapsed_s = time.monotonic() - self._began_s
            details = (
                f"{done / total:.0%}  {_clock(elapsed_s / max(1, done) * (total - done))} left"
            )
        self._show(done, total, details)

    def on_note(self, text: str) -> None:
        """Print a note; text from models and data is shown as it is, never as markup."""
        self._end_bar()
        self._print(printable(text))

    def on_start(self, step: int, num_steps: int) -> None:
        """Begin to count steps, tokens and the time they take."""
        self._num_steps, self._steps, self._tokens = num_steps, 0, 0
        self._training_s = 0.0

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Show loss, perplexity, tokens per second and the time left."""
        self._switch_to("training")
        self._steps += 1
        self._tokens += timing["tokens"]
        self._training_s += timing["elapsed_s"]
        self._nats.append(event["nats"])
        self._targets.append(event["targets"])
        loss = newest_smoothed(self._nats, self._targets)
        step = event["step"]
        left_s = self._training_s / self._steps * (self._num_steps - step)
        details = (
            f"{step}/{self._num_steps}  loss {loss:.3f}  "
            f"perplexity {_exp(loss):.2f}  "
            f"{self._tokens / self._training_s:,.0f} tokens/s  {_clock(left_s)} left"
        )
        self._show(step, self._num_steps, details)

    def on_evaluation(self, step: int, evaluation: Evaluation, name: str) -> None:
        """Print the perplexity."""
        self.on_note(f"step {step}: {name} {evaluation.in_a_line()}")

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Print a sample, its prompt set apart."""
        given, made = sample_parts(prompt, text)
        shown = f"{given}|{made}" if given else f"\n{made}"
        self.on_note(f"  sample: {shown}".replace("\n", "\n    "))

    def on_end(self) -> None:
        """Take the bar away and give the cursor back."""
        self._end_bar()

    def _switch_to(self, label: str) -> None:
        if label != self._label:
            self._end_bar()
            self._label = label
            self._began_s = self._said_s = time.monotonic()

    def _show(self, done: int, total: int, details: str) -> None:
        if not self._live:
            now = time.monotonic()
            if now - self._said_s >= PLAIN_EVERY_S or (total and done == total):
                self._said_s = now
                self._print(f"{self._label}: {details}")
            return
        from rich.progress import BarColumn, Progress, TextColumn

        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[details]}", markup=False),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(self._label, total=total or None, completed=done, details=details)
            self._bar.start()
        self._bar.update(0, completed=done, details=details)

    def _print(self, text: str) -> None:
        try:
            self._console.print(text, markup=False, soft_wrap=True)
        except OSError:  # nor must a full disk that it is written to
            self._console.quiet = True

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._label = ""


def _console() -> Any:
    """Return a console on stderr that goes quiet when nobody reads it any more.

    A lost reader, such as `head` or a closed connection, must not end hours of training.
    """
    from rich.console import Console

    class Lasting(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    return Lasting(stderr=True, highlight=False, emoji=False)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
