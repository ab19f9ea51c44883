"""The blocks of a stream's steps: portion by portion, as a source is read, one portion ahead.

What a step takes is a function of the data, the settings and its number alone, never of when the
data came: portions follow one another as their records do, and the blocks within each are permuted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import TrainingConfig
from nextfill.core.background import Background, BackgroundCall
from nextfill.core.locks import let_go
from nextfill.data.ledger import add_portion
from nextfill.data.packing.order import block_order
from nextfill.objectives.batch import Batch
from nextfill.objectives.training_batches import TrainingBatches

TIMES = 10
"""Evaluations, and checkpoints, of a stream unless the settings say how many."""


@dataclass(frozen=True)
class Portion:
    """A portion of a source, ready for training.

    Args:
        batches: Makes batches from its blocks, of which there may be none.
        ledger: Its counts.
    """

    batches: TrainingBatches
    ledger: Mapping[str, Any]

    @property
    def num_blocks(self) -> int:
        """Training blocks."""
        return self.batches.plan.num_blocks


@dataclass(frozen=True)
class _Place:
    """A portion in the course of a run: its number, pass and steps, and the blocks before it."""

    number: int
    portion: Portion
    epoch: int
    first_step: int
    end_step: int
    blocks_before: int  # over all passes
    order: NDArray[np.int64]

    @property
    def batches(self) -> TrainingBatches:
        return self.portion.batches


class PortionFeed:
    """Blocks of a source that is read while they are trained on, one portion ahead.

    Args:
        open_portion: Opens a portion by its number, or writes it; None after the last one.
        stop: Has the portion that is being written given up.
        training: The settings of training, with the number of steps.
        seed: Decides the order of the blocks.
        on_wait: Called when the next portion is not there yet.
        on_close: Called at the end, once nothing is read any more.
    """

    def __init__(
        self,
        open_portion: Callable[[int], Portion | None],
        stop: Callable[[], None],
        training: TrainingConfig,
        seed: int,
        on_wait: Callable[[], None],
        *,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._open, self._stop, self._on_wait = open_portion, stop, on_wait
        self._on_close = on_close
        self._size, self._seed = training.batch_size, seed
        self._num_steps = training.max_steps or 1  # which the settings of a stream must say
        self.interval = math.ceil(self._num_steps / TIMES)
        self._place: _Place | None = None
        self._background = Background()
        self._ahead: tuple[int, BackgroundCall[Portion | None]] | None = None
        self._later: list[Mapping[str, Any]] = []  # ledgers of the portions after the first
        self._ended = False

    def covers(self, step: int) -> bool:
        """Check that the blocks of a step are at hand."""
        return self._place is not None and step < self._place.end_step

    def advance(self, step: int) -> dict[str, Any]:
        """Wait for the next portion that has blocks, and return an event about it."""
        before = self._place
        number, epoch, offset, total = 0, 0, 0, 0
        if before is not None:
            number, epoch = before.number + 1, before.epoch
            total = before.blocks_before + before.portion.num_blocks
            offset = before.batches.first_block + before.portion.num_blocks
        while True:
            portion = self._take(number)
            if portion is None:  # the end of the source, which then begins again
                self._ended = True
                number, epoch, offset = 0, epoch + 1, 0
                continue
            if number and not self._ended:
                self._later.append(portion.ledger)
            if portion.num_blocks:
                break
            let_go(portion.batches.store.path)
            number += 1
        if before is not None and before.number not in (0, number):
            let_go(before.batches.store.path)
        plan = portion.batches.plan
        self._place = _Place(
            number,
            replace(portion, batches=replace(portion.batches, first_block=offset)),
            epoch,
            first_step=step,
            end_step=step + math.ceil(plan.num_blocks / self._size),
            blocks_before=total,
            order=block_order(plan.shard, self._seed, epoch, portion=number),
        )
        if self._place.end_step < self._num_steps:
            self._ahead = self._begin(number + 1)
        return {
            "event": "portion",
            "step": step,
            "portion": number + 1,
            "pass": epoch + 1,
            "blocks": plan.num_blocks,
            "content_sha256": portion.batches.store.meta["content_sha256"],
        }

    def _take(self, number: int) -> Portion | None:
        """Return a portion, which is mostly there already."""
        if self._ahead is None or self._ahead[0] != number:
            self._ahead = self._begin(number)
        call = self._ahead[1]
        if not call.is_done:
            self._on_wait()
        portion = call.result()
        self._ahead = None
        return portion

    def _begin(self, number: int) -> tuple[int, BackgroundCall[Portion | None]]:
        return number, self._background.begin(partial(self._open, number))

    def go_to(self, step: int) -> list[dict[str, Any]]:
        """Go to the place of a run that took so many steps; return its events on the way."""
        events: list[dict[str, Any]] = []
        while self._end_step < step:
            events.append(self.advance(self._end_step))
        return events

    @property
    def _end_step(self) -> int:
        return 0 if self._place is None else self._place.end_step

    def _at(self) -> _Place:
        if self._place is None:
            raise ValueError("no step was begun")
        return self._place

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Return the numbers of a step's blocks."""
        first = (step - self._at().first_step) * self._size
        return self._at().order[first : first + self._size]

    def batch(self, step: int, numbers: NDArray[np.int64], progress: float) -> Batch:
        """Make the batch of a step from numbered blocks."""
        return self._at().batches(numbers, self._at().epoch, progress)

    def blocks_after(self, step: int) -> int:
        """Return the number of blocks that the first steps consume."""
        if self._place is None:
            return 0
        within = (step - self._place.first_step) * self._size
        return self._place.blocks_before + min(within, self._place.portion.num_blocks)

    def place(self, step: int) -> dict[str, Any]:
        """Return the place of a step in the data, for its event."""
        return {"portion": self._at().number + 1, "pass": self._at().epoch + 1}

    def ledger(self, ledger: Mapping[str, Any], step: int | None = None) -> dict[str, Any]:
        """Return the ledger of all portions that steps were taken from."""
        added = dict(ledger)
        for later in self._later:
            added = add_portion(added, later)
        taken = 0 if step is None else self.blocks_after(step)
        added["stream"] = {
            "portions": 1 + len(self._later),
            "read_to_its_end": self._ended,
            "blocks_trained": taken,
        }
        return added

    def blocks_by_source(self, step: int) -> dict[str, int]:
        """Return nothing: a stream is one source."""
        return {}

    def close(self) -> None:
        """Give up the portion that is being read ahead."""
        if self._ahead is not None:
            self._stop()
        self._background.leave()
        self._on_close()
