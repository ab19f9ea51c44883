"""Progress in a notebook: one display under the cell, updated in place."""

from __future__ import annotations

import math
import sys
import time
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextfill.core.observers import complete_observer
from nextfill.core.progress import Observer, Silent
from nextfill.core.streams import printable
from nextfill.rendering.html import Html, element
from nextfill.rendering.loss_curves import Curves, newest_smoothed
from nextfill.rendering.result_cards import card, card_lines, card_sample
from nextfill.terminal.progress_bar import Terminal, TrainingPace, stage_figures

if TYPE_CHECKING:
    from nextfill.evaluation.figures import Evaluation

DRAW_EVERY_S = 0.5
"""Seconds between two drawings, at least."""

FIRST_DRAWN_S = 1.0
"""Seconds before a bar appears, so that a quick call leaves no trace."""

_MOST_OF_THE_TIME = 0.05
"""Share of the time for drawing a chart that grows with the run."""


def choose_observer(own: object = None, *, quiet: bool | None, shown: bool = False) -> Observer:
    """Return the user's own observer, or one for a notebook or a terminal.

    By default a script shows nothing, unless it asks for it otherwise: ``shown``.
    """
    if own is not None:
        return complete_observer(own)
    is_notebook = in_notebook()
    if is_notebook:
        import_tqdm()
    if quiet or (quiet is None and not is_notebook and not shown):
        return Silent()
    return Notebook() if is_notebook else Terminal()


def import_tqdm() -> None:
    """Import tqdm, of `datasets` and transformers, without its warning in a notebook.

    It asks for ipywidgets, which nothing here needs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("tqdm.auto")


def in_notebook() -> bool:
    """Return whether this process is a notebook's kernel, which shows more than text."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it already
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
        self._pace = TrainingPace()

    def on_stage(self, label: str, done: int, total: int) -> None:
        """Show a stage's progress; without a total, ``done`` counts bytes of text."""
        if label != self._label:
            self._stage_began_s = time.monotonic()
        figures = stage_figures(done, total, time.monotonic() - self._stage_began_s)
        self._show(label, done, total, ", ".join(figures))

    def on_note(self, text: str) -> None:
        """Add a note to the display."""
        self._notes.append(text)
        self._draw()

    def on_start(self, step: int, num_steps: int) -> None:
        """Begin to count steps, tokens and their time."""
        self._pace = TrainingPace(num_steps)

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Draw the loss curve, with perplexity, tokens per second and the time left."""
        self._curves.add(event)
        self._pace.add(timing)
        step, num_steps = event["step"], self._pace.num_steps
        loss = newest_smoothed(self._curves.nats, self._curves.targets)
        place = f"step {step:,} of {num_steps:,}"
        details = ", ".join([place, *self._pace.figures(step, loss)])
        self._training = "training", step, num_steps, details
        self._show(*self._training)

    def on_evaluation(self, step: int, evaluation: Evaluation, name: str) -> None:
        """Add a point to the chart and the figures as a note."""
        event = {"event": "evaluation", "step": step, **evaluation.to_json()}
        self._curves.add({**event, "set": name})
        self.on_note(f"step {step:,}: {name} {evaluation.in_a_line()}")

    def on_sample(self, step: int, prompt: str, text: str) -> None:
        """Show the newest sample, its prompt set apart."""
        del step
        self._sample = prompt, text
        self._draw()

    def on_end(self) -> None:
        """Draw the end of training; a bar without a run or a note is removed."""
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
            summary = element("summary", "what was said before")
            parts.append(element("details", summary, card_lines(earlier)))
        return parts


class _Shown:
    """A display of IPython: HTML, and a line for front ends that show text alone."""

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = printable(text)

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text
