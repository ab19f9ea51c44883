"""Progress in a notebook: one display under the cell, brought up to date in place."""

from __future__ import annotations

import math
import sys
import time
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextfill.core.progress import Observer, Silent
from nextfill.core.text_safety import printable
from nextfill.rendering.html import Html, element
from nextfill.rendering.loss_curves import Curves, newest_smoothed
from nextfill.rendering.result_cards import card, card_lines, card_sample
from nextfill.terminal.progress_bar import Terminal

if TYPE_CHECKING:
    from nextfill.evaluation.figures import Evaluation

DRAW_EVERY_S = 0.5
"""Seconds between two drawings, at least."""

FIRST_DRAWN_S = 1.0
"""Seconds before a bar comes up, so that what is quick leaves no trace."""

_MOST_OF_THE_TIME = 0.05
"""Share of the time that drawing may take, of a chart that grows with the run."""


def choose_observer(*, quiet: bool | None) -> Observer:
    """Return who shows progress."""
    here = in_notebook()
    if here:
        import_tqdm()
    if quiet or (quiet is None and not here):
        return Silent()
    return Notebook() if here else Terminal()


def import_tqdm() -> None:
    """Import what `datasets` and transformers draw bars with, and which warns in a notebook.

    It asks for ipywidgets, which nothing of ours needs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("tqdm.auto")


def in_notebook() -> bool:
    """Say whether this process is a notebook's kernel, which shows more than text."""
    ipython = sys.modules.get("IPython")  # which a kernel has imported, and a script need not have
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class Notebook:
    """An observer that shows a bar, a loss curve and the newest sample in one display."""

    def __init__(self) -> None:
        self._display: Any = None
        self._label, self._done, self._total, self._details = "", 0, 0, ""
        self._training = "", 0, 0, ""
        self._notes: list[str] = []
        self._sample: tuple[str, str] | None = None
        self._curves = Curves()
        self._began_s = self._stage_began_s = time.monotonic()
        self._drawn_s, self._drawing_took_s = -math.inf, 0.0
        self._num_steps = self._steps = self._tokens = 0
        self._training_s = 0.0

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Show a stage's progress; without a total, ``done`` counts bytes of text."""
        if label != self._label:
            self._stage_began_s = time.monotonic()
        elapsed_s = time.monotonic() - self._stage_began_s
        left = _clock(elapsed_s / max(1, done) * (total - done))
        details = f"{done / total:.0%}, {left} left" if total else f"{done / 1e6:.1f} MB"
        self._show(label, done, total, details)

    def on_note(self, text: str) -> None:
        """Keep a note."""
        self._notes.append(text)
        self._draw()

    def on_start(self, step: int, num_steps: int) -> None:
        """Begin to count steps, tokens and the time they take."""
        self._num_steps, self._steps, self._tokens = num_steps, 0, 0
        self._training_s = 0.0

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Draw the loss, and say perplexity, tokens per second and the time left."""
        self._curves.add(event)
        self._steps += 1
        self._tokens += timing["tokens"]
        self._training_s += timing["elapsed_s"]
        step = event["step"]
        loss = newest_smoothed(self._curves.nats, self._curves.targets)
        left_s = self._training_s / self._steps * (self._num_steps - step)
        details = (
            f"step {step:,} of {self._num_steps:,}, loss {loss:.3f}, "
            f"perplexity {math.exp(min(loss, 700.0)):.2f}, "
            f"{self._tokens / self._training_s:,.0f} tokens/s, {_clock(left_s)} left"
        )
        self._training = "training", step, self._num_steps, details
        self._show(*self._training)

    def on_evaluation(self, step: int, evaluation: Evaluation, name: str) -> None:
        """Put a point on the chart and keep the figures as a note."""
        event = {"event": "evaluation", "step": step, **evaluation.to_json()}
        self._curves.add({**event, "set": name})
        self.on_note(f"step {step:,}: {name} {evaluation.in_a_line()}")

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Show the newest sample, its prompt set apart."""
        del step
        self._sample = prompt, text
        self._draw()

    def on_end(self) -> None:
        """Draw where training came to; where there is no more than a bar, take it away."""
        if self._curves.steps or self._notes:
            self._label, self._done, self._total, self._details = self._training
            self._draw()
        elif self._display is not None:
            self._display.update(_Shown("", ""))

    def _show(self, label: str, done: int, total: int, details: str) -> None:
        is_new = label != self._label
        self._label, self._done, self._total, self._details = label, done, total, details
        now = time.monotonic()
        if self._display is None and now - self._began_s < FIRST_DRAWN_S:
            return
        every_s = max(DRAW_EVERY_S, self._drawing_took_s / _MOST_OF_THE_TIME)
        if is_new or done == total or now - self._drawn_s >= every_s:
            self._draw()

    def _draw(self) -> None:
        import IPython.display

        began_s = time.monotonic()
        shown = _Shown(card("Nextfill", *self._parts()), f"{self._label}: {self._details}")
        if self._display is None:
            display: Any = IPython.display.display
            self._display = display(shown, display_id=True)
        else:
            self._display.update(shown)
        self._drawn_s = time.monotonic()
        self._drawing_took_s = self._drawn_s - began_s

    def _parts(self) -> list[Html]:
        parts = []
        if self._label:
            share = {"value": self._done, "max": self._total} if self._total else {}
            bar = element("progress", aria_label=self._label, **share)
            parts.append(element("div", bar, f" {self._label}: {self._details}"))
        parts.append(self._curves.loss_chart())
        if self._sample is not None:
            prompt, text = self._sample
            parts.append(card_sample(prompt, text))
        if self._notes:
            parts.append(card_lines(self._notes[-1:]))
        if earlier := self._notes[:-1]:
            told = element("summary", "what was said before")
            parts.append(element("details", told, card_lines(earlier)))
        return parts


class _Shown:
    """What IPython is given to show: HTML, and a line for where only text is shown."""

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = printable(text)

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
