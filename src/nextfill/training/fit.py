"""One training run, from a job that is ready to a saved model.

From the moment the run directory is made, it holds what is needed to go on.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from nextfill.config import GenerationConfig
from nextfill.data.ledger import make_ledger
from nextfill.data.prepare import evaluation_frame
from nextfill.errors import Interrupted, RunError
from nextfill.infer.evaluate import score_part
from nextfill.infer.figures import DocumentScores, summarize
from nextfill.infer.generate import generate_text, prompt_ids
from nextfill.models.adapters import merge_adapter, save_adapter
from nextfill.models.loaded import LoadedModel
from nextfill.recipe import to_toml
from nextfill.training.checkpoint import newest_step
from nextfill.training.loop import Job, train
from nextfill.training.progress import Observer
from nextfill.training.ready import Ready, measured
from nextfill.training.run import RunDirectory, new_run_directory, write_json, write_text

SAMPLE_PROMPT_TOKENS = 12
SAMPLE_NEW_TOKENS = 60


def fit(ready: Ready, run: RunDirectory, observer: Observer) -> None:
    """Train from where the run stands to its end and save the model.

    Args:
        ready: The job.
        run: Its directory, which holds the settings already.
        observer: Told of progress.

    Raises:
        Interrupted: On Ctrl-C, after the state is saved.
        RunError: If the run cannot be written, or another process writes it.
    """
    job = Job(
        config=ready.config,
        module=ready.module,
        store=ready.prepared.train.store,
        plan=ready.plan,
        run=run,
        device=ready.loaded.device,
        precision=ready.config.precision,
        pad_id=ready.loaded.pad_id,
        evaluate=lambda step: _evaluate(ready, run, observer, step),
        observer=observer,
    )
    ready.loaded.model.train()
    try:
        with run.locked():
            train(job)
            ready.loaded.model.eval()  # as a live one is wanted from here on
            save_model(ready.loaded, run.model, merge=ready.config.lora.merge)
    except KeyboardInterrupt as stop:  # outside a step, or for the second time
        raise Interrupted(newest_step(run.checkpoints), str(run.path)) from stop
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{run.path} cannot be written: {error}. Make room there, then go on with: "
            f"nextfill train --out {shlex.quote(str(run.path))} --resume"
        ) from error


def _evaluate(ready: Ready, run: RunDirectory, observer: Observer, step: int) -> None:
    scores = score_part(
        ready.module,
        ready.loaded,
        ready.prepared.held_out,
        block_size=ready.plan.block_size,
        evaluation=ready.config.evaluation,
        precision="fp32",  # so that the figure is the one `evaluate` gives
        on_progress=lambda done, total: observer.on_stage("evaluating", done, total),
    )
    evaluation = summarize(scores)
    write_scores(run, step, scores)
    run.append_event({"event": "evaluation", "step": step, **evaluation.to_json()})
    observer.on_evaluation(step, evaluation)
    prompt, text = _sample(ready)
    run.append_event({"event": "sample", "step": step, "prompt": prompt, "text": text})
    observer.on_sample(step, prompt, text)


def write_scores(run: RunDirectory, step: int, scores: DocumentScores) -> None:
    """Keep each document's nats and sizes, from which every evaluation figure follows."""
    run.evaluations.mkdir(exist_ok=True)
    final = run.evaluations / f"step-{step:08d}.npz"
    temporary = final.with_name(f".{final.name}")
    with temporary.open("wb") as file:
        np.savez(file, **asdict(scores))
    temporary.replace(final)


def _sample(ready: Ready) -> tuple[str, str]:
    config, loaded = ready.config, ready.loaded
    given = config.training.sample_prompt
    prompt = _first_words(ready) if given is None else given
    length = prompt_ids(loaded, prompt, max_new_tokens=1).shape[1]
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
    return str(ready.loaded.tokenizer.decode(ids.tolist(), skip_special_tokens=True))


def save_model(loaded: LoadedModel, folder: Path, *, merge: bool) -> None:
    """Write a plain Hugging Face directory, or a PEFT one for an adapter, whole or not at all.

    Args:
        loaded: The model; with an adapter, the adapter is saved alone.
        folder: Where.
        merge: Merge an adapter into the model, in place, and save the whole.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    if loaded.adapter is not None and not merge:
        save_adapter(loaded, temporary)
    else:
        whole = loaded if loaded.adapter is None else merge_adapter(loaded)
        whole.model.save_pretrained(temporary)  # type: ignore[operator]
    loaded.tokenizer.save_pretrained(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def start_run(ready: Ready, observer: Observer) -> RunDirectory:
    """Make the run directory and write down what the run is."""
    config = ready.config
    names = (config.model.name, config.data.source)
    plain = ["".join(c if c.isalnum() else "-" for c in _short(name)).strip("-") for name in names]
    run = new_run_directory(config.out, "-".join(plain))
    write_text(run.config, to_toml(replace(config, out=None)))
    write_json(run.measured, measured(ready))
    write_json(run.ledger, _ledger(ready))
    field = ready.prepared.train.store.meta["counts"]["text_field"]
    observer.on_note(
        f"{ready.plan.num_blocks:,} blocks of {ready.plan.block_size} tokens from "
        f"{ready.prepared.train.num_texts:,} documents{f' (text: {field})' if field else ''}; "
        f"{ready.prepared.held_out.num_texts:,} held out; writing to {run.path}"
    )
    return run


def continue_run(ready: Ready, path: Path, observer: Observer) -> RunDirectory:
    """Open the directory of a run to go on with, and check that its data are still the same.

    Raises:
        RunError: If the data have changed: other blocks would follow, and another held-out part.
    """
    run = RunDirectory(path)
    if not run.ledger.is_file():  # killed before it began
        write_json(run.measured, measured(ready))
        write_json(run.ledger, _ledger(ready))
    recorded, now = json.loads(run.ledger.read_text("utf-8")), _ledger(ready)
    changed = [key for key in recorded.keys() & now.keys() if recorded[key] != now[key]]
    if changed:
        raise RunError(
            f"The data of {path} have changed since it began (its ledger differs in "
            f"{', '.join(sorted(changed))}): bring the old data back (for a built-in corpus, the "
            "versions of its packages), or start a new run."
        )
    before, here = json.loads(run.measured.read_text("utf-8")), measured(ready)
    for key in ("isolation", "device", "threads", "versions"):
        if before.get(key) != here[key]:
            observer.on_note(
                f"{key} was {before.get(key)} and is {here[key]}: the rest of the run may differ "
                "in its last digits from one that was never stopped"
            )
    return run


def _ledger(ready: Ready) -> dict[str, Any]:
    return make_ledger(ready.prepared, ready.plan, evaluation_frame(ready.loaded.tokenizer))


def _short(name: str) -> str:
    """Return the telling part of a model's or data's name: no prefix, folder or suffix."""
    last = Path(name.rpartition(":")[2]).name
    return last.partition(".")[0] or "data"
