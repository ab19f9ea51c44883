"""The blocks of a stream's steps: portion by portion, as a source is read, one portion ahead.

What a step takes is a function of the data, the settings and its number alone, never of when the
data came: portions follow one another as their records do, and the blocks within each are permuted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import TrainingConfig
from nextfill.core.background import Background, BackgroundCall
from nextfill.core.errors import RunError
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


@dataclass(frozen=True)
class ReachedPortion:
    """The portion that a process has come to, from which another one goes on as it does.

    Args:
        number: Of the portion, from 0.
        epoch: Passes over the source before.
        first_step: The step that takes its first blocks.
        first_block: Blocks of this pass before it.
        blocks_before: Blocks of all passes before it.
        first_records: The first record of each portion up to it.
    """

    number: int
    epoch: int
    first_step: int
    first_block: int
    blocks_before: int
    first_records: Sequence[int]


class PortionFeed:
    """Blocks of a source that is read while they are trained on, one portion ahead.

    Args:
        open_portion: Opens a portion by its number, or writes it; None after the last one.
        stop: Has the portion that is being written given up.
        training: The settings of training, with the number of steps.
        seed: Decides the order of the blocks.
        on_wait: Called when the next portion is not there yet.
        first_records: The first record of each portion that is known, which may be added to.
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
        first_records: list[int],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._open, self._stop, self._on_wait = open_portion, stop, on_wait
        self._first_records, self._on_close = first_records, on_close
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
        self._enter(ReachedPortion(number, epoch, step, offset, total, ()), portion)
        return {
            "event": "portion",
            "step": step,
            "portion": number + 1,
            "pass": epoch + 1,
            "blocks": portion.num_blocks,
            "content_sha256": portion.batches.store.meta["content_sha256"],
        }

    def _enter(self, reached: ReachedPortion, portion: Portion) -> None:
        """Have the steps from here on take the blocks of a portion, and read the next one."""
        plan, number = portion.batches.plan, reached.number
        self._place = _Place(
            number,
            replace(portion, batches=replace(portion.batches, first_block=reached.first_block)),
            reached.epoch,
            first_step=reached.first_step,
            end_step=reached.first_step + math.ceil(plan.num_blocks / self._size),
            blocks_before=reached.blocks_before,
            order=block_order(plan.shard, self._seed, reached.epoch, portion=number),
        )
        if self._place.end_step < self._num_steps:
            self._ahead = self._begin(number + 1)

    def reached(self) -> ReachedPortion | None:
        """Return the portion that steps are taken from; None before the first step."""
        if (at := self._place) is None:
            return None
        return ReachedPortion(
            *(at.number, at.epoch, at.first_step, at.batches.first_block, at.blocks_before),
            first_records=self._first_records[: at.number + 1],
        )

    def go_on_from(self, reached: ReachedPortion | None) -> None:
        """Go to the portion that another process has come to, without those before it."""
        if reached is None:
            return
        known = len(self._first_records)
        self._first_records += reached.first_records[known:]
        if (portion := self._take(reached.number)) is None or not portion.num_blocks:
            raise RunError(
                f"Portion {reached.number + 1} of the text holds nothing here: the ranks see "
                "different data. Give all machines the same files and versions."
            )
        self._enter(reached, portion)

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
