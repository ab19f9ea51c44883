"""A training of a small GPT-2 with dropout, as words of a command, and the same run again."""

from __future__ import annotations

from pathlib import Path

from tests.processes import steps_taken

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


def check_equal(run: Path, whole: Path) -> None:
    """Check that a run that was ended and gone on with is one that was not, byte by byte."""
    names = ["events.jsonl", "ledger.json", "model/model.safetensors", "model/config.json"]
    names += [f"evaluations/{file.name}" for file in (whole / "evaluations").iterdir()]
    for name in names:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert steps_taken(run) == STEPS
    assert not list(run.rglob("*.tmp"))
