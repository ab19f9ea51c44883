"""What a run measures on its way: held-out text, further sets, a sample, and the best step.

The best step is chosen by a validation part that is taken off the training part, never by the
held-out documents, so that the figure after training stays an honest one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nextfill.data.parts import Part
from nextfill.data.prepare import Progress
from nextfill.errors import NextfillError
from nextfill.infer.evaluation.figures import BESIDE
from nextfill.infer.evaluation.kept import scores_file, tokens_file, write_scores, write_tokens
from nextfill.infer.evaluation.score import score_part
from nextfill.infer.evaluation.scores import ScoredGroup
from nextfill.infer.evaluation.summary import summarize, summarize_part
from nextfill.models.probes import REFUSALS
from nextfill.progress import HELD_OUT, Observer
from nextfill.record import record_files
from nextfill.training.checkpoint import save_best
from nextfill.training.run import RunDirectory
from nextfill.training.samples import make_sample

if TYPE_CHECKING:
    from nextfill.training.ready import Ready

_OF_A_STEP = re.compile(r"evaluations/(?:step|tokens)-(\d+)\.")


def evaluate_step(ready: Ready, run: RunDirectory, observer: Observer, step: int) -> bool:
    """Score everything that is to be scored, make a sample, and judge whether to go on.

    Args:
        ready: The job.
        run: Its directory, to which events and scores are added.
        observer: Told of each result.
        step: Steps taken so far.

    Returns:
        Whether the run should stop early.
    """
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
    ready: Ready, run: RunDirectory, step: int, note: Callable[[str], None]
) -> None:
    """Make the files of an evaluation again, if they are damaged.

    Args:
        ready: The job, with the weights of that step.
        run: Its directory.
        step: The step.
        note: Told what was done.
    """

    def damaged() -> list[str]:
        return run.problems(lambda name: step_of_file(name) == step)

    found = damaged()
    if not found:
        return
    for name, part in {HELD_OUT: ready.prepared.held_out, **ready.prepared.sets}.items():
        _write(run, step, name, _score(ready, lambda *_: None, part, name))
    done = "are not what they were" if damaged() else "are made again"
    note(f"files of the evaluation at step {step} were damaged and {done}: {'; '.join(found)}")


def _show_sample(ready: Ready, run: RunDirectory, observer: Observer, step: int) -> None:
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


def _validate(ready: Ready, run: RunDirectory, observer: Observer, step: int, part: Part) -> bool:
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
    """Return the step with the best validation so far, the first of equals.

    Returns:
        The step, and how many validations there were after it.
    """
    events = run.read_events("validation")
    perplexities = [event["nats"] / event["targets"] for event in events]
    best = int(np.argmin(perplexities))
    return events[best]["step"], len(events) - 1 - best


def _score(ready: Ready, on_stage: Progress, part: Part, name: str) -> ScoredGroup:
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
