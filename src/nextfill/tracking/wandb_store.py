"""A run's points in Weights & Biases: offline here, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb

from nextfill.runs.directory import RunDirectory
from nextfill.tracking.points import Point, Text
from nextfill.tracking.store import PROJECT, Settings, by_step

STEP = "step"
"""The horizontal axis. Their own steps only rise, and drop what a resumed run adds to its last."""


class WandbStore:
    """A run of a project, to which nothing of this machine, of git or of the terminal is added."""

    def __init__(self, run: RunDirectory) -> None:
        self._title = run.path.absolute().name
        self._mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run: Any = None
        self._name = ""
        self._place = "nothing new"

    def begin(self, settings: Settings, replaced: str | None) -> str:
        """Begin a run; the one before cannot be taken back, so that the new one names it."""
        self._leave()
        title = re.sub(r"[^\w-]+", "-", self._title)[:80].strip("-")
        name = f"{title}-{secrets.token_hex(4)}"
        told = f"Begun anew in the place of {replaced}, whose steps were taken otherwise."
        self._open(name, config=dict(settings), notes=told if replaced else None)
        return name

    def go_on(self, name: str) -> bool:
        """Go on with a run, once there is something to add to it; offline in another folder."""
        self._name = name
        return True

    def send(self, points: Sequence[Point], texts: Sequence[Text]) -> None:
        """Log a row for each step; their own process writes it."""
        if self._run is None:
            self._open(self._name, resume=None if self._mode == "offline" else "allow")
        for step, row in by_step(points, texts).items():
            self._run.log({STEP: step, **row})

    def close(self, *, finished: bool) -> str:
        """End the session."""
        self._leave(0 if finished else 1)
        return self._place

    def _open(self, name: str, **options: Any) -> None:
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=1.0,
        )
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self._title,
            id=name,
            mode=self._mode,
            dir=os.environ.get("WANDB_DIR") or str(Path.cwd()),  # it would keep its first one
            settings=quiet,
            **options,
        )
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric("*", step_metric=STEP)
        offline = self._mode == "offline"
        folder = os.path.relpath(os.path.dirname(self._run.dir))  # noqa: PTH120 - theirs is text
        self._place = f"wandb sync {folder}" if offline else str(self._run.url)

    def _leave(self, status: int = 0) -> None:
        if self._run is not None:
            self._run.finish(exit_code=status)
            self._run = None
