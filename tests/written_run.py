"""A run directory as `docs/runs.md` has it, written without training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tomli_w
from numpy.typing import NDArray


def write_run(
    folder: Path,
    *,
    steps: int = 60,
    eval_every: int = 20,
    documents: int = 30,
    sets: tuple[str, ...] = ("",),
    validation: bool = False,
    improvement: float = 0.8,
    text: str = "Once upon a time",
    kept: int | None = None,
    finished: bool = True,
) -> Path:
    """Write a run directory as `docs/runs.md` has it, without training.

    Args:
        folder: Where; made.
        steps: Optimizer steps taken.
        eval_every: Steps between evaluations, which begin at 0.
        documents: Documents of each evaluated set.
        sets: Names of the evaluated sets; an empty one is the held-out part.
        validation: Whether there are validation events, too.
        improvement: Nats per token by which evaluations fall from the first step to the last.
        text: Stands in the samples, the settings and the ledger.
        kept: The step whose weights were kept, if not the last.
        finished: Whether the model is saved.

    Returns:
        The folder.
    """
    rng = np.random.default_rng(0)
    (folder / "evaluations").mkdir(parents=True)
    sizes = rng.integers(20, 400, documents)
    hard = rng.normal(4.5, 0.5, documents)
    events = []
    for step in range(steps + 1):
        if step:
            events.append(_step(rng, step, steps))
        if step % eval_every == 0 or step == steps:
            for name in sets:
                nats = sizes * (hard + len(name) / 9 - improvement * step / max(1, steps))
                nats = nats + rng.normal(0, 2, documents)
                events.append(_evaluation(folder, step, name, nats, sizes))
            if validation:
                counts = {
                    "nats": 1200.0 - 300 * step / max(1, steps),
                    "targets": 300,
                    "perplexity": 2.0,
                }
                events.append({"event": "validation", "step": step, **counts})
            events.append(
                {"event": "sample", "step": step, "prompt": text, "text": f"{text} {step}"}
            )
    if finished:
        reason = "all steps taken" if kept is None else "early stopping"
        end = steps if kept is None else kept
        events.append({"event": "end", "step": steps, "kept": end, "reason": reason})
    timing = [
        {"step": step, "tokens": 4096 - step % 7, "elapsed_s": 1.5 + rng.random()}
        for step in range(1, steps + 1)
    ]
    for name, lines in (("events.jsonl", events), ("timing.jsonl", timing)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.toml").write_text(tomli_w.dumps(_config(text)), "utf-8")
    (folder / "ledger.json").write_text(json.dumps(_ledger(text)))
    measured = {"device": "cpu", "precision": "bf16", "threads": 2, "versions": {"torch": "2.13.0"}}
    (folder / "measured.json").write_text(json.dumps(measured))
    if finished:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
    return folder


def _config(text: str) -> dict[str, object]:
    return {
        "seed": 0,
        "model": {"name": "builtin:base-causal"},
        "data": {"source": "notes.txt", "text_field": text},
        "training": {"epochs": 3.0, "learning_rate": 2e-5, "batch_size": 8},
    }


def _ledger(text: str) -> dict[str, object]:
    return {
        **{"records": 110, "documents": 103, "empty": 2, "with_text": 103},
        **{"skipped": {"null": 4, "no such field": 3}, "values": {"null": 5}, "text_field": text},
        **{"bytes": 50_000, "characters": 49_000, "words": 8000},
        **{"tokens": 12_000, "separators": 200, "trained": 10_000, "evaluated": 1900},
        **{"dropped": {"also held out": 250, "window tail": 50}, "padding": 77},
        **{"train_documents": 73, "held_out_documents": 20, "validation_documents": 7},
        **{"evaluation_sets": {"general": {"documents": 30, "tokens": 6605}}},
        **{"content_sha256": ["0f" * 32]},
    }


def _step(rng: np.random.Generator, step: int, steps: int) -> dict[str, object]:
    targets = int(rng.integers(3900, 4096))
    loss = 3.0 + 1.5 * float(np.exp(-5 * step / steps)) + 0.2 * float(rng.normal())
    return {
        **{"event": "step", "step": step, "blocks": 8 * step, "epoch": 3 * step / steps},
        **{"loss": loss, "nats": loss * targets, "targets": targets},
        **{"learning_rate": 2e-5 * (1 - step / steps), "grad_norm": 1 + float(rng.random())},
    }


def _evaluation(
    folder: Path, step: int, name: str, nats: NDArray[np.float64], sizes: NDArray[np.int64]
) -> dict[str, object]:
    columns = {
        "document": np.arange(len(sizes)),
        "nats": nats,
        "targets": sizes,
        "bytes": 4 * sizes + 1,
        "characters": 4 * sizes,
        "words": sizes // 2 + 1,
        "correct": sizes // 3,
    }
    middle = f".{name}" if name else ""
    np.savez(folder / "evaluations" / f"step-{step:08d}{middle}.npz", **columns)
    counts = {key: int(column.sum()) for key, column in columns.items() if key != "document"}
    counts |= {"nats": float(nats.sum()), "documents": len(sizes)}
    from nextfill.evaluation.bootstrap import mean_interval

    counts["accuracy"] = counts.pop("correct") / counts["targets"]
    mean, low, high = mean_interval(nats, sizes)
    ends = [float(np.exp(end)) if np.isfinite(end) else None for end in (low, high)]
    return {
        **{"event": "evaluation", "step": step, **({"set": name} if name else {}), **counts},
        **{"perplexity": float(np.exp(mean)), "interval": ends},
    }
