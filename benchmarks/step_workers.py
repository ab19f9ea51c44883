"""Steps of Nextfill and of Trainer on the same rows, and their matrix products alone."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measurement import peak_mb

OURS, OURS_FP32 = "nextfill", "nextfill fp32"
TRAINER, TRAINER_BF16, PRODUCTS = "trainer fp32", "trainer bf16", "products alone"
LAYERS, WIDTH, HEADS, INNER = 6, 768, 12, 3072
VOCABULARY = {"causal": 50257, "masked": 50265}
LEFT_OUT = 2
"""Steps that a process begins with, in which it first touches its memory."""


class Clock:
    """Seconds of each step, on the clock and of processors."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Note the beginning of the first step."""
        self._marks = [(time.perf_counter(), time.process_time())]

    def tick(self, loss: float | None = None) -> None:
        """Note the end of a step."""
        self._marks.append((time.perf_counter(), time.process_time()))
        if loss is not None:
            self.losses.append(loss)

    def figures(self) -> dict[str, Any]:
        """Return the medians of the steps but the first."""
        pairs = list(zip(self._marks, self._marks[1:], strict=False))[LEFT_OUT:] or [
            (self._marks[0], self._marks[-1])
        ]
        return {
            "seconds": statistics.median(b[0] - a[0] for a, b in pairs),
            "processor_s": statistics.median(b[1] - a[1] for a, b in pairs),
            "losses": self.losses,
            "peak_mb": peak_mb(),
        }


def make_model(objective: str, folder: Path) -> None:
    """Save a model of random weights beside a tokenizer that ships."""
    import torch
    from transformers import (
        AutoTokenizer,
        GPT2Config,
        GPT2LMHeadModel,
        RobertaConfig,
        RobertaForMaskedLM,
    )

    import nextfill

    shipped = Path(nextfill.__file__).parent / "bundled" / f"base-{objective}"
    tokenizer = AutoTokenizer.from_pretrained(shipped)
    special = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "pad")}
    torch.manual_seed(0)
    model: Any
    if objective == "causal":
        model = GPT2LMHeadModel(GPT2Config(n_layer=LAYERS, **special))
    else:
        sizes = {"num_hidden_layers": LAYERS, "vocab_size": VOCABULARY[objective]}
        positions = {"max_position_embeddings": 1026, "type_vocab_size": 1}
        model = RobertaForMaskedLM(RobertaConfig(**sizes, **positions, **special))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Take steps with Nextfill, and keep the rows that they took."""
    import nextfill
    from nextfill.core.progress import Silent
    from nextfill.training import loop

    clock, rows = Clock(), []
    own = loop.batch_of

    def batch_of(*args: Any) -> Any:
        batch = own(*args)
        rows.append((batch.input_ids, batch.labels, batch.document_ids))
        return batch

    class Watch(Silent):
        def on_start(self, step: int, num_steps: int) -> None:
            clock.begin()

        def on_step(self, event: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
            clock.tick(event["loss"])

    loop.batch_of = batch_of
    folder = Path(given.folder)
    nextfill.train(
        model=str(folder / "model"),
        data=str(folder / "rows.jsonl"),
        text_field="answers.text",
        test_size=2,
        out=str(folder / f"run-{os.getpid()}"),
        block_size=given.block_size,
        batch_size=given.batch_size,
        packing=given.packing,
        precision="fp32" if given.worker == OURS_FP32 else "bf16",
        max_steps=given.steps,
        eval_every=given.steps,
        save_every=given.steps,
        schedule="constant",
        warmup_steps=0,
        learning_rate=5e-5,
        weight_decay=0.01,
        observer=Watch(),
    )
    arrays = {f"{n}-{i}": part for i, one in enumerate(rows) for n, part in enumerate(one)}
    np.savez(folder / "rows.npz", **arrays)
    return clock.figures()


def trainer(given: argparse.Namespace) -> dict[str, Any]:
    """Take the same steps with Trainer."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    folder, clock = Path(given.folder), Clock()
    kind = AutoModelForCausalLM if given.objective == "causal" else AutoModelForMaskedLM
    saved = np.load(folder / "rows.npz")
    rows = []
    for step in range(given.steps):
        ids, labels, documents = (saved[f"{n}-{step}"] for n in range(3))
        for one, label, document in zip(ids, labels, documents, strict=True):
            of_row = one if given.objective == "causal" else label
            rows.append({"input_ids": one, "labels": of_row, "attention_mask": document >= 0})

    class Watch(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            clock.tick()

        def on_log(self, *args: Any, logs: Mapping[str, Any], **kwargs: Any) -> None:
            if "loss" in logs:
                clock.losses.append(float(logs["loss"]))

    def together(some: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            name: torch.from_numpy(np.stack([r[name] for r in some])).long() for name in some[0]
        }

    Trainer(
        kind.from_pretrained(folder / "model"),
        TrainingArguments(
            str(folder / "trainer"),
            max_steps=given.steps,
            per_device_train_batch_size=given.batch_size,
            learning_rate=5e-5,
            weight_decay=0.01,
            lr_scheduler_type="constant",
            train_sampling_strategy="sequential",
            bf16=given.worker == TRAINER_BF16,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            logging_steps=1,
            disable_tqdm=True,
        ),
        train_dataset=rows,
        data_collator=together,
        callbacks=[Watch()],
    ).train()
    return clock.figures()


def products(given: argparse.Namespace) -> dict[str, Any]:
    """Compute the matrix products of a step, forward and back, into ready buffers."""
    import torch

    saved = np.load(Path(given.folder) / "rows.npz")
    tokens, length = saved["0-0"].size, saved["0-0"].shape[1]
    targets = int(np.median([(saved[f"1-{i}"] != -100).sum() for i in range(given.steps)]))
    kind, work = torch.bfloat16, list[Callable[[], Any]]()

    def ready(shape: tuple[int, ...]) -> Any:
        return torch.randn(shape).to(kind)

    def linear(rows: int, inputs: int, outputs: int, times: int) -> None:
        x, w, y = ready((rows, inputs)), ready((outputs, inputs)), ready((rows, outputs))
        dx, dw = ready((rows, inputs)), ready((outputs, inputs))
        work.extend(
            [
                lambda: torch.mm(x, w.t(), out=y),
                lambda: torch.mm(y, w, out=dx),
                lambda: torch.mm(y.t(), x, out=dw),
            ]
            * times
        )

    for inputs, outputs in ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH)):
        linear(tokens, inputs, outputs, LAYERS)
    linear(targets, WIDTH, VOCABULARY[given.objective], 1)
    if given.objective == "masked":
        linear(targets, WIDTH, WIDTH, 1)
    heads, size = tokens // length * HEADS, WIDTH // HEADS
    q, o = ready((heads, length, size)), ready((heads, length, size))
    s = ready((heads, length, length))
    work += [lambda: torch.bmm(q, q.transpose(1, 2), out=s)] * (2 * LAYERS)
    work += [lambda: torch.bmm(s, q, out=o)] * (4 * LAYERS)
    clock = Clock()
    for _ in range(given.steps):
        for one in work:
            one()
        clock.tick()
    return clock.figures()


WORKERS = {
    OURS: train,
    OURS_FP32: train,
    TRAINER: trainer,
    TRAINER_BF16: trainer,
    PRODUCTS: products,
}
