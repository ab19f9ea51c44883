"""Trainings of Nextfill and of Trainer on the same blocks, with the scores between their steps."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from loss_blocks import BLOCK
from loss_ratios import FIGURES
from numpy.typing import NDArray

OURS, TUNED, GUIDE = "nextfill", "trainer bf16, tuned", "trainer fp32, the guide"
MARKS = 12
"""Scores of a run, and those of its first steps."""


class Clock:
    """Seconds of a run's steps, on the clock and of processors, and the scores between them."""

    def __init__(self, blocks: Path, part: str) -> None:
        saved = np.load(blocks)
        self._inputs, self._labels = saved[f"{part}-inputs"], saved[f"{part}-labels"]
        self._marks, self._step, self._spent = set[int](), 0, np.zeros(2)
        self._before = np.zeros(2)
        self.scores: list[dict[str, float]] = []

    def begin(self, num_steps: int) -> None:
        """Note the beginning of the first step, and choose those after which to score."""
        every = max(1, round(num_steps / MARKS))
        self._marks = {1, 2, 4, 8, 16, num_steps, *range(every, num_steps, every)}
        self._before = np.array([_age(), time.process_time()])
        self._since = _now()

    def tick(self, model: Any) -> None:
        """Note the end of a step, and score the model where that is due."""
        self._step += 1
        if self._step not in self._marks:
            return
        self._spent += _now() - self._since
        loss = score(model, self._inputs, self._labels)
        spent = dict(zip(FIGURES, self._spent.tolist(), strict=True))
        self.scores.append({"step": self._step, "loss": loss, **spent})
        self._since = _now()

    def figures(self) -> dict[str, Any]:
        """Return the scores, and the seconds before the first step."""
        before = dict(zip(FIGURES, self._before.tolist(), strict=True))
        return {"scores": self.scores, "before": before}


def _now() -> NDArray[np.float64]:
    return np.array([time.perf_counter(), time.process_time()])


def _age() -> float:
    """Return the seconds since this process began."""
    stat = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()
    up = float(Path("/proc/uptime").read_text("utf-8").split()[0])
    return up - int(stat[19]) / os.sysconf("SC_CLK_TCK")


def score(model: Any, inputs: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the mean of the nats of blocks' targets, in float32.

    Args:
        model: One of transformers.
        inputs: Ids, ``[N, T]``.
        labels: The ids that a position's logits are scored by, ``[N, T]``, -100 for none.
    """
    import torch

    was_training, nats = model.training, 0.0
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        for start in range(0, len(inputs), 16):
            ids, answers = (torch.from_numpy(x[start : start + 16]) for x in (inputs, labels))
            logits = model(input_ids=ids).logits.flatten(0, 1)
            nats += float(
                torch.nn.functional.cross_entropy(logits, answers.flatten(), reduction="sum")
            )
    model.train(was_training)
    return nats / int((labels != -100).sum())


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Train with Nextfill, on the blocks that the others have."""
    import nextfill
    from nextfill.core.progress import Silent
    from nextfill.training import loop

    folder, rows, models = Path(given.folder), set[bytes](), list[Any]()
    blocks = np.load(folder / "blocks.npz")["train"]
    clock, own = Clock(folder / "blocks.npz", given.part), loop.batch_of

    def batch_of(setup: Any, *args: Any) -> Any:
        batch = own(setup, *args)
        models[:] = [setup.loaded.model]
        shown = np.where(batch.labels < 0, batch.input_ids, batch.labels)
        seen = batch.input_ids if given.objective == "causal" else shown
        rows.update(one.tobytes() for one in seen.astype(np.int64))
        return batch

    class Watch(Silent):
        def on_start(self, step: int, num_steps: int) -> None:
            clock.begin(num_steps)

        def on_step(self, event: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
            clock.tick(models[0])

    loop.batch_of = batch_of
    try:
        nextfill.train(
            model=f"builtin:base-{given.objective}",
            data=str(folder / "train.jsonl"),
            eval_data=str(folder / f"{given.part}.jsonl"),
            out=tempfile.mkdtemp(dir=folder),
            block_size=BLOCK,
            packing="concat",
            window_rows=10**9,
            isolate=False,
            end_of_document=False,
            seed=given.seed,
            batch_size=given.batch_size,
            learning_rate=given.rate,
            observer=Watch(),
        )
    finally:
        loop.batch_of = own
    if not rows <= {one.tobytes() for one in blocks}:
        raise RuntimeError("the blocks that Nextfill trained on are not those of the others")
    return clock.figures()


def trainer(given: argparse.Namespace) -> dict[str, Any]:
    """Train with Trainer."""
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    import nextfill

    folder = Path(given.folder)
    blocks = np.load(folder / "blocks.npz")["train"]
    clock = Clock(folder / "blocks.npz", given.part)
    base = Path(nextfill.__file__).parent / "bundled" / f"base-{given.objective}"
    is_causal = given.objective == "causal"
    kind = AutoModelForCausalLM if is_causal else AutoModelForMaskedLM

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, *others: Any, **kwargs: Any) -> None:
            clock.begin(state.max_steps)

        def on_step_end(self, *args: Any, model: Any, **kwargs: Any) -> None:
            clock.tick(model)

    tokenizer = AutoTokenizer.from_pretrained(base)
    Trainer(
        kind.from_pretrained(base, dtype="float32"),
        TrainingArguments(
            str(folder / "trainer"),
            seed=given.seed,
            num_train_epochs=3,
            per_device_train_batch_size=given.batch_size,
            learning_rate=given.rate,
            weight_decay=0.01,
            bf16=given.worker == TUNED,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=[{"input_ids": one.tolist()} for one in blocks],
        data_collator=DataCollatorForLanguageModeling(
            tokenizer, mlm=not is_causal, mlm_probability=0.15
        ),
        callbacks=[Watch()],
    ).train()
    return clock.figures()


WORKERS = {OURS: train, TUNED: trainer, GUIDE: trainer}
