"""The story of a training run: set-up, a new or a resumed run, its steps, its end, its model.

From the moment the settings are in the run directory, it can be gone on with.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError

from nextfill.config import TrainConfig
from nextfill.config.prefixes import BUILTIN
from nextfill.config.recipe_file import to_toml
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.amounts import amount, verb
from nextfill.core.atomic_write import write_folder
from nextfill.core.checksums import record_files
from nextfill.core.errors import Interrupted, RunError
from nextfill.core.progress import Observer
from nextfill.core.shell_command import shell_command
from nextfill.data.parts import PreparedData
from nextfill.models.adapters.lora import merge_adapter, save_adapter
from nextfill.models.loaded_model import LoadedModel
from nextfill.runs.directory import RunDirectory, check_free, new_run_directory, write_text
from nextfill.runs.reader import train_result
from nextfill.runs.results import TrainResult
from nextfill.training.best_weights import best_problem, load_best
from nextfill.training.checkpoint import newest_step
from nextfill.training.distributed.parallel_choice import choose_shares
from nextfill.training.distributed.rank_agreement import check_agreement
from nextfill.training.distributed.rank_follower import follow
from nextfill.training.distributed.ranks import ALONE, Command, Kind, ManyRanks, Ranks
from nextfill.training.engine import Engine
from nextfill.training.evaluations import best_step, repair_evaluation, write_token_changes
from nextfill.training.extension import extend
from nextfill.training.infilling_record import infilling_note
from nextfill.training.input_directions import begin_from_inputs
from nextfill.training.loop import TORCH, run_steps, sent_batch, take_step
from nextfill.training.prose_model import prose_advice
from nextfill.training.resume import (
    check_resumed,
    note_finished,
    recorded_files,
    rewrite_ledger,
    write_beginning,
)
from nextfill.training.setup import Setup, make_setup

Describe = Callable[[Path, Callable[[str], None]], None]
"""A writer of a page or card of a finished run; it notes its failures and raises none."""


def run_job(
    config: TrainConfig,
    observer: Observer,
    *,
    live: Live = NOTHING_LIVE,
    resume: bool = False,
    rewarm: bool = False,
    describe: Sequence[Describe] = (),
    engine: Engine = TORCH,
    on_advice: Callable[[str], None] | None = None,
    on_directory: Callable[[Path], None] = lambda path: None,
    ranks: Ranks = ALONE,
) -> TrainResult:
    """Train a new run, or go on with the one in ``out``, until it is saved and described.

    With other steps than the run in ``out`` has, it goes on in a new stage, with ``rewarm`` by its
    schedule anew. Advice on the choice of a model is a note, unless it has a receiver of its own.
    ``on_directory`` is told the run's directory once it is this process's own. Of several ranks the
    first does all this, and the others take part in its steps.
    """
    out = RunDirectory(Path(str(config.out)))
    taken = newest_step(out.checkpoints) if resume and ranks.is_first else 0
    setup = make_setup(
        *(config, observer, live),
        check=engine.check,
        compare=taken == 0 and ranks.is_first,
        files=recorded_files(out, config) if resume else None,
    )
    if isinstance(ranks, ManyRanks):
        setup = replace(setup, ranks=ranks)
        choose_shares(setup, ranks)
        check_agreement(setup)
        if not ranks.is_first:
            return _take_part(setup, ranks)
    run = out if resume else _make_directory(config)
    with _resumable(run), run.locked():
        if resume:
            check_resumed(setup, run, observer)
            setup = extend(setup, run, observer, rewarm=rewarm)
            note_finished(setup, run, observer)
        else:
            _start(setup, run, observer)
            if advice := prose_advice(setup):
                (on_advice or observer.on_note)(advice)
        on_directory(run.path)
        _train(setup, run, observer, engine)
        for write in describe:
            write(run.path, observer.on_note)
        result = train_result(run.path)  # before another process may go on with the run
    ranks.command(Command(Kind.END, about=result))
    return result


def _take_part(setup: Setup, ranks: ManyRanks) -> TrainResult:
    """Take part in the steps of the first rank, and return the result that it tells."""
    if setup.config.lora.init == "eva":
        begin_from_inputs(setup)
    setup.loaded.model.train()
    result: TrainResult = follow(setup, ranks, sent_batch, take_step)
    return result


def _train(setup: Setup, run: RunDirectory, observer: Observer, engine: Engine) -> None:
    """Take the steps of a run, and write its end and its model."""
    if setup.config.lora.init == "eva":
        begin_from_inputs(setup)
    latest = _latest_undamaged(setup, run)
    with _advised(run):
        setup.loaded.model.train()
        with closing(setup.feed):
            step, reason = run_steps(setup, run, observer, engine, latest=latest)
        if setup.stream is not None:
            rewrite_ledger(setup, run, step)
        kept = _load_kept(setup, run, observer, step)
        repair_evaluation(setup, run, kept)
        blocks = setup.feed.blocks_by_source(step)
        of_sources = {"blocks": blocks} if blocks else {}
        run.append_event(
            {"event": "end", "step": step, "kept": kept, "reason": reason, **of_sources}
        )
        write_token_changes(setup, run, kept)
        record_files(run.path, [run.texts.name] if run.texts.is_file() else [])
        run.record_logs()
        setup.loaded.model.eval()  # as a live one is wanted from here on
        save_model(setup.loaded, run.model, merge=setup.config.lora.merge)
        run.record_model()


def _make_directory(config: TrainConfig) -> RunDirectory:
    names = (config.model.name, config.data.each[0].source)
    plain = ["".join(c if c.isalnum() else "-" for c in _stem(name)).strip("-") for name in names]
    return new_run_directory(config.out, "-".join(plain))


def _stem(name: str) -> str:
    """Return a model's or data's name without prefix, folder, revision and suffix."""
    last = Path(name.rpartition("@")[0] or name.rpartition(":")[2]).name
    return last.partition(".")[0] or "data"


def _start(setup: Setup, run: RunDirectory, observer: Observer) -> None:
    """Write the records that a run begins with, or remove its directory if that fails."""
    config = setup.config
    check_free(run.path)  # now that it is locked
    run.remove_temporaries()  # of a start that was killed
    try:
        write_text(run.config, to_toml(replace(config, out=None)))
        write_beginning(setup, run)
    except BaseException as error:  # a Ctrl-C, too
        shutil.rmtree(run.path)
        if isinstance(error, OSError):
            raise RunError(f"{run.path} cannot be written: {error}. Make room there.") from error
        raise
    train = setup.prepared.train
    counts = train.store.meta["counts"]
    field = counts["text_field"]
    if train.store.contexts is not None:
        share = train.context_tokens / max(1, train.num_tokens)
        field = (
            f"{field or 'text'} after {counts['context_field'] or 'a context'}, of which nothing "
            f"is learnt: {share:.0%} of the tokens"
        )
    if all(one.source.startswith(BUILTIN) for one in config.data.each):
        field = None  # how those are kept is nobody's concern
    observer.on_note(
        f"{amount(setup.plan.num_blocks, 'block')} of {setup.plan.block_size} tokens from "
        f"{amount(train.num_texts, 'document')}"
        f"{f' (text: {field})' if field else ''}; "
        f"{_held_out(setup.prepared)}; writing to {run.path}"
    )
    if counts := setup.ledger().get("infilling"):
        observer.on_note(infilling_note(counts, setup.plan.block_size))
    if setup.stream is not None:
        observer.on_note(
            "that is the first portion of the text: more is read while the steps are taken"
        )


def _held_out(prepared: PreparedData) -> str:
    """Return in words what is held out: whole documents, the ends of those trained on, or both."""
    number = prepared.held_out.num_texts
    ends = min(prepared.num_ends, number)
    of_ends = f"{verb(ends, 'the end', 'the ends')} of {ends:,}"
    if number == ends:
        return f"{of_ends} held out"
    return f"{number - ends:,} held out{f', and {of_ends}' if ends else ''}"


def _latest_undamaged(setup: Setup, run: RunDirectory) -> int | None:
    """Return the step to go back to where the weights of the best one are damaged, else None."""
    validated = setup.config.training.keep == "best" and run.read_events("validation")
    if not validated or best_problem(run.checkpoints) is None:
        return None
    return best_step(run)[0]


def _load_kept(setup: Setup, run: RunDirectory, observer: Observer, step: int) -> int:
    """Load the weights to be saved, the last or the best, and return their step."""
    if setup.config.training.keep == "best":
        step, _ = best_step(run)
        load_best(run.checkpoints, setup.loaded.model, step)
        observer.on_note(f"the weights of step {step} are kept, which had the best validation")
    return step


def save_model(loaded: LoadedModel, folder: Path, *, merge: bool) -> None:
    """Write a plain Hugging Face directory, or a PEFT one for an adapter, whole or not at all.

    An adapter is merged, on request, in place.
    """
    with write_folder(folder, owned=True) as beside:
        if loaded.adapter is not None and not merge:
            save_adapter(loaded, beside)
        else:
            whole = loaded if loaded.adapter is None else merge_adapter(loaded)
            whole.model.save_pretrained(beside)  # type: ignore[operator]
        loaded.tokenizer.save_pretrained(beside)


@contextmanager
def _resumable(run: RunDirectory) -> Iterator[None]:
    """Turn a Ctrl-C into `Interrupted`, with the command to go on, once settings are written.

    A step that is under way catches the first Ctrl-C itself; here are all other moments.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if not run.config.is_file():
            raise
        raise Interrupted(newest_step(run.checkpoints), str(run.path)) from stop


@contextmanager
def _advised(run: RunDirectory) -> Iterator[None]:
    """Turn a full or failing disk into advice, and remove unfinished files after a Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        run.remove_temporaries()
        raise
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{run.path} cannot be written: {error}. Make room there, then go on with: "
            f"{shell_command('train', '--out', run.path, '--resume')}"
        ) from error
