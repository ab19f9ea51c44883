"""One training run from checked settings to a saved model.

Everything that can be wrong is found before the run directory is made; from then on the directory
always holds what is needed to go on.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nextfill import __version__
from nextfill.config import GenerationConfig, TrainConfig
from nextfill.data.cache import cache_dir
from nextfill.data.ledger import make_ledger
from nextfill.data.pack import BlockPlan
from nextfill.data.prepare import (
    Prepared,
    evaluation_frame,
    plan_training,
    prepare_data,
    training_frame,
)
from nextfill.infer.evaluate import DocumentScores, score_documents, summarize
from nextfill.infer.generate import generate_text
from nextfill.models.compute import pick_device, pick_precision, tune_allocator
from nextfill.models.isolation import Isolation, probe_isolation
from nextfill.models.load import LoadedModel, check_block_size, load_model
from nextfill.models.step import StepModule
from nextfill.recipe import to_toml
from nextfill.training.loop import Job, train
from nextfill.training.progress import Observer
from nextfill.training.run import RunDirectory, new_run_directory, write_json, write_text

SAMPLE_PROMPT_TOKENS = 12
SAMPLE_NEW_TOKENS = 60


@dataclass(frozen=True)
class Ready:
    """A job whose data and model are loaded and fit one another.

    Args:
        config: The settings, with what was found at load put in.
        loaded: Model and tokenizer, on the device.
        module: The step module around the model.
        prepared: The data.
        plan: The training blocks.
    """

    config: TrainConfig
    loaded: LoadedModel
    module: StepModule
    prepared: Prepared
    plan: BlockPlan


def choose_isolation(config: TrainConfig, loaded: LoadedModel) -> tuple[TrainConfig, Isolation]:
    """Find what keeps packed documents apart, and pad where nothing does."""
    if not config.blocks.isolate:
        return config, "none"
    if config.blocks.packing == "pad":
        return config, "pad"
    isolation = probe_isolation(loaded.model)
    if isolation == "pad":
        config = replace(config, blocks=replace(config.blocks, packing="pad"))
    return config, isolation


def get_ready(config: TrainConfig, observer: Observer) -> Ready:
    """Load and check everything a run needs, without writing any of the run.

    Args:
        config: The settings.
        observer: Told of progress and findings.

    Returns:
        The job, ready to be trained.

    Raises:
        NextfillError: If anything does not fit.
    """
    tune_allocator()
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device)
    loaded = load_model(config.model, seed=config.seed, dropout=config.training.dropout)
    check_block_size(config.blocks.block_size, loaded)
    if loaded.unexpected:
        observer.on_note(
            f"{len(loaded.unexpected)} weights of the checkpoint have no place in the model and "
            f"are left out: {', '.join(loaded.unexpected[:3])}"
        )
    loaded.model.to(device)
    config, isolation = choose_isolation(config, loaded)
    observer.on_note(
        f"{loaded.name}: {loaded.num_parameters:,} parameters, {device.type}, {precision}; "
        f"packing {config.blocks.packing}, documents kept apart by {isolation}"
    )
    prepared = prepare_data(
        config.data,
        loaded.tokenizer,
        seed=config.seed,
        cache=cache_dir(config.cache_dir),
        on_progress=observer.on_stage,
    )
    frame = training_frame(loaded.tokenizer, end_of_document=config.blocks.end_of_document)
    plan = plan_training(prepared.train, config.blocks, frame)
    module = StepModule(loaded.model, isolation)
    config = replace(config, precision=precision)
    return Ready(config, loaded, module, prepared, plan)


def fit(ready: Ready, run: RunDirectory, observer: Observer) -> None:
    """Train from where the run stands to its end and save the model.

    Args:
        ready: The job.
        run: Its directory, which holds the settings already.
        observer: Told of progress.

    Raises:
        Interrupted: On Ctrl-C, after the state is saved.
    """
    pad = ready.loaded.tokenizer.pad_token_id
    job = Job(
        config=ready.config,
        module=ready.module,
        store=ready.prepared.train.store,
        plan=ready.plan,
        run=run,
        device=next(ready.loaded.model.parameters()).device,
        precision=ready.config.precision,
        pad_id=pad if pad is not None else 0,
        evaluate=lambda step: _evaluate(ready, run, observer, step),
        observer=observer,
    )
    ready.loaded.model.train()
    train(job)
    save_model(ready.loaded, run.model)


def _evaluate(ready: Ready, run: RunDirectory, observer: Observer, step: int) -> None:
    scores = score_held_out(ready, observer)
    evaluation = summarize(scores)
    write_scores(run, step, scores)
    run.append_event({"event": "evaluation", "step": step, **evaluation.to_json()})
    observer.on_evaluation(step, evaluation)
    prompt, text = _sample(ready)
    run.append_event({"event": "sample", "step": step, "prompt": prompt, "text": text})
    observer.on_sample(step, prompt, text)


def score_held_out(ready: Ready, observer: Observer) -> DocumentScores:
    """Score the held-out part in float32, so that the figure is the one `evaluate` gives."""
    config, part, loaded = ready.config, ready.prepared.held_out, ready.loaded
    pad = loaded.tokenizer.pad_token_id
    return score_documents(
        ready.module,
        part.store,
        part.documents,
        frame=evaluation_frame(loaded.tokenizer),
        block_size=config.blocks.block_size,
        stride=config.evaluation.stride,
        batch_size=config.evaluation.eval_batch_size,
        device=next(loaded.model.parameters()).device,
        precision="fp32",
        pad_id=pad if pad is not None else 0,
        on_progress=lambda done, total: observer.on_stage("evaluating", done, total),
    )


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
    prompt = config.training.sample_prompt or _first_words(ready)
    generation = GenerationConfig(max_new_tokens=SAMPLE_NEW_TOKENS)
    device = next(loaded.model.parameters()).device
    results = generate_text(
        loaded, [prompt], generation, seed=config.seed, device=device, precision="fp32"
    )
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


def save_model(loaded: LoadedModel, folder: Path) -> None:
    """Write a plain Hugging Face directory, whole or not at all."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    loaded.model.save_pretrained(temporary)  # type: ignore[operator]
    loaded.tokenizer.save_pretrained(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def start_run(ready: Ready, observer: Observer) -> RunDirectory:
    """Make the run directory and write down what the run is."""
    config = ready.config
    names = (config.model.name, config.data.source)
    plain = ["".join(c if c.isalnum() else "-" for c in _short(name)).strip("-") for name in names]
    run = new_run_directory(config.out, "-".join(plain))
    write_text(run.config, to_toml(replace(config, out=str(run.path))))
    write_json(run.measured, measured(ready))
    frame = evaluation_frame(ready.loaded.tokenizer)
    write_json(run.ledger, make_ledger(ready.prepared, ready.plan, frame))
    observer.on_note(
        f"{ready.plan.num_blocks:,} blocks of {ready.plan.block_size} tokens from "
        f"{ready.prepared.train.num_texts:,} documents; {ready.prepared.held_out.num_texts:,} "
        f"held out; writing to {run.path}"
    )
    return run


def measured(ready: Ready) -> dict[str, Any]:
    """Return what was found at load: what a repeat on another machine may do differently."""
    import numpy
    import tokenizers
    import transformers

    return {
        "isolation": ready.module.isolation,
        "gathers_targets": ready.module.gathers,
        "precision": ready.config.precision,
        "device": str(next(ready.loaded.model.parameters()).device),
        "threads": torch.get_num_threads(),
        "parameters": ready.loaded.num_parameters,
        "revision": ready.loaded.revision,
        "unexpected": list(ready.loaded.unexpected),
        "tokenizer_engine": ready.prepared.train.store.meta["engine"],
        "versions": {
            "nextfill": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "numpy": numpy.__version__,
        },
    }


def _short(name: str) -> str:
    """Return the telling part of a model's or data's name: no prefix, folder or suffix."""
    last = Path(name.rpartition(":")[2]).name
    return last.partition(".")[0] or "data"
