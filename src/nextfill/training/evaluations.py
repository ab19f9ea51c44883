"""What a run measures on its way: held-out text, further sets, a sample, and the best step.

The best step is chosen by a validation part that is taken off the training part, never by the
held-out documents, so that the figure after training stays an honest one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from nextfill.config import GenerationConfig
from nextfill.data.parts import Part
from nextfill.infer.evaluate import score_part
from nextfill.infer.figures import DocumentScores, summarize
from nextfill.infer.generate import generate_text
from nextfill.infer.prompts import prompt_ids
from nextfill.training.checkpoint import save_best
from nextfill.training.progress import HELD_OUT, Observer
from nextfill.training.run import RunDirectory

if TYPE_CHECKING:
    from nextfill.training.ready import Ready

SAMPLE_PROMPT_TOKENS = 12
SAMPLE_NEW_TOKENS = 60


def evaluate_step(ready: Ready, run: RunDirectory, observer: Observer, step: int) -> bool:
    """Score everything that is to be scored, continue a text, and judge whether to go on.

    Args:
        ready: The job.
        run: Its directory, to which events and scores are added.
        observer: Told of each result.
        step: Steps taken so far.

    Returns:
        Whether the run should stop early.
    """
    for name, part in {HELD_OUT: ready.prepared.held_out, **ready.prepared.sets}.items():
        scores = _score(ready, observer, part, name)
        evaluation = summarize(scores, ready.loaded.objective)
        _write_scores(run, step, name, scores)
        of_set = {} if name == HELD_OUT else {"set": name}
        figures = evaluation.to_json()
        run.append_event({"event": "evaluation", "step": step, **of_set, **figures})
        observer.on_evaluation(step, evaluation, name)
    prompt, text = _sample(ready)
    run.append_event({"event": "sample", "step": step, "prompt": prompt, "text": text})
    observer.on_sample(step, prompt, text)
    validation = ready.prepared.validation
    return validation is not None and _validate(ready, run, observer, step, validation)


def _validate(ready: Ready, run: RunDirectory, observer: Observer, step: int, part: Part) -> bool:
    evaluation = summarize(_score(ready, observer, part, "validation"), ready.loaded.objective)
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


def _score(ready: Ready, observer: Observer, part: Part, name: str) -> DocumentScores:
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


def _write_scores(run: RunDirectory, step: int, name: str, scores: DocumentScores) -> None:
    """Keep each document's nats and sizes, from which every evaluation figure follows."""
    run.evaluations.mkdir(exist_ok=True)
    of_set = "" if name == HELD_OUT else f".{name}"
    final = run.evaluations / f"step-{step:08d}{of_set}.npz"
    temporary = final.with_name(f".{final.name}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **asdict(scores))
    temporary.replace(final)


def _sample(ready: Ready) -> tuple[str, str]:
    config, loaded = ready.config, ready.loaded
    given = config.training.sample_prompt
    prompt = _first_words(ready) if given is None else given
    length = len(prompt_ids(loaded, prompt, max_new_tokens=1))
    limit = loaded.max_positions  # a short model ends its sample early rather than the run
    room = SAMPLE_NEW_TOKENS if limit is None else limit - length
    generation = GenerationConfig(max_new_tokens=min(SAMPLE_NEW_TOKENS, room))
    results = generate_text(loaded, [prompt], generation, seed=config.seed, precision="fp32")
    return prompt, results[0][0]["generated_text"]


def _first_words(ready: Ready) -> str:
    """Return the beginning of the first held-out document that is long enough to begin."""
    part = ready.prepared.held_out
    lengths = part.store.documents["tokens"][part.documents]
    long_enough = np.flatnonzero(lengths >= 4 * SAMPLE_PROMPT_TOKENS)
    at = int(long_enough[0]) if len(long_enough) else int(np.argmax(lengths))
    count = min(SAMPLE_PROMPT_TOKENS, int(lengths[at]))
    ids = part.store.tokens(int(part.documents[at]), 0, count)
    text = str(ready.loaded.tokenizer.decode(ids.tolist(), skip_special_tokens=True))
    words = text.rstrip().rpartition(" ")[0].rstrip()  # the last may be cut in the middle
    return words if count < lengths[at] and words else text
