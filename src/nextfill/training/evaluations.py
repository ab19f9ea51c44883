"""Evaluations during a run: the scores of each set, samples, the best step, the token view."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import numpy as np

from nextfill.core.checksums import record_files
from nextfill.core.errors import NextfillError
from nextfill.core.progress import HELD_OUT, Observer, Progress
from nextfill.data.parts import Part
from nextfill.evaluation.figures import CONTEXT
from nextfill.evaluation.metrics import summarize, summarize_part
from nextfill.evaluation.rows import scored_rows
from nextfill.evaluation.scores import (
    ScoredGroup,
    read_scores,
    read_tokens,
    scores_file,
    tokens_file,
    write_scores,
    write_tokens,
)
from nextfill.evaluation.token_view import choose_documents, read_texts
from nextfill.models.libraries import REFUSALS
from nextfill.runs.directory import RunDirectory, write_json
from nextfill.runs.evaluated_sets import TEACHER
from nextfill.runs.quantization_cost import cost_line
from nextfill.training.best_weights import save_best
from nextfill.training.distributed.rank_scoring import SCORING, Work, score
from nextfill.training.quantized_base import quantization_event
from nextfill.training.samples import Sample, make_sample
from nextfill.training.setup import Setup

logger = logging.getLogger("nextfill")

TEXTS = 6
"""Documents of the token view: three that gained most, three that lost most or gained least."""

TOKENS = 300
"""Tokens of each document in the token view."""

ALTERNATIVES = 5
"""Likelier tokens beside each token of the view."""

_OF_A_STEP = re.compile(r"evaluations/(?:step|tokens)-(\d+)\.")


def evaluate_step(setup: Setup, run: RunDirectory, observer: Observer, step: int) -> bool:
    """Score all sets, make a sample, and return whether the run should stop early."""
    if step == 0:
        _evaluate_teacher(setup, run, observer)
    if step == 0 and setup.new_tokens is not None:
        run.append_event(setup.new_tokens.event(setup.prepared.held_out))
    if step == 0 and setup.loaded.quantization is not None:
        run.append_event(quantization_event(setup.loaded.quantization, setup.whole))
    sample: Sample | None = None
    for name, part in _evaluated_parts(setup).items():
        work = Work(samples=name == HELD_OUT)
        scored, made = _score(setup, observer.on_stage, part, name, work)
        sample = made or sample
        scores = scored.scores
        by = setup.config.evaluation.by if name == HELD_OUT else None
        evaluation = summarize_part(scores, part.store, by=by, objective=setup.loaded.objective)
        record_files(run.path, _write(run, step, name, scored))
        of_set = {} if name == HELD_OUT else {"set": name}
        figures = {k: v for k, v in evaluation.to_json().items() if k not in CONTEXT}
        run.append_event({"event": "evaluation", "step": step, **of_set, **figures})
        observer.on_evaluation(step, evaluation, name)
        if step == 0 and name == HELD_OUT and setup.whole is not None:
            observer.on_note(cost_line(setup.whole["perplexity"], evaluation.perplexity))
    _show_sample(setup, run, observer, step, sample)
    validation = setup.prepared.validation
    return validation is not None and _validate(setup, run, observer, step, validation)


def _evaluate_teacher(setup: Setup, run: RunDirectory, observer: Observer) -> None:
    """Score the held-out part with the teacher, once, as its student is scored."""
    teacher = setup.teacher
    if teacher is None:
        return
    part = setup.prepared.held_out
    scored, _ = _score(setup, observer.on_stage, part, HELD_OUT, Work(by_teacher=True))
    scores = scored.scores
    evaluation = summarize_part(scores, part.store, by=None, objective=setup.loaded.objective)
    figures = {k: v for k, v in evaluation.to_json().items() if k not in CONTEXT}
    run.append_event({"event": TEACHER, "step": 0, **figures})
    observer.on_note(
        f"teacher {teacher.loaded.name}: held-out perplexity {evaluation.perplexity:.2f}"
    )


def _evaluated_parts(setup: Setup) -> dict[str, Part]:
    return {HELD_OUT: setup.prepared.held_out, **setup.prepared.sets}


def _write(run: RunDirectory, step: int, name: str, scored: ScoredGroup) -> list[str]:
    """Write the scores of the documents, and return the names of the files."""
    files = [scores_file(run.evaluations, step, None if name == HELD_OUT else name)]
    write_scores(files[0], scored.scores)
    if name == HELD_OUT and step == 0:  # for the token view
        files.append(tokens_file(run.evaluations, step))
        write_tokens(files[1], scored.tokens)
    return [path.relative_to(run.path).as_posix() for path in files]


def step_of_file(name: str) -> int:
    """Return the step of an evaluation's file, -1 for any other file.

    Example:
        >>> step_of_file("evaluations/step-00000012.general.npz"), step_of_file("texts.json")
        (12, -1)
    """
    found = _OF_A_STEP.match(name)
    return int(found[1]) if found else -1


def repair_evaluation(setup: Setup, run: RunDirectory, step: int) -> None:
    """Make the files of an evaluation again if they are damaged, with the weights of its step."""

    def problems() -> list[str]:
        return run.problems(lambda name: step_of_file(name) == step)

    damaged = problems()
    if not damaged:
        return
    for name, part in _evaluated_parts(setup).items():
        scored, _ = _score(setup, lambda *_: None, part, name, alone=True)
        _write(run, step, name, scored)
    done = "are not what they were" if problems() else "are made again"
    logger.warning(
        "files of the evaluation at step %d were damaged and %s: %s", step, done, "; ".join(damaged)
    )


def _show_sample(
    setup: Setup, run: RunDirectory, observer: Observer, step: int, sample: Sample | None
) -> None:
    """Show a sample, and make it if there is none yet.

    A model that cannot is reported once, and ends no run.
    """
    try:
        prompt, text = sample or make_sample(setup.loaded, setup.config, setup.prepared.held_out)
    except (NextfillError, *REFUSALS) as error:
        if not run.read_events("no sample"):
            observer.on_note(f"There is no sample, and the run goes on: {error}")
        run.append_event({"event": "no sample", "step": step, "why": str(error)})
        return
    run.append_event({"event": "sample", "step": step, "prompt": prompt, "text": text})
    observer.on_sample(step, prompt, text)


def _validate(setup: Setup, run: RunDirectory, observer: Observer, step: int, part: Part) -> bool:
    scored, _ = _score(setup, observer.on_stage, part, "validation")
    evaluation = summarize(scored.scores, setup.loaded.objective)
    figures = {key: getattr(evaluation, key) for key in ("nats", "targets", "perplexity")}
    run.append_event({"event": "validation", "step": step, **figures})
    observer.on_evaluation(step, evaluation, "validation")
    best, since = best_step(run)
    if best == step and setup.config.training.keep == "best":
        save_best(run.checkpoints, setup.loaded.model, step)
    patience = setup.config.training.early_stopping
    return patience is not None and since >= patience


def best_step(run: RunDirectory) -> tuple[int, int]:
    """Return the first step with the best validation, and the number of validations since."""
    events = run.read_events("validation")
    best = int(np.argmin([event["nats"] / event["targets"] for event in events]))
    return events[best]["step"], len(events) - 1 - best


def _score(
    setup: Setup,
    on_stage: Progress,
    part: Part,
    name: str,
    work: Work = SCORING,
    *,
    alone: bool = False,
) -> tuple[ScoredGroup, Sample | None]:
    """Score a part, and make a sample meanwhile, by all ranks that train."""
    return score(setup, part, f"evaluating {name}", on_stage, work, alone=alone)


def write_token_changes(setup: Setup, run: RunDirectory, kept: int) -> None:
    """Write the token view: the held-out documents that changed most up to the kept step."""
    before, after = (read_scores(scores_file(run.evaluations, step)) for step in (0, kept))
    tokens = read_tokens(tokens_file(run.evaluations, 0))
    if before is None or after is None or tokens is None:
        return
    reasons = choose_documents(after, before, TEXTS)
    store = setup.prepared.held_out.store
    numbers = sorted(reasons)
    rows = scored_rows(
        setup.loaded,
        Part(store, np.array(numbers, np.int64)),
        block_size=setup.plan.block_size,
        evaluation=setup.config.evaluation,
        masking=setup.config.masking,
    )
    lengths = store.documents["tokens"]
    texts = read_texts(
        setup.module,
        setup.loaded,
        store,
        rows,
        numbers,
        alternatives=ALTERNATIVES,
        most_tokens=TOKENS,
        batch_size=setup.config.evaluation.eval_batch_size,
        precision="fp32",
        other_nats=[tokens.spread(number, int(lengths[number])) for number in numbers],
    )
    by_number = dict(zip(numbers, texts, strict=True))
    shown = [replace(by_number[number], why=why).to_json() for number, why in reasons.items()]
    write_json(run.texts, {"step": kept, "texts": shown})
