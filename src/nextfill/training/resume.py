"""Go on with a run: what it finds is compared with what it left, and mended where that can be."""

from __future__ import annotations

import json
import logging
import shlex

from nextfill.core.atomic_write import write_file
from nextfill.core.checksums import (
    RECORD,
    Record,
    file_problem,
    read_record,
    record_files,
    recover_record,
    write_record,
)
from nextfill.core.errors import RunError
from nextfill.core.progress import Observer
from nextfill.models.base_checksums import FROZEN, TOKENIZER, WEIGHTS
from nextfill.runs.directory import RunDirectory, json_text, write_json
from nextfill.training.checkpoint import newest_step
from nextfill.training.evaluations import repair_evaluation, step_of_file
from nextfill.training.job import ledger_of, write_beginning
from nextfill.training.setup import Setup, measured

logger = logging.getLogger("nextfill")
"""Tells of damage, also where no progress is wanted."""


def continue_run(ready: Setup, run: RunDirectory, observer: Observer) -> None:
    """Check that what a run began with is still the same, and make again what is damaged."""
    path = run.path
    run.remove_temporaries()
    if run.model.is_dir():
        observer.on_note(
            f"{path} is finished already. To train its model further, start a new run: "
            f"nextfill train --model {shlex.quote(str(path))}"
        )
    record = _restored_record(ready, run)
    same_versions = _mend_measured(ready, run, record, observer)
    is_origin = _check_origin(ready, run, record, observer, strict=same_versions)
    _check_ledger(ready, run, record)
    newest = newest_step(run.checkpoints)
    if newest and is_origin:
        repair_evaluation(ready, run, 0, logger.warning)
    for problem in run.problems(lambda name: 0 < step_of_file(name) < newest):
        logger.warning("%s: %s; it cannot be made again", path, problem)


def _restored_record(ready: Setup, run: RunDirectory) -> Record:
    """Return the run's record, put back where it was lost, begun where there was none yet."""
    record = recover_record(run.path)
    if record is None:
        if newest_step(run.checkpoints):
            raise RunError(
                f"{run.path} has checkpoints and no {RECORD}, without which nothing tells whether "
                "they are whole: an earlier Nextfill began it, or the file was removed. Start a "
                "new run."
            )
        write_beginning(ready, run)  # a kill came before it was begun
        return read_record(run.path) or Record()
    if _is_lost(run):
        write_record(run.path, record)
        logger.warning("%s was damaged, and is restored from a checkpoint", run.path / RECORD)
    return record


def _is_lost(run: RunDirectory) -> bool:
    try:
        return read_record(run.path) is None
    except RunError:
        return True


def _mend_measured(ready: Setup, run: RunDirectory, record: Record, observer: Observer) -> bool:
    """Tell what of the machine has changed, and say whether the versions are the same."""
    here = measured(ready)
    if file_problem(run.measured, record.files.get(run.measured.name)):
        write_json(run.measured, here)
        record_files(run.path, [run.measured.name])
        logger.warning("%s was damaged, and is made again from what is here now", run.measured)
    before = json.loads(run.measured.read_bytes())
    for key in ("isolation", "device", "threads", "versions"):
        if before.get(key) != here[key]:
            observer.on_note(
                f"{key} was {before.get(key)} and is {here[key]}: the rest of the run may differ "
                "in its last digits from one that was never stopped"
            )
    return bool(before.get("versions") == here["versions"])


def _check_origin(
    ready: Setup, run: RunDirectory, record: Record, observer: Observer, *, strict: bool
) -> bool:
    """Refuse another model than the one that the run began with.

    A checkpoint brings all weights that are trained, so that of a model that lies in no folder,
    perhaps trained already by the part of the run before, the frozen ones alone matter then.
    """
    was, now = record.base, ready.origin
    changed = sorted(name for name in was if was[name] != now.get(name))
    resumes = newest_step(run.checkpoints) > 0
    ignored = WEIGHTS if resumes else FROZEN
    refused = [name for name in changed if name != ignored]
    by_version = [name for name in refused if name in (TOKENIZER, WEIGHTS, FROZEN)]
    if by_version and not strict:
        observer.on_note(f"{', '.join(by_version)}: not the same with other versions of libraries")
        refused = [name for name in refused if name not in by_version]
    if refused:
        raise RunError(
            f"The model that {run.path} began with has changed ({', '.join(refused)}): bring it "
            "back as it was, or start a new run."
        )
    return not changed


def _check_ledger(ready: Setup, run: RunDirectory, record: Record) -> None:
    """Refuse other data than the run began with, and write the ledger again if it is damaged."""
    now = ledger_of(ready)
    expected = record.files.get(run.ledger.name)
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
