"""What a run measures on its way: held-out text, further sets, a sample, and the best step.

The best step is chosen by a validation part that is taken off the training part, never by the
held-out documents, so that the figure after training stays an honest one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextfill.data.parts import Part
from nextfill.errors import NextfillError
from nextfill.infer.evaluation.figures import BESIDE
from nextfill.infer.evaluation.kept import scores_file, tokens_file, write_scores, write_tokens
from nextfill.infer.evaluation.score import score_part
from nextfill.infer.evaluation.scores import ScoredGroup
from nextfill.infer.evaluation.summary import summarize, summarize_part
from nextfill.models.probes import REFUSALS
from nextfill.training.checkpoint import save_best
from nextfill.training.progress import HELD_OUT, Observer
from nextfill.training.run import RunDirectory
from nextfill.training.samples import make_sample

if TYPE_CHECKING:
    from nextfill.training.ready import Ready


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
        scored = _score(ready, observer, part, name)
        scores = scored.scores
        by = ready.config.evaluation.by if name == HELD_OUT else None
        evaluation = summarize_part(scores, part.store, by=by, objective=ready.loaded.objective)
        of_name = None if name == HELD_OUT else name
        write_scores(scores_file(run.evaluations, step, of_name), scores)
        if name == HELD_OUT and step == 0:  # what later ones are shown beside
            write_tokens(tokens_file(run.evaluations, step), scored.tokens)
        of_set = {} if name == HELD_OUT else {"set": name}
        figures = {k: v for k, v in evaluation.to_json().items() if k not in BESIDE}
        run.append_event({"event": "evaluation", "step": step, **of_set, **figures})
        observer.on_evaluation(step, evaluation, name)
    _show_sample(ready, run, observer, step)
    validation = ready.prepared.validation
    return validation is not None and _validate(ready, run, observer, step, validation)


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
        _score(ready, observer, part, "validation").scores, ready.loaded.objective
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


def _score(ready: Ready, observer: Observer, part: Part, name: str) -> ScoredGroup:
    return score_part(
        ready.module,
        ready.loaded,
        part,
        block_size=ready.plan.block_size,
        evaluation=ready.config.evaluation,
        masking=ready.config.masking,
        precision="fp32",  # so that the figure is the one `evaluate` gives
        on_progress=lambda done, total: observer.on_stage(f"evaluating {name}", done, total),
    )
