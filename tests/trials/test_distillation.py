"""A distilled student against the same one that learns from the text alone, over three seeds.

Two of the five layers of the bundled model, which is their teacher, on documentation that it has
read; the held-out modules it has not. Takes a few minutes on two cores (docs/distillation.md and
DECISIONS.md have the figures).
"""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

import nextfill

pytestmark = pytest.mark.trial

SEEDS = (0, 1, 2)
LEAST_GAIN = 0.1
"""Nats per token by which every distilled student is better, at least."""

JOB = {
    **{"teacher": "builtin:base-causal", "student_layers": 2, "data": "builtin:stdlib-docs"},
    **{"split": "train[:2500]", "eval_split": "test[:80]", "packing": "best-fit"},
    **{"block_size": 64, "batch_size": 8, "max_steps": 80, "eval_every": 80, "save_every": 80},
    **{"learning_rate": 2e-3, "warmup_steps": 0.05, "weight_decay": 0.1, "beta2": 0.95},
}


def test_a_teacher_makes_a_better_student(tmp_path: Path) -> None:
    gains = []
    for seed in SEEDS:
        nats = {}
        for weight in (0.0, None):  # the text alone, and the default
            out = tmp_path / f"{seed}-{weight}"
            run = nextfill.train(out=out, seed=seed, distill_weight=weight, **JOB)
            nats[weight] = run.after.nats / run.after.targets
            print(
                f"seed {seed}, {'the text alone' if weight == 0 else 'distilled'}: perplexity "
                f"{run.before.perplexity:.1f} -> {run.after.perplexity:.2f}, its teacher "
                f"{run.teacher.evaluation.perplexity:.2f}"
            )
        gains.append(nats[0.0] - nats[None])
    print(f"gains of {min(gains):.4f} to {max(gains):.4f}, mean {statistics.mean(gains):.4f}")
    assert min(gains) > LEAST_GAIN
