"""Tokens per second, share of the peak and memory of training steps on a GPU, beside Trainer's.

    python benchmarks/gpu.py [--shape distilgpt2] [--rounds 3] [--out FOLDER]

On a machine without a GPU it says so, and ends well. The models have random weights: DistilGPT2's
shape in blocks of 1,024 tokens, and a Llama of 1.1 billion parameters. Each run is a process of its
own, and the runs of a round follow one another: Nextfill and Trainer in bfloat16, plain and
compiled; Trainer with its fused optimizer, and with flash attention and Liger's kernels where these
are installed. Both take blocks of as many tokens, without dropout. A last run of Nextfill is
watched by PyTorch's profiler: the calls by which the host waited for a stream or the whole device
are counted over its steps, of which there should be none but those for a copy of figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from measurement import record
from unique_text import write_rows

SHAPES = {"distilgpt2": (1024, 16), "llama-1b": (2048, 4)}
"""Tokens of a block, and blocks of a step."""

OURS, OURS_COMPILED = "nextfill", "nextfill compiled"
TRAINER, TRAINER_COMPILED, WATCHED = "trainer", "trainer compiled", "nextfill watched"
RUNS = (OURS, TRAINER, OURS_COMPILED, TRAINER_COMPILED)
STEPS, LEFT_OUT = 40, 10
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpy")


def make_model(shape: str, folder: Path) -> None:
    """Save a model of random weights beside a tokenizer that ships."""
    import torch
    from transformers import (
        AutoTokenizer,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
    )

    import nextfill

    shipped = Path(nextfill.__file__).parent / "bundled" / "base-causal"
    tokenizer = AutoTokenizer.from_pretrained(shipped)
    special = {f"{n}_token_id": getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "pad")}
    torch.manual_seed(0)
    model: Any
    if shape == "distilgpt2":
        rates = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
        model = GPT2LMHeadModel(GPT2Config(n_layer=6, **rates, **special))
    else:
        heads = {"num_attention_heads": 32, "num_key_value_heads": 4, "num_hidden_layers": 22}
        sizes = {"hidden_size": 2048, "intermediate_size": 5632, "max_position_embeddings": 2048}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=32000, **heads, **sizes, **special))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Take steps with Nextfill."""
    import torch

    import nextfill

    folder, (length, rows) = Path(given.folder), SHAPES[given.shape]
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    nextfill.train(
        model=str(folder / "model"),
        data=str(folder / "rows.jsonl"),
        text_field="answers.text",
        test_size=2,
        out=str(run),
        block_size=length,
        batch_size=rows,
        packing="best-fit",
        precision="bf16",
        compile=given.worker == OURS_COMPILED,
        max_steps=STEPS,
        eval_every=STEPS,
        save_every=STEPS,
        quiet=True,
    )
    lines = [json.loads(one) for one in (run / "timing.jsonl").read_text("utf-8").splitlines()]
    timed = lines[LEFT_OUT:]
    seconds = statistics.median(one["elapsed_s"] for one in timed)
    return {
        "seconds": seconds,
        "tokens_per_second": statistics.mean(one["tokens"] for one in timed) / seconds,
        "mfu": timed[-1]["mfu"],
        "peak_mb": torch.cuda.max_memory_allocated() / (1 << 20),
        "isolation": json.loads((run / "measured.json").read_text("utf-8"))["isolation"],
    }


def watched(given: argparse.Namespace) -> dict[str, Any]:
    """Take steps under the profiler, and count the calls that waited in the middle of them."""
    from torch.profiler import ProfilerActivity, profile

    from nextfill.training import loop

    take, taken, found = loop.take_step, 0, Counter[str]()
    profiler = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])

    def take_step(*args: Any) -> Any:
        nonlocal taken
        if taken == LEFT_OUT:
            profiler.start()
        if taken == STEPS - LEFT_OUT:
            profiler.stop()
            found.update(one.name for one in profiler.events() if one.name in WAITS)
        taken += 1
        return take(*args)

    loop.take_step = take_step
    return {**train(given), "steps_watched": STEPS - 2 * LEFT_OUT, "waits": dict(found)}


def trainer(given: argparse.Namespace) -> dict[str, Any]:
    """Take steps with Trainer, as fast as it is set to."""
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    folder, (length, rows) = Path(given.folder), SHAPES[given.shape]
    has_flash, has_liger = (
        importlib.util.find_spec(name) is not None for name in ("flash_attn", "liger_kernel")
    )
    attention = "flash_attention_2" if has_flash else "sdpa"
    model = AutoModelForCausalLM.from_pretrained(
        folder / "model", dtype=torch.float32, attn_implementation=attention
    )
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 5000, (STEPS * rows, length), generator=generator)
    marks: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if args[1].global_step in (LEFT_OUT, STEPS):
                torch.cuda.synchronize()
                marks.append(time.perf_counter())

    Trainer(
        model,
        TrainingArguments(
            str(folder / "trainer"),
            max_steps=STEPS,
            per_device_train_batch_size=rows,
            bf16=True,
            optim="adamw_torch_fused",
            torch_compile=given.worker == TRAINER_COMPILED,
            use_liger_kernel=has_liger,
            save_strategy="no",
            report_to=[],
            logging_steps=STEPS,
            disable_tqdm=True,
        ),
        train_dataset=[{"input_ids": one, "labels": one} for one in ids],
        callbacks=[Watch()],
    ).train()
    seconds = (marks[-1] - marks[0]) / (STEPS - LEFT_OUT)
    return {
        "seconds": seconds,
        "tokens_per_second": rows * length / seconds,
        "peak_mb": torch.cuda.max_memory_allocated() / (1 << 20),
        "attention": attention,
        "liger": has_liger,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker")
    parser.add_argument("--folder")
    given = parser.parse_args()

    import torch

    if not torch.cuda.is_available():
        print("gpu: this machine has no GPU that PyTorch sees; nothing was measured.")
        return
    if given.worker:
        work = {OURS: train, OURS_COMPILED: train, WATCHED: watched}.get(given.worker, trainer)
        print("\n" + json.dumps(work(given)))
        return
    results: dict[str, Any] = {"device": torch.cuda.get_device_name()}
    for shape in [given.shape] if given.shape else SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            make_model(shape, Path(folder) / "model")
            write_rows(Path(folder) / "rows.jsonl", 30.0)
            rounds = [
                {name: _run(name, shape, folder) for name in RUNS} for _ in range(given.rounds)
            ]
            results[shape] = {"rounds": rounds, WATCHED: _run(WATCHED, shape, folder)}
    record("gpu", results, given.out)


def _run(worker: str, shape: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", worker, "--shape", shape, "--folder", folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
