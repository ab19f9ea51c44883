"""What an engine is to the loop: it takes the steps, and holds their state until it is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nextfill.runs.directory import RunDirectory
from nextfill.training.checkpoint import Cursor
from nextfill.training.setup import Setup
from nextfill.training.step_figures import ReadStep

SaveShares = Callable[[RunDirectory, Cursor, Callable[[], None]], None]
"""Begins to write a checkpoint, and calls the last argument once it is whole."""


def _nothing() -> None:
    """Do nothing, as the state is up to date."""


@dataclass(frozen=True)
class StepState:
    """The state of an engine's steps; by default it is the run's own model and optimizer.

    Args:
        bring_weights: Brings the run's model up to date, for what scores or samples it.
        bring_all: Brings its model and optimizer up to date, for a checkpoint of them.
        save: Saves a checkpoint while further steps are taken; None where the run's model and
            optimizer are saved.
        check: Raises the error of what is being saved, if there was one.
        finish: Waits until what is being saved is whole.
    """

    bring_weights: Callable[[], None] = _nothing
    bring_all: Callable[[], None] = _nothing
    save: SaveShares | None = None
    check: Callable[[], None] = _nothing
    finish: Callable[[], None] = _nothing


FinishStep = Callable[[ReadStep, StepState], bool]
"""The end of a step: reads and writes its event and timing, saves and evaluates where that is due,
and returns whether there is another step."""


class OptimizerState(NamedTuple):
    """The optimizer of a run's own model, and where the moments lie that it does not have.

    Args:
        optimizer: It has the moments that the run goes on from, but for those left in shares.
        shares: The folder of the checkpoint of which each rank takes its share of the moments.
    """

    optimizer: torch.optim.Optimizer
    shares: Path | None = None


TakeSteps = Callable[
    [Setup, OptimizerState, range, Callable[[int], NDArray[np.int64]], FinishStep], None
]
"""Takes steps of a run, over blocks that it gets the numbers of, and calls the end of each."""


@dataclass(frozen=True)
class Engine:
    """What takes the steps of a run.

    Args:
        take_steps: Takes them, from some step on.
        check: Refuses a model that it cannot train.
    """

    take_steps: TakeSteps
    check: Callable[[nn.Module], None] = lambda model: None
