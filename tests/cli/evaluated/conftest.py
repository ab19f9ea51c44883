"""Data of two kinds, and runs over them."""

from __future__ import annotations

import json

import pytest

import nextfill
from tests.cli.evaluated.asking import QUICK, trained


@pytest.fixture(scope="session")
def data(paragraphs, tmp_path_factory):
    """Sixty records of two kinds, one of them without its kind."""
    path = tmp_path_factory.mktemp("data") / "notes.jsonl"
    kinds = ["tale", "list"]
    records = [
        {"text": text, "kind": kinds[number % 2], "deep": {"er": number % 3}}
        for number, text in enumerate(paragraphs(60, seed=5))
    ]
    records[7]["kind"] = None
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


@pytest.fixture(scope="session")
def run(tiny_model, data, tmp_path_factory):
    """A run of four steps."""
    folder = tmp_path_factory.mktemp("runs")
    out = folder / "run"
    nextfill.train(model=tiny_model, data=data, text_field="text", out=out, device="cpu", **QUICK)
    return out


@pytest.fixture(scope="session")
def other_tokens(tiny_model, tmp_path_factory, paragraphs):
    """A model with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("other")
    made = nextfill.train_tokenizer(
        data=paragraphs(50), vocab_size=300, out=folder / "tokenizer", cache_dir=folder / "cache"
    )
    result = nextfill.train(
        model={
            "name": "scratch:gpt2",
            "tokenizer": made.tokenizer,
            "config": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 128},
        },
        data=paragraphs(40),
        out=folder / "run",
        cache_dir=folder / "cache",
        device="cpu",
        **QUICK,
    )
    return result.run


@pytest.fixture(scope="session")
def of_another_seed(tiny_model, data, tmp_path_factory):
    """A run over the same data, divided in another way."""
    return trained(tiny_model, data, tmp_path_factory.mktemp("runs") / "other", seed=7)
