"""One training run, from a job that is ready to a saved model.

From the moment the run directory is made, it holds what is needed to go on.
"""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from nextfill.config import TrainConfig
from nextfill.config.recipe_file import to_toml
from nextfill.core.atomic_write import write_folder
from nextfill.core.checksums import Record, file_checksum, record_files, write_record
from nextfill.core.errors import Interrupted, RunError
from nextfill.core.progress import Observer
from nextfill.data.ledger import make_ledger
from nextfill.data.special_tokens import evaluation_frame
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.lora import merge_adapter, save_adapter
from nextfill.runs.directory import (
    RunDirectory,
    check_free,
    new_run_directory,
    write_json,
    write_text,
)
from nextfill.training.checkpoint import best_problem, load_best, newest_step
from nextfill.training.evaluations import (
    best_step,
    evaluate_step,
    repair_evaluation,
    write_token_changes,
)
from nextfill.training.loop import Job, train
from nextfill.training.setup import Setup, measured

logger = logging.getLogger("nextfill")


def fit(ready: Setup, run: RunDirectory, observer: Observer) -> None:
    """Train from where the run stands to its end and save the model."""
    job = Job(
        config=ready.config,
        module=ready.module,
        batches=ready.batches,
        run=run,
        device=ready.loaded.device,
        precision=ready.config.precision,
        evaluate=lambda step: evaluate_step(ready, run, observer, step),
        observer=observer,
        latest=_latest(ready, run),
    )
    ready.loaded.model.train()
    try:
        _end(ready, run, observer, *train(job))
        ready.loaded.model.eval()  # as a live one is wanted from here on
        save_model(ready.loaded, run.model, merge=ready.config.lora.merge)
        run.record_model()
    except KeyboardInterrupt:
        run.remove_temporaries()
        raise
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{run.path} cannot be written: {error}. Make room there, then go on with: "
            f"nextfill train --out {shlex.quote(str(run.path))} --resume"
        ) from error


@contextmanager
def resumable(run: RunDirectory) -> Iterator[None]:
    """Tell how to go on with a run that is interrupted, from when its settings are written.

    A step that is under way catches the first Ctrl-C itself; here are all other moments.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not run.config.is_file():
            raise
        raise Interrupted(newest_step(run.checkpoints), str(run.path)) from stop


def _end(ready: Setup, run: RunDirectory, observer: Observer, step: int, reason: str) -> None:
    """Record how training ended, and bring the best weights back where those are kept."""
    kept = step
    if ready.config.training.keep == "best":
        kept, _ = best_step(run)
        load_best(run.checkpoints, ready.loaded.model, kept)
        observer.on_note(f"the weights of step {kept} are kept, which had the best validation")
    repair_evaluation(ready, run, kept, logger.warning)
    run.append_event({"event": "end", "step": step, "kept": kept, "reason": reason})
    write_token_changes(ready, run, kept)
    record_files(run.path, [run.texts.name] if run.texts.is_file() else [])
    run.record_logs()


def _latest(ready: Setup, run: RunDirectory) -> int | None:
    """Return the step that a run has to go back to, as its best weights are damaged; else None."""
    validated = ready.config.training.keep == "best" and run.read_events("validation")
    if not validated or best_problem(run.checkpoints) is None:
        return None
    return best_step(run)[0]


def save_model(loaded: LoadedModel, folder: Path, *, merge: bool) -> None:
    """Write a plain Hugging Face directory, or a PEFT one for an adapter, whole or not at all."""
    with write_folder(folder, owned=True) as beside:
        if loaded.adapter is not None and not merge:
            save_adapter(loaded, beside)
        else:
            whole = loaded if loaded.adapter is None else merge_adapter(loaded)
            whole.model.save_pretrained(beside)  # type: ignore[operator]
        loaded.tokenizer.save_pretrained(beside)


def make_run(config: TrainConfig) -> RunDirectory:
    """Make the directory of a new run."""
    names = (config.model.name, config.data.each[0].source)
    plain = ["".join(c if c.isalnum() else "-" for c in _short(name)).strip("-") for name in names]
    return new_run_directory(config.out, "-".join(plain))


def start_run(ready: Setup, run: RunDirectory, observer: Observer) -> None:
    """Write down what a run is; leave no directory if that is cut off."""
    config = ready.config
    check_free(run.path)  # now that it is locked
    run.remove_temporaries()  # of a start that was killed
    try:
        write_text(run.config, to_toml(replace(config, out=None)))
        write_beginning(ready, run)
    except BaseException as error:  # a Ctrl-C, too
        shutil.rmtree(run.path)
        if isinstance(error, OSError):
            raise RunError(f"{run.path} cannot be written: {error}. Make room there.") from error
        raise
    field = ready.prepared.train.store.meta["counts"]["text_field"]
    if all(one.source.startswith("builtin:") for one in config.data.each):
        field = None  # how those are kept is nobody's concern
    observer.on_note(
        f"{ready.plan.num_blocks:,} blocks of {ready.plan.block_size} tokens from "
        f"{ready.prepared.train.num_texts:,} documents{f' (text: {field})' if field else ''}; "
        f"{ready.prepared.held_out.num_texts:,} held out; writing to {run.path}"
    )


def write_beginning(ready: Setup, run: RunDirectory) -> None:
    """Write what was found at load, where the text goes, and the record of all that is there."""
    write_json(run.measured, measured(ready))
    write_json(run.ledger, ledger_of(ready))
    record = Record(base=ready.origin)
    names = [path.name for path in (run.config, run.measured, run.ledger)]
    files = {name: file_checksum(run.path / name) for name in names}
    write_record(run.path, replace(record, files=files))


def ledger_of(ready: Setup) -> dict[str, Any]:
    """Return where the text of a job goes."""
    scored = evaluation_frame(
        ready.loaded.tokenizer,
        ready.loaded.objective,
        start_token=ready.config.evaluation.start_token,
    )
    return make_ledger(ready.prepared, ready.plan, scored)


def _short(name: str) -> str:
    """Return the telling part of a model's or data's name: no prefix, folder or suffix."""
    last = Path(name.rpartition("@")[0] or name.rpartition(":")[2]).name
    return last.partition(".")[0] or "data"
