"""The stages of a run that was given other steps later: its settings in each, and their record.

``config.toml`` has the settings of the last stage, with the earlier stages among them, and is a
recipe that repeats the whole run. What it was before each change lies in ``stages/``: the logs are
marked by the first settings, and checkpoints hold those that they were written under.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nextfill.core.amounts import amount
from nextfill.core.checksums import (
    CHECKPOINTS,
    STAGE,
    STAGES,
    Record,
    file_checksum,
    file_problem,
    read_record,
    recover_record,
    stage_files,
    write_record,
)
from nextfill.runs.directory import RunDirectory, write_text

logger = logging.getLogger("nextfill")


def stage_start(run: RunDirectory) -> int:
    """Return the step from which a run's last settings hold: 0, or where the last stage began."""
    training = tomllib.loads(run.config.read_text("utf-8")).get("training", {})
    return max((int(stage["end"]) for stage in training.get("stages", ())), default=0)


def begin_stage(run: RunDirectory, config: str) -> None:
    """Replace the settings of a run, and keep the old ones as those of an earlier stage.

    Where a kill comes before the record is written, `recover_settings` brings the old ones back.
    """
    record = read_record(run.path) or Record()
    number = 1 + sum(name.startswith(f"{STAGES}/") for name in record.files)
    run.stages.mkdir(exist_ok=True)
    earlier = run.stages / f"{number}.toml"
    write_text(earlier, run.config.read_text("utf-8"))
    write_text(run.config, config)
    new = {path: file_checksum(run.path / path) for path in (run.config.name, _name(earlier))}
    write_record(run.path, replace(record, files={**record.files, **new}))


def _name(earlier: Any) -> str:
    return f"{STAGES}/{earlier.name}"


def recover_settings(run: RunDirectory) -> None:
    """Bring back the settings before a change that a kill cut off, and damaged ones of a stage."""
    record = recover_record(run.path)
    if record is None:
        return
    copies = [*stage_files(run.path), *run.path.glob(f"{CHECKPOINTS}/step-*/{STAGE}*.toml")]
    for name, expected in record.files.items():
        path = run.path / name
        is_one = name == run.config.name or name.startswith(f"{STAGES}/")
        if is_one and file_problem(path, expected) is not None:
            copy = next((one for one in copies if file_problem(one, expected) is None), None)
            if copy is not None:
                path.parent.mkdir(exist_ok=True)
                write_text(path, copy.read_text("utf-8"))
                logger.warning("%s was damaged or half written, and is as it was", path)


@dataclass(frozen=True)
class Stage:
    """A further stage of a run, as its events tell.

    Args:
        stage: Its number; the run began with 1.
        step: The step from which it goes on.
        planned_before: Steps that the run was to end with before.
        num_steps: Steps that it ends with since.
        schedule: Its schedule.
        learning_rate: Its peak learning rate.
        warmup_steps: Steps of its warm-up.
        rewarmed: Whether the schedule began anew with it.
    """

    stage: int
    step: int
    planned_before: int
    num_steps: int
    schedule: str
    learning_rate: float
    warmup_steps: int
    rewarmed: bool

    def sentence(self) -> str:
        """Return a sentence on the stage.

        Example:
            >>> Stage(2, 80, 100, 200, "wsd", 1e-3, 0, False).sentence()
            'Stage 2 goes on from step 80 to 200 (planned before: 100), wsd without a break.'
        """
        how = f"{self.schedule} without a break"
        if self.rewarmed:
            warm = f", {amount(self.warmup_steps, 'step')} of warm-up" if self.warmup_steps else ""
            how = f"{self.schedule} anew from {self.learning_rate:g}{warm}"
        return (
            f"Stage {self.stage} goes on from step {self.step:,} to {self.num_steps:,} "
            f"(planned before: {self.planned_before:,}), {how}."
        )


def stage_of_event(event: Mapping[str, Any]) -> Stage:
    """Return the stage that an event tells of."""
    return Stage(**{name: value for name, value in event.items() if name != "event"})
