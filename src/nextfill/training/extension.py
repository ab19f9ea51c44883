"""Other steps for a run that is finished or was stopped: whether it goes on exactly, and where.

It does if every step that it has taken has the same learning rate, and share of masked text, in the
longer run. Then the two are the same byte for byte. A schedule that ends in its last step has other
rates from the start in a longer run; it may begin anew, which makes another run, and is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from nextfill.config import PlannedStage, TrainConfig, TrainingConfig
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_run_settings, to_toml
from nextfill.config.resumption import further_run
from nextfill.core.amounts import amount, verb
from nextfill.core.errors import ConfigError, RunError
from nextfill.core.progress import Observer
from nextfill.core.shell_command import shell_command
from nextfill.runs.directory import RunDirectory
from nextfill.runs.stages import begin_stage, stage_start
from nextfill.training.best_weights import saved_best_step
from nextfill.training.checkpoint import newest_step, remove_after, whole_checkpoints
from nextfill.training.schedule import last_stage, stage_progress, stage_rate, stage_warmup
from nextfill.training.setup import Setup
from nextfill.training.step_log import StepLog


def extend(setup: Setup, run: RunDirectory, observer: Observer, *, rewarm: bool) -> Setup:
    """Record a new stage of a run where other steps are asked for, and return the set-up for it.

    Args:
        setup: That of the run with the settings that are asked for.
        run: The run, which is locked.
        observer: Gets a note on it.
        rewarm: Whether the schedule begins anew.
    """
    recorded = build(TrainConfig, [read_run_settings(run.path)])
    asked = setup.config.training
    old = replace(recorded.training, keep_checkpoints=asked.keep_checkpoints)
    if old.stages != asked.stages:
        raise RunError(f"{run.path} was given other steps by another process. Try again.")
    before = replace(setup, config=replace(setup.config, training=old))
    if last_stage(old, before.num_steps) == last_stage(asked, setup.num_steps):
        if asked.keep_checkpoints != recorded.training.keep_checkpoints:
            _refuse_without_checkpoints(before, run)
        return before
    if setup.num_steps == before.num_steps:
        raise ConfigError(
            [
                f"--rewarm begins the schedule anew over further steps, and {run.path} has "
                f"{before.num_steps:,} already: give more with --max-steps or --epochs."
            ]
        )
    _refuse_ended(before, setup, run)
    begin = _begin(before, setup, run, rewarm=rewarm)
    training = _training(before, asked, begin, stage_start(run), rewarm=rewarm)
    begin_stage(run, to_toml(replace(recorded, training=training, out=None)))
    remove_after(run, begin)
    again = newest_step(run.checkpoints) < begin
    observer.on_note(
        f"{run.path} goes on from step {begin:,} to {setup.num_steps:,} (planned before: "
        f"{before.num_steps:,}), "
        + ("its schedule anew from there" if rewarm else "as a run of so many steps from the start")
        + (", with an earlier checkpoint" if again else "")
    )
    return replace(setup, config=replace(setup.config, training=training))


def _refuse_without_checkpoints(before: Setup, run: RunDirectory) -> None:
    """Refuse a number of checkpoints for a run that is finished, and writes no further one."""
    whole = whole_checkpoints(run)  # after a damaged one steps are taken again
    if run.model.is_dir() and whole and whole[-1] >= before.num_steps:
        raise ConfigError(
            [
                f"--keep-checkpoints is of checkpoints that are still to come, and {run.path} is "
                "finished: leave it out, or give more steps with --max-steps or --epochs."
            ]
        )


def _refuse_ended(before: Setup, setup: Setup, run: RunDirectory) -> None:
    """Refuse fewer steps than are taken, and more for a run that ended for another reason."""
    taken, asked = newest_step(run.checkpoints), setup.num_steps
    if asked < taken:
        raise ConfigError(
            [
                f"{run.path} has taken {amount(taken, 'step')}, and {asked:,} "
                f"{verb(asked, 'is', 'are')} asked for: give more, or "
                "leave --max-steps and --epochs out."
            ]
        )
    stops = before.config.training.early_stopping is not None
    ends = run.read_events("end") if stops else []
    if ends and ends[-1]["reason"] == "early stopping":
        raise ConfigError(
            [
                f"{run.path} was stopped early, at step {ends[-1]['step']:,}, and would be again: "
                f"train its model further in a new run: {further_run(run.path)}"
            ]
        )


def _begin(before: Setup, setup: Setup, run: RunDirectory, *, rewarm: bool) -> int:
    """Return the step of the checkpoint that the new stage goes on from."""
    taken, whole = newest_step(run.checkpoints), whole_checkpoints(run)
    if taken == 0:
        return 0
    if not whole:
        raise RunError(
            f"No checkpoint of {run.path} is whole. Go on without other steps first, which says "
            f"what is damaged: {shell_command('train', '--out', run.path, '--resume')}"
        )
    if rewarm:
        if whole[-1] >= setup.num_steps:
            raise ConfigError(
                [f"--rewarm needs further steps, and {run.path} has taken {whole[-1]:,}."]
            )
        return whole[-1]
    first = stage_start(run)
    same = _same_steps(before, setup, first, taken)
    # Steps are taken back of a decay alone, and never all those since a schedule began anew.
    goes_back = before.config.training.schedule == "wsd"
    undone = before.config.training.schedule_start if first < taken else None
    usable = [
        step
        for step in whole
        if first <= step <= same and step != undone and _has_best(setup, run, step)
    ]
    usable = usable if same == taken or goes_back else []
    if usable:
        return usable[-1]
    raise ConfigError([_refusal(before, setup, run, same, whole)])


def needs_rewarm(setup: Setup, run: RunDirectory) -> bool:
    """Return whether more steps for a run need a schedule that begins anew."""
    training = replace(setup.config.training, max_steps=2 * setup.num_steps)
    longer = replace(setup, config=replace(setup.config, training=training))
    try:
        _begin(setup, longer, run, rewarm=False)
    except (ConfigError, RunError):
        return True
    return False


def _same_steps(before: Setup, setup: Setup, first: int, taken: int) -> int:
    """Return the number of steps that are the same in the shorter and the longer run."""
    old = last_stage(before.config.training, before.num_steps)
    new = _exact(old, setup.num_steps)
    first_share, last_share = setup.config.masking.training_rates
    changes_masks = first_share != last_share
    for step in range(first, taken):
        if stage_rate(old, step) != stage_rate(new, step):
            return step
        if changes_masks and stage_progress(old, step) != stage_progress(new, step):
            return step
    return taken


def _exact(old: PlannedStage, num_steps: int) -> PlannedStage:
    """Return a stage with other steps; a warm-up that is a share stays as long as it was."""
    return replace(old, num_steps=num_steps, warmup_steps=float(stage_warmup(old)))


def _has_best(setup: Setup, run: RunDirectory, step: int) -> bool:
    """Return whether the weights of the best validation up to a step are there, or made again."""
    if setup.config.training.keep != "best":
        return True
    events = [one for one in run.read_events("validation") if one["step"] <= step]
    if not events:
        return True
    best = events[int(np.argmin([event["nats"] / event["targets"] for event in events]))]["step"]
    return best == step or saved_best_step(run.checkpoints) in (best, None)


def _refusal(before: Setup, setup: Setup, run: RunDirectory, same: int, whole: list[int]) -> str:
    """Say why a run cannot go on exactly, and what can be done."""
    training, masking = before.config.training, before.config.masking
    if training.schedule == "wsd" and same:
        places = ", ".join(f"{step:,}" for step in whole)
        why = f"its rate fell from step {same:,} on, and its checkpoints are of step {places}"
    elif training.schedule in ("constant", "inverse_sqrt"):
        why = (
            "its masks change over the run"
            if len({*masking.training_rates}) > 1
            else "its best weights"
        )
    else:
        why = f"the {training.schedule} schedule goes by the number of all steps"
    asked = setup.config.training
    steps = (
        ["--epochs", asked.epochs] if asked.max_steps is None else ["--max-steps", asked.max_steps]
    )
    again = shell_command("train", "--out", run.path, "--resume", "--rewarm", *steps)
    return (
        f"{run.path} is planned for {amount(before.num_steps, 'step')}, and {why}: with "
        f"{setup.num_steps:,} the steps that it has taken would have been others. A run with "
        "--schedule constant, inverse_sqrt or wsd can be given more steps as it is. Begin the "
        f"schedule anew over the steps that are left: {again}; or train its model further in a new "
        f"run: {further_run(run.path)}"
    )


def _training(
    before: Setup, asked: TrainingConfig, begin: int, start: int, *, rewarm: bool
) -> TrainingConfig:
    """Return the settings of the run with its new stage."""
    old = before.config.training
    current = last_stage(old, before.num_steps)
    stages = list(_earlier([*(old.stages or ()), current], begin))
    if begin == 0:
        return replace(asked, stages=None)
    if rewarm:
        return replace(asked, stages=stages, schedule_start=begin)
    return replace(asked, stages=stages, warmup_steps=float(stage_warmup(current)))


def _earlier(stages: list[PlannedStage], begin: int) -> Iterator[PlannedStage]:
    """Yield the stages before a step, the last one up to it."""
    first = 0
    for stage in stages:
        if first < begin:
            yield replace(stage, end=min(stage.end, begin))
        first = stage.end


def record_stage(setup: Setup, run: RunDirectory, step: int, log: StepLog) -> None:
    """Record the beginning of a run's second or further stage, if it is at this step."""
    stages = setup.stages
    for number, (earlier, stage) in enumerate(pairwise(stages), start=2):
        if earlier.end == step:
            log.write()
            about = {"schedule": stage.schedule, "learning_rate": stage.learning_rate}
            event = {"event": "stage", "step": step, "stage": number, "num_steps": stage.num_steps}
            event |= {"planned_before": earlier.num_steps, **about}
            again = stage.schedule_start == step
            run.append_event({**event, "warmup_steps": stage_warmup(stage), "rewarmed": again})
