"""Seconds of a training step of Nextfill beside a bare PyTorch loop of the same operations.

    python benchmarks/engine_step.py [--objective causal] [--steps 24] [--out FOLDER]

The bundled base model learns blocks of 128 tokens in batches of 8, where what an engine does beside
the operations weighs most. Each step is taken twice in one process, in turn with the order
changed each time: by the engine, batch, figures, events and files among it, and by a loop over the
same rows with the same model, products, softmaxes, clipping and optimizer. The figure is the median
of the ratios of such pairs, of the seconds of processors and of the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measurement import record
from preparation import write_rows

FIGURES = ("seconds", "processor_s")


def now() -> tuple[float, float]:
    """Return the time on the clock and of processors."""
    return time.perf_counter(), time.process_time()


def bare_step(setup: Any, optimizer: Any, batch: Any, rate: float) -> float:
    """Take a step as a loop of a few lines does."""
    import torch

    from nextfill.models.head_loss import head_nats
    from nextfill.models.quick_functions import quick_functions

    model, device = setup.loaded.model, torch.device("cpu")
    parts = (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids)
    ids, labels, positions, documents = map(torch.from_numpy, parts)
    rows = (labels.flatten() >= 0).nonzero().squeeze(1)
    targets = labels.flatten()[rows]
    for group in optimizer.param_groups:
        group["lr"] = rate
    with quick_functions(device):
        with torch.autocast("cpu", torch.bfloat16):
            inputs = setup.module.isolation.inputs(ids, positions, documents, batch)
            inputs = {k: v for k, v in inputs.items() if k != "logits_to_keep"}
            hidden = model.base_model(**inputs)[0].flatten(0, 1)[rows]
            if hasattr(model, "head"):
                hidden = model.head(hidden)
            head = model.get_output_embeddings()
            nats = head_nats(hidden.to(torch.bfloat16), head.weight, head.bias, targets)
            loss = nats.sum() / len(targets)
        loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objective", choices=["causal", "masked"], default="causal")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--left-out", type=int, default=4, help="first steps that are not counted")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()

    import nextfill
    from nextfill.core.progress import Silent
    from nextfill.training import loop

    own, own_batch = loop.take_step, loop.batch_of
    batches, engine, bare = list[Any](), list[list[float]](), list[list[float]]()
    ended: list[tuple[float, float]] = []

    def batch_of(*args: Any) -> Any:
        batches[:] = [own_batch(*args)]
        return batches[0]

    def alone(setup: Any, optimizer: Any, step: int) -> None:
        begun = now()
        bare_step(setup, optimizer, batches[0], loop.learning_rate_of(setup, step))
        bare.append([b - a for a, b in zip(begun, now(), strict=True)])

    def take_step(setup: Any, optimizer: Any, step: int, *others: Any) -> Any:
        if ended:  # what the engine does after a step, of the one before
            between = [b - a for a, b in zip(ended.pop(), now(), strict=True)]
            engine[-1] = [a + b for a, b in zip(engine[-1], between, strict=True)]
        if step % 2:
            alone(setup, optimizer, step)
        begun = now()
        read = own(setup, optimizer, step, *others)
        engine.append([b - a for a, b in zip(begun, now(), strict=True)])
        if not step % 2:
            alone(setup, optimizer, step)
        ended.append(now())
        return read

    loop.take_step, loop.batch_of = take_step, batch_of
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", 1.0)
        nextfill.train(
            model=f"builtin:base-{given.objective}",
            data=str(folder / "rows.jsonl"),
            text_field="answers.text",
            test_size=2,
            out=str(folder / "run"),
            block_size=128,
            batch_size=8,
            precision="bf16",
            max_steps=given.steps,
            eval_every=given.steps,
            save_every=given.steps,
            observer=Silent(),
        )
    pairs = [*zip(engine, bare, strict=True)][given.left_out : -1]  # the last one saves, too
    results = {
        figure: {
            "engine": statistics.median(a[i] for a, _ in pairs),
            "bare loop": statistics.median(b[i] for _, b in pairs),
            "engine / bare loop": statistics.median(a[i] / b[i] for a, b in pairs),
        }
        for i, figure in enumerate(FIGURES)
    }
    words = {"objective": given.objective, "steps": given.steps}
    record(f"engine-step-{given.objective}", {**words, **results}, given.out)


if __name__ == "__main__":
    main()
