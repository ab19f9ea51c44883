"""A training of a small GPT-2 with dropout, as words of a command."""

from __future__ import annotations

from pathlib import Path

STEPS = 12


def words_of(
    tokenizer: Path, data: Path, cache: Path, *, width: int, layers: int, heads: int, **others: int
) -> list[str]:
    """Return the words for a model of these sizes; ``others`` are further flags by their names."""
    flags = {
        "model": "scratch:gpt2",
        "tokenizer": tokenizer,
        "data": data,
        "cache_dir": cache,
        "block_size": 64,
        "batch_size": 8,
        "micro_batch_size": 4,
        "max_steps": STEPS,
        "dropout": 0.1,
        "learning_rate": 1e-3,
        "precision": "fp32",
        **others,
    }
    shape = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": 128}
    pairs = [(f"--{name.replace('_', '-')}", value) for name, value in flags.items()]
    pairs += [("--set", f"model.config.{name}={value}") for name, value in shape.items()]
    return [str(word) for pair in pairs for word in pair]
