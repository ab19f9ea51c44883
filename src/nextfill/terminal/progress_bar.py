"""Progress at a terminal: rate, loss, perplexity and time left, on stderr."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextfill.core.streams import printable
from nextfill.rendering.loss_curves import newest_smoothed
from nextfill.rendering.result_cards import sample_parts

if TYPE_CHECKING:
    from nextfill.evaluation.figures import Evaluation

PLAIN_EVERY_S = 10.0
"""Seconds between lines where stderr is not a terminal."""


@dataclass
class TrainingPace:
    """Steps, tokens and seconds of a training since its beginning or its resumption."""

    num_steps: int = 0
    steps: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    used_s: float = 0.0  # times the share of a GPU's peak

    def add(self, timing: dict[str, Any]) -> None:
        """Count one step."""
        self.steps += 1
        self.tokens += timing["tokens"]
        self.elapsed_s += timing["elapsed_s"]
        self.used_s += (timing.get("mfu") or 0.0) * timing["elapsed_s"]

    def figures(self, step: int, loss: float) -> list[str]:
        """Return loss, perplexity, tokens per second and the time left as texts."""
        left_s = self.elapsed_s / self.steps * (self.num_steps - step)
        used = [f"{self.used_s / self.elapsed_s:.0%} MFU"] if self.used_s else []
        return [
            f"loss {loss:.3f}",
            f"perplexity {math.exp(min(loss, 700.0)):.2f}",
            f"{self.tokens / self.elapsed_s:,.0f} tokens/s",
            *used,
            f"{_clock(left_s)} left",
        ]


def stage_figures(done: int, total: int, elapsed_s: float) -> list[str]:
    """Return the share and the time left as texts; without a total, ``done`` counts bytes."""
    if not total:
        return [f"{done / 1e6:.1f} MB"]
    left_s = elapsed_s / max(1, done) * (total - done)
    return [f"{done / total:.0%}", f"{_clock(left_s)} left"]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Terminal:
    """An observer that writes to stderr: a live line at a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = _console()
        self._live = self._console.is_terminal
        self._bar: Any = None
        self._label = ""
        self._began_s = self._printed_s = time.monotonic()
        self._pace = TrainingPace()
        self._nats: list[float] = []
        self._targets: list[float] = []

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Show a stage's progress; without a total, ``done`` counts bytes of text."""
        self._switch_to(label)
        self._show(done, total, stage_figures(done, total, time.monotonic() - self._began_s))

    def on_note(self, text: str) -> None:
        """Print a note without control characters, and never as markup."""
        self._end_bar()
        self._print(printable(text))

    def on_start(self, step: int, num_steps: int) -> None:
        """Begin to count steps, tokens and their time."""
        self._pace = TrainingPace(num_steps)

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Show loss, perplexity, tokens per second and the time left."""
        self._switch_to("training")
        self._pace.add(timing)
        self._nats.append(event["nats"])
        self._targets.append(event["targets"])
        step, num_steps = event["step"], self._pace.num_steps
        figures = self._pace.figures(step, newest_smoothed(self._nats, self._targets))
        self._show(step, num_steps, [f"{step}/{num_steps}", *figures])

    def on_evaluation(self, step: int, evaluation: Evaluation, name: str) -> None:
        """Print the figures of an evaluation."""
        self.on_note(f"step {step}: {name} {evaluation.in_a_line()}")

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Print a sample, its prompt set apart."""
        prefix, generated = sample_parts(prompt, text)
        shown = f"{prefix}|{generated}" if prefix else f"\n{generated}"
        self.on_note(f"  sample: {shown}".replace("\n", "\n    "))

    def on_end(self) -> None:
        """Remove the bar and restore the cursor."""
        self._end_bar()

    def _switch_to(self, label: str) -> None:
        if label != self._label:
            self._end_bar()
            self._label = label
            self._began_s = self._printed_s = time.monotonic()

    def _show(self, done: int, total: int, figures: list[str]) -> None:
        details = "  ".join(figures)
        if not self._live:
            now = time.monotonic()
            if now - self._printed_s >= PLAIN_EVERY_S or (total and done == total):
                self._printed_s = now
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
        except OSError:  # a full disk behind stderr must not end a training
            self._console.quiet = True

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._label = ""


def _console() -> Any:
    """Return a console on stderr that goes quiet after its reader, such as `head`, has gone.

    A lost reader must not end hours of training.
    """
    from rich.console import Console

    class Lasting(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    return Lasting(stderr=True, highlight=False, emoji=False)
