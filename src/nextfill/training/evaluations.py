"""Evaluations during a run: held-out text, further sets, samples, the best step."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nextfill.core.checksums import record_files
from nextfill.core.errors import NextfillError
from nextfill.core.progress import HELD_OUT, Observer
from nextfill.data.parts import Part
from nextfill.data.preparation import Progress
from nextfill.evaluation.document_choice import choose_documents
from nextfill.evaluation.figures import BESIDE
from nextfill.evaluation.metrics import summarize, summarize_part
from nextfill.evaluation.read_text import ReadText
from nextfill.evaluation.rows import scored_rows
from nextfill.evaluation.score_files import (
    read_scores,
    read_tokens,
    scores_file,
    tokens_file,
    write_scores,
    write_tokens,
)
from nextfill.evaluation.scorer import score_part
from nextfill.evaluation.scores import ScoredGroup
from nextfill.evaluation.token_view import read_texts
from nextfill.models.probes import REFUSALS
from nextfill.runs.directory import RunDirectory, write_json
from nextfill.training.checkpoint import save_best
from nextfill.training.samples import make_sample

if TYPE_CHECKING:
    from nextfill.training.setup import Setup

TEXTS = 6
"""Documents that are shown: three that gained most, three that lost most or gained least."""

TOKENS = 300
"""Tokens that are shown of each."""

ALTERNATIVES = 5


def write_token_changes(ready: Setup, run: RunDirectory, kept: int) -> None:
    """Write the held-out documents that changed most, as the model stands now."""
    before, after = (read_scores(scores_file(run.evaluations, step)) for step in (0, kept))
    tokens = read_tokens(tokens_file(run.evaluations, 0))
    if before is None or after is None or tokens is None:
        return
    chosen = choose_documents(after, before, TEXTS)
    store = ready.prepared.held_out.store
    numbers = sorted(chosen)
    rows = scored_rows(
        ready.loaded,
        Part(store, np.array(numbers, np.int64)),
        block_size=ready.plan.block_size,
        evaluation=ready.config.evaluation,
        masking=ready.config.masking,
    )
    lengths = store.documents["tokens"]
    texts = read_texts(
        ready.module,
        ready.loaded,
        store,
        rows,
        numbers,
        alternatives=ALTERNATIVES,
        most_tokens=TOKENS,
        batch_size=ready.config.evaluation.eval_batch_size,
        precision="fp32",
        other_nats=[tokens.spread(number, int(lengths[number])) for number in numbers],
    )
    by_number: dict[int, ReadText] = dict(zip(numbers, texts, strict=True))
    shown = [replace(by_number[number], why=why).to_json() for number, why in chosen.items()]
    write_json(run.texts, {"step": kept, "texts": shown})


_OF_A_STEP = re.compile(r"evaluations/(?:step|tokens)-(\d+)\.")


def evaluate_step(ready: Setup, run: RunDirectory, observer: Observer, step: int) -> bool:
    """Score everything that is to be scored, make a sample, and judge whether to go on."""
    for name, part in {HELD_OUT: ready.prepared.held_out, **ready.prepared.sets}.items():
        scored = _score(ready, observer.on_stage, part, name)
        scores = scored.scores
        by = ready.config.evaluation.by if name == HELD_OUT else None
        evaluation = summarize_part(scores, part.store, by=by, objective=ready.loaded.objective)
        record_files(run.path, _write(run, step, name, scored))
        of_set = {} if name == HELD_OUT else {"set": name}
        figures = {k: v for k, v in evaluation.to_json().items() if k not in BESIDE}
        run.append_event({"event": "evaluation", "step": step, **of_set, **figures})
        observer.on_evaluation(step, evaluation, name)
    _show_sample(ready, run, observer, step)
    validation = ready.prepared.validation
    return validation is not None and _validate(ready, run, observer, step, validation)


def _write(run: RunDirectory, step: int, name: str, scored: ScoredGroup) -> list[str]:
    """Write what each document cost, and return the names of the files."""
    files = [scores_file(run.evaluations, step, None if name == HELD_OUT else name)]
    write_scores(files[0], scored.scores)
    if name == HELD_OUT and step == 0:  # what later ones are shown beside
        files.append(tokens_file(run.evaluations, step))
        write_tokens(files[1], scored.tokens)
    return [path.relative_to(run.path).as_posix() for path in files]


def step_of_file(name: str) -> int:
    """Return the step that a file of an evaluation is of, -1 of any other file.

    Example:
        >>> step_of_file("evaluations/step-00000012.general.npz"), step_of_file("texts.json")
        (12, -1)
    """
    found = _OF_A_STEP.match(name)
    return int(found[1]) if found else -1


def repair_evaluation(
    ready: Setup, run: RunDirectory, step: int, note: Callable[[str], None]
) -> None:
    """Make the files of an evaluation again, if they are damaged."""

    def damaged() -> list[str]:
        return run.problems(lambda name: step_of_file(name) == step)

    found = damaged()
    if not found:
        return
    for name, part in {HELD_OUT: ready.prepared.held_out, **ready.prepared.sets}.items():
        _write(run, step, name, _score(ready, lambda *_: None, part, name))
    done = "are not what they were" if damaged() else "are made again"
    note(f"files of the evaluation at step {step} were damaged and {done}: {'; '.join(found)}")


def _show_sample(ready: Setup, run: RunDirectory, observer: Observer, step: int) -> None:
    """Make a sample; that the model cannot is told once, and ends no run."""
    try:
        prompt, text = make_sample(ready.loaded, ready.config, ready.prepared.held_out)
    except (NextfillError, *REFUSALS) as error:
        if not run.read_events("no sample"):
            observer.on_note(f"There is no sample, and the run goes on: {error}")
        run.append_event({"event": "no sample", "step": step, "why": str(error)})
        return
    run.append_event({"event": "sample", "step": step, "prompt": prompt, "text": text})
    observer.on_sample(step, prompt, text)


def _validate(ready: Setup, run: RunDirectory, observer: Observer, step: int, part: Part) -> bool:
    evaluation = summarize(
        _score(ready, observer.on_stage, part, "validation").scores, ready.loaded.objective
    )
    event = {"nats": evaluation.nats, "targets": evaluation.targets}
    run.append_event(
        {"event": "validation", "step": step, **event, "perplexity": evaluation.perplexity}
    )
    observer.on_evaluation(step, evaluation, "validation")
    best, since = best_step(run)
    if best == step and ready.config.training.keep == "best":
        save_best(run.checkpoints, ready.loaded.model, step)
    patience = ready.config.training.early_stopping
    return patience is not None and since >= patience


def best_step(run: RunDirectory) -> tuple[int, int]:
    """Return the step with the best validation so far, the first of equals."""
    events = run.read_events("validation")
    perplexities = [event["nats"] / event["targets"] for event in events]
    best = int(np.argmin(perplexities))
    return events[best]["step"], len(events) - 1 - best


def _score(ready: Setup, on_stage: Progress, part: Part, name: str) -> ScoredGroup:
    return score_part(
        ready.module,
        ready.loaded,
        part,
        block_size=ready.plan.block_size,
        evaluation=ready.config.evaluation,
        masking=ready.config.masking,
        precision="fp32",  # so that the figure is the one `evaluate` gives
        on_progress=lambda done, total: on_stage(f"evaluating {name}", done, total),
    )
