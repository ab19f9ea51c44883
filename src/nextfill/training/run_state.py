"""The state of a run between two steps: all that a checkpoint has, and what is due there."""

from __future__ import annotations

import logging
from functools import partial

from nextfill.core.amounts import amount
from nextfill.core.checksums import NO_BYTES
from nextfill.core.errors import RunError
from nextfill.core.progress import Observer
from nextfill.models.computation import reads_late
from nextfill.runs.directory import RunDirectory
from nextfill.training.block_feed import BlockFeed
from nextfill.training.checkpoint import (
    Cursor,
    folder_of_shares,
    load_checkpoint,
    remove_older,
    save_checkpoint,
)
from nextfill.training.distributed.rank_follower import average_in_use, share_state
from nextfill.training.engine import OptimizerState, StepState
from nextfill.training.evaluations import evaluate_step
from nextfill.training.extension import record_stage
from nextfill.training.optimizer import make_optimizer
from nextfill.training.schedule import branching_checkpoint, stage_at
from nextfill.training.setup import Setup
from nextfill.training.step_figures import ReadStep
from nextfill.training.step_log import StepLog
from nextfill.training.weight_average import WeightAverage

logger = logging.getLogger("nextfill")


class RunState:
    """The place of a run, its optimizer and its average, as one step after the other is taken.

    Args:
        setup: The run, with its model.
        run: Gets the events, the checkpoints and the evaluations.
        observer: Is told of each.

    Attributes:
        step: Optimizer steps taken.
        average: The moving average of the weights.
        log: The steps whose figures are not all there yet.
    """

    def __init__(self, setup: Setup, run: RunDirectory, observer: Observer) -> None:
        training, model = setup.config.training, setup.module.model
        self._setup, self._run, self._observer = setup, run, observer
        self.step, self._blocks = 0, 0
        self._optimizer = make_optimizer(model, training)
        self.average = WeightAverage(model, training.ema_decay)
        self.log = StepLog(run, observer)
        self._of_engine = StepState()
        self._eval_every, self._save_every = (
            every or setup.feed.interval for every in (training.eval_every, training.save_every)
        )
        self._ends = {stage.end for stage in setup.stages if stage.end == stage.num_steps}
        self._branching = {branching_checkpoint(stage) for stage in setup.stages}

    def go_to_checkpoint(self, latest: int | None) -> OptimizerState:
        """Load the newest checkpoint, up to a latest step, for all ranks; none is the beginning.

        Records and data go back to its place.

        Returns:
            The optimizer with its moments, or with where ranks find them that are to hold shares.
        """
        setup, run = self._setup, self._run
        warn = logger.warning  # shown to those, too, who want no progress
        leaves_shares = setup.ranks.has_shares
        cursor = load_checkpoint(
            *(run, setup.loaded.model, self._optimizer, warn),
            latest=latest,
            average=self.average,
            leaves_shares=leaves_shares,
        )
        cursor = cursor or Cursor(0, 0, NO_BYTES)
        run.go_back_to(cursor.events, warn)
        _check_place(run, setup.feed, cursor)
        share_state(setup, self._optimizer, self.average, cursor.step)
        self.step, self._blocks = cursor.step, cursor.blocks
        shares = folder_of_shares(run, cursor) if leaves_shares else None
        return OptimizerState(self._optimizer, shares)

    def count_step(self, read: ReadStep, of_engine: StepState) -> None:
        """Count a step that is taken, whose figures are read now or late."""
        self._of_engine = of_engine  # for what saves later, as an error of the source does
        of_engine.check()
        self._blocks += len(self._setup.feed.numbers(self.step))
        self.step += 1
        self.average.update(self.step)
        is_late = reads_late(self._setup.loaded.device) and not self.save_is_due
        self.log.add(self.step, self._blocks, read, is_late=is_late)

    @property
    def evaluation_is_due(self) -> bool:
        """Whether the model is evaluated at this step."""
        return self.step % self._eval_every == 0 or self.step in self._ends

    @property
    def save_is_due(self) -> bool:
        """Whether this step has a checkpoint."""
        is_timely = self.step % self._save_every == 0 or self.step in self._branching
        return self.evaluation_is_due or is_timely

    def evaluate(self) -> bool:
        """Evaluate the model, or its average, and return whether the training is to end early."""
        with average_in_use(self._setup.ranks, self.average):
            return evaluate_step(self._setup, self._run, self._observer, self.step)

    def record_stage(self) -> None:
        """Record the beginning of a further stage of the run, if it is here."""
        record_stage(self._setup, self._run, self.step, self.log)

    def save(self) -> None:
        """Save a checkpoint, by the engine where it does so itself; then remove those before it."""
        setup, run = self._setup, self._run
        self.log.write()
        events = run.record_logs()[run.events.name]
        cursor = Cursor(step=self.step, blocks=self._blocks, events=events)
        last = branching_checkpoint(stage_at(setup.stages, max(0, self.step - 1)))
        count = setup.config.training.keep_checkpoints
        keep = partial(remove_older, run.checkpoints, count, last)
        if self._of_engine.save is not None:
            self._of_engine.save(run, cursor, keep)
            return
        self._of_engine.bring_all()
        save_checkpoint(run, setup.module.model, self._optimizer, cursor, self.average)
        keep()


def _check_place(run: RunDirectory, feed: BlockFeed, cursor: Cursor) -> None:
    """Go to the place of a checkpoint in the data, which must be as they were."""
    events = feed.go_to(cursor.step)
    if events != run.read_events("portion"):
        raise RunError(
            f"The data of {run.path} have changed since it began (other text comes by step "
            f"{cursor.step}): bring the old data back, or start a new run."
        )
    if cursor.blocks != feed.blocks_after(cursor.step):
        raise RunError(
            f"{run.path} has consumed {amount(cursor.blocks, 'block')} at step {cursor.step}, "
            "and its "
            f"settings make that {feed.blocks_after(cursor.step):,}: its checkpoint is of other "
            "data or settings."
        )
