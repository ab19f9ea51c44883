"""Short trainings by Keras and by PyTorch, and what stops one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import nextfill
from nextfill.core.progress import Silent

SHAPES: dict[str, dict[str, Any]] = {
    "causal": {
        "name": "scratch:gpt2",
        "tokenizer": "builtin:base-causal",
        "config": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    },
    "masked": {
        "name": "scratch:roberta",
        "tokenizer": "builtin:base-masked",
        "config": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 70,
        },
    },
}
JOB: dict[str, Any] = {
    "data": "builtin:torch-docs",
    "split": "train[:60]",
    "eval_split": "test[:4]",
    "max_steps": 20,
    "batch_size": 8,
    "block_size": 64,
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "warmup_steps": 3,
    "precision": "fp32",
    "sample_prompt": None,
}


class StopAt(Silent):
    """Sends a signal to this process at the end of a step."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def on_step(self, event: dict[str, Any], timing: dict[str, Any]) -> None:
        """Send the signal."""
        if event["step"] == self.step:
            os.kill(os.getpid(), self.number)


def train(objective: str, out: Path, **settings: Any) -> Any:
    job = {**JOB, "model": SHAPES[objective], "objective": objective, **settings}
    return nextfill.train(out=out, **{key: one for key, one in job.items() if one is not None})


def steps(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "step"]
