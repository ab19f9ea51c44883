"""The records that a run begins with, and their check and repair when it is resumed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.command_line.python_messages import as_called
from nextfill.config.data_places import source_names
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_recipe, read_run_settings
from nextfill.config.resumption import further_run
from nextfill.core.atomic_write import write_file
from nextfill.core.checksums import (
    RECORD,
    Record,
    file_checksum,
    file_problem,
    read_record,
    record_files,
    recover_record,
    write_record,
)
from nextfill.core.errors import RunError
from nextfill.core.progress import Observer
from nextfill.core.shell_command import shell_command, shell_word
from nextfill.data.file_record import SourceFiles, expected_files, to_json
from nextfill.models.loaded_model import FROZEN, TOKENIZER, WEIGHTS
from nextfill.runs.directory import RunDirectory, json_text, write_json, write_text
from nextfill.runs.stages import recover_settings
from nextfill.training.checkpoint import newest_step
from nextfill.training.evaluations import repair_evaluation, step_of_file
from nextfill.training.extension import needs_rewarm
from nextfill.training.new_vocabulary import NEW_TOKENS
from nextfill.training.setup import Setup

logger = logging.getLogger("nextfill")
"""Reports damage, also where no progress is wanted."""


def write_beginning(setup: Setup, run: RunDirectory) -> None:
    """Write the findings at load, the ledger, and the record of all that is there."""
    write_json(run.measured, setup.measured())
    write_json(run.ledger, setup.ledger())
    written = [run.config, run.measured, run.ledger]
    if setup.prepared.files:
        write_json(run.data, to_json(setup.prepared.files, setup.config, setup.config))
        written.append(run.data)
    files = {path.name: file_checksum(path) for path in written}
    write_record(run.path, Record(base=setup.origin, files=files))


def rewrite_ledger(setup: Setup, run: RunDirectory, step: int) -> None:
    """Write the ledger of all that a stream gave up to its last step."""
    write_json(run.ledger, setup.ledger(step))
    record_files(run.path, [run.ledger.name])


def check_resumed(setup: Setup, run: RunDirectory, observer: Observer) -> None:
    """Refuse a run whose model or data have changed since, and repair its damaged files."""
    path = run.path
    run.remove_temporaries()
    recover_settings(run)
    record = _restored_record(setup, run)
    same_versions = _repair_measured(setup, run, record, observer)
    is_origin = _check_origin(setup, run, record, observer, strict=same_versions)
    _check_ledger(setup, run, record)
    _record_files(setup, run, record, observer)
    newest = newest_step(run.checkpoints)
    if newest and is_origin:
        repair_evaluation(setup, run, 0)
    for problem in run.problems(lambda name: 0 < step_of_file(name) < newest):
        logger.warning("%s: %s; it cannot be made again", path, problem)


def note_finished(setup: Setup, run: RunDirectory, observer: Observer) -> None:
    """Note that a run has taken all its steps already, and what would take more."""
    if run.model.is_dir() and newest_step(run.checkpoints) >= setup.num_steps:
        anew = ["--rewarm"] if needs_rewarm(setup, run) else []
        more = shell_command("train", "--out", run.path, "--resume", *anew, "--max-steps", "N")
        more = as_called(f"For more steps of it: {more}")
        observer.on_note(f"{run.path} is finished already. {more}")
        observer.on_note(f"To train its model further in a new run: {further_run(run.path)}")


def _restored_record(setup: Setup, run: RunDirectory) -> Record:
    """Return the run's record, restored where it was lost, begun where there was none yet."""
    record = recover_record(run.path)
    if record is None:
        if newest_step(run.checkpoints):
            raise RunError(
                f"{run.path} has checkpoints and no {RECORD}, without which nothing tells whether "
                "they are whole: an earlier Nextfill began it, or the file was removed. Start a "
                "new run."
            )
        write_beginning(setup, run)  # a kill came before it was begun
        return read_record(run.path) or Record()
    try:
        is_lost = read_record(run.path) is None
    except RunError:
        is_lost = True
    if is_lost:
        write_record(run.path, record)
        logger.warning("%s was damaged, and is restored from a checkpoint", run.path / RECORD)
    return record


def _repair_measured(setup: Setup, run: RunDirectory, record: Record, observer: Observer) -> bool:
    """Report changes of the machine, and return whether the versions are the same."""
    here = setup.measured()
    if file_problem(run.measured, record.files.get(run.measured.name)):
        write_json(run.measured, here)
        record_files(run.path, [run.measured.name])
        logger.warning("%s was damaged, and is made again from what is here now", run.measured)
    before = json.loads(run.measured.read_bytes())
    for key in ("isolation", "attention", "teacher", "device", "threads", "versions"):
        if key in before and before[key] != here[key]:
            observer.on_note(
                f"{key} was {before.get(key)} and is {here[key]}: the rest of the run may differ "
                "in its last digits from one that was never stopped"
            )
    return bool(before.get("versions") == here["versions"])


def _check_origin(
    setup: Setup, run: RunDirectory, record: Record, observer: Observer, *, strict: bool
) -> bool:
    """Refuse another model than the run began with, and return whether it is the very same.

    A checkpoint brings all weights that are trained, so that of a model from no folder, perhaps
    trained already by the part of the run before, the frozen ones alone matter then.
    """
    was, now = record.base, setup.origin
    changed = sorted(name for name in was if was[name] != now.get(name))
    resumes = newest_step(run.checkpoints) > 0
    ignored = WEIGHTS if resumes else FROZEN
    refused = [name for name in changed if name != ignored]
    by_version = [name for name in refused if name in (TOKENIZER, NEW_TOKENS, WEIGHTS, FROZEN)]
    if by_version and not strict:
        observer.on_note(f"{', '.join(by_version)}: not the same with other versions of libraries")
        refused = [name for name in refused if name not in by_version]
    if refused:
        raise RunError(
            f"The model that {run.path} began with has changed ({', '.join(refused)}): bring it "
            "back as it was, or start a new run."
        )
    return not changed


def _check_ledger(setup: Setup, run: RunDirectory, record: Record) -> None:
    """Refuse other data than the run began with, and repair the ledger."""
    now = setup.ledger()
    expected = record.files.get(run.ledger.name)
    if setup.stream is not None:
        _check_stream(run, now, expected)
        return
    if file_problem(run.ledger, expected):
        with write_file(run.ledger, owned=True) as beside:
            beside.write_text(json_text(now), encoding="utf-8")
            if file_problem(beside, expected):
                raise RunError(
                    f"{run.ledger} is damaged, and the data make another one: they have changed "
                    "since the run began. Bring the old data back, or start a new run."
                )
        logger.warning("%s was damaged, and is made again", run.ledger)
    recorded = json.loads(run.ledger.read_bytes())
    compared = (recorded.keys() & now.keys()) - {"files_left_out"}  # such as this run's own files
    changed = [key for key in compared if recorded[key] != now[key]]
    if changed:
        raise RunError(
            f"The data of {run.path} have changed since it began (its ledger differs in "
            f"{', '.join(sorted(changed))}): bring the old data back (for a built-in corpus, the "
            "versions of its packages), or start a new run."
        )


def recorded_files(run: RunDirectory, config: TrainConfig) -> SourceFiles:
    """Return the files of a run's data, with which those of its settings now have to agree."""
    recorded = build(TrainConfig, [read_run_settings(run.path)])
    anew = shell_command("train", run.config)

    def refusal(name: str, found: str) -> RunError:
        these = _named(name, recorded, config)
        changed = f"The data of {run.path} have changed since it began: {found}. Bring the old data"
        if not run.model.is_dir():  # it is not finished: there is nothing to learn on from
            return RunError(f"{changed} back, or begin a new run on these: {anew}{these}")
        return RunError(
            f"{changed} back, or begin a new run on these, which learns on from the model of this "
            f"one: {further_run(run.path)}{these}\n"
            f"Or one from the model that this one began with: {anew}{these}"
        )

    pairs = zip(source_names(config), source_names(recorded), strict=False)
    places = {now: before for now, before in pairs if now is not None and before is not None}
    return SourceFiles(expected_files(run.path, recorded, config), refusal, places)


def _named(name: str, recorded: TrainConfig, now: TrainConfig) -> str:
    """Return the flag that names data which a run's settings name otherwise, or nothing."""
    if name in source_names(recorded):
        return ""
    is_held_out = any(name == one.eval_source for one in now.data.each)
    return f" {'--eval-data' if is_held_out else '--data'} {shell_word(name)}"


def _record_files(setup: Setup, run: RunDirectory, record: Record, observer: Observer) -> None:
    """Record where the files of a run are, which hold what they held, and repair their record."""
    if not setup.prepared.files:
        return
    before = build(TrainConfig, [read_run_settings(run.path)])
    first = build(TrainConfig, [read_recipe(run.config, moved=False)])
    text = json_text(to_json(setup.prepared.files, first, setup.config))
    expected = record.files.get(run.data.name)
    is_damaged = expected is not None and file_problem(run.data, expected) is not None
    if not is_damaged and run.data.is_file() and run.data.read_text("utf-8") == text:
        return
    if is_damaged:
        logger.warning("%s was damaged, and is made again", run.data)
    pairs = zip(source_names(before), source_names(setup.config), strict=False)
    for old, new in dict.fromkeys(pairs):
        if old != new:
            observer.on_note(f"the data are read from {new}, and are those of {old} byte for byte")
    write_text(run.data, text)
    record_files(run.path, [run.data.name])


def _check_stream(run: RunDirectory, now: Mapping[str, Any], expected: Any) -> None:
    """Refuse another first portion of a stream; events tell the later ones, one by one.

    The ledger of a finished run, which counts them all, is written again at the end.
    """
    if file_problem(run.ledger, expected):
        logger.warning("%s was damaged, and is made again", run.ledger)
    elif json.loads(run.ledger.read_bytes())["content_sha256"][0] != now["content_sha256"][0]:
        raise RunError(
            f"The data of {run.path} have changed since it began: bring the old data back, or "
            "start a new run."
        )
    write_json(run.ledger, now)
    record_files(run.path, [run.ledger.name])
