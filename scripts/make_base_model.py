"""Train a bundled base model from nothing and put it where the package ships it.

Usage: python scripts/make_base_model.py causal|masked [--resume]

Three steps: a tokenizer on the training part of the corpora, the recipe ``base-causal`` or
``base-masked``, and the weights rounded to bfloat16 with a card beside them. Training reads them
back as float32.
"""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from train_base_tokenizer import main as train_tokenizer

import nextfill
from nextfill.runs.directory import RunDirectory, check_free
from nextfill.runs.results import TrainResult
from nextfill.terminal.progress_bar import Terminal

BUNDLED = Path("src/nextfill/bundled")
SOURCE = "builtin:stdlib-docs+package-docs"

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: {task}
---

# {name}

A {objective} language model of {parameters:,} parameters, trained by Nextfill itself from random
weights on English documentation, to be adapted to other text on any machine without a network. It
{does} documentation; it knows nothing of the world and is no assistant.

| | |
|---|---|
| architecture | {architecture}: 5 layers of 192, 3 heads, 512 positions, tied embedding |
| vocabulary | {vocabulary:,} entries, byte-level BPE trained on the same text |
| data | docstrings of Python's standard library and of numpy, pyarrow, datasets, tokenizers, \
safetensors, huggingface_hub and transformers, near duplicates removed (`{source}`) |
| tokens | {tokens:,} a pass, {epochs:g} passes, {steps:,} steps |
| held out | whole modules, {documents:,} documents, {bytes:,} bytes, never trained on |
| perplexity there | {perplexity:.2f} per {target} |
{more}| corpus, SHA-256 of the texts | training `{train_sha}`, held out `{test_sha}` |
| made with | {versions} |

Made by `make {name}` (recipe `{name}`). The weights are stored in bfloat16; the figures are theirs,
computed in float32:
`nextfill evaluate builtin:{name} --data {source} --split test --block-size {block_size}`.
The texts are under the licences of the packages they come from.
"""


OF = {
    "causal": {
        "task": "text-generation",
        "does": "continues",
        "architecture": "Llama",
        "target": "token",
    },
    "masked": {
        "task": "fill-mask",
        "does": "fills blanks in",
        "architecture": "ModernBERT, every layer looking at the whole text",
        "target": "masked token, 15% of all",
    },
}


def main(objective: str, *flags: str) -> None:
    """Train, or go on training, and bundle."""
    name = f"base-{objective}"
    tokenizer, run = Path(f"build/{name}-tokenizer"), Path(f"runs/{name}")
    if "--resume" not in flags:
        check_free(run)  # before the tokenizer of a run that is there is written over
        train_tokenizer(objective, tokenizer)
        result = nextfill.train(name, tokenizer=tokenizer, out=run, observer=Terminal())
    else:
        result = nextfill.train(out=run, resume=True, observer=Terminal())
    bundle(result, name)


def bundle(result: TrainResult, name: str) -> None:
    """Copy the model into the package, in bfloat16, with its card."""
    folder = BUNDLED / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(result.model, folder)
    weights = load_file(folder / "model.safetensors")
    rounded = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    save_file(rounded, folder / "model.safetensors", metadata={"format": "pt"})
    shape = json.loads((folder / "config.json").read_text("utf-8"))
    shape["dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(shape, indent=2) + "\n", "utf-8")
    measured = json.loads((Path(result.run) / "measured.json").read_text("utf-8"))
    config = tomllib.loads((Path(result.run) / "config.toml").read_text("utf-8"))
    ledger, block_size = result.ledger, config["blocks"]["block_size"]
    after = nextfill.evaluate(folder, data=SOURCE, split="test", block_size=block_size)
    train_sha, test_sha = ledger["content_sha256"]
    events = RunDirectory(Path(result.run)).read_events()
    last = [event for event in events if event["event"] == "step"][-1]
    bits = f"| bits per byte there | {after.bits_per_byte:.3f} |\n"
    card = CARD.format(
        name=name,
        objective=result.objective,
        more=bits if result.objective == "causal" else "",
        **OF[result.objective],
        parameters=measured["parameters"],
        vocabulary=shape["vocab_size"],
        source=SOURCE,
        block_size=block_size,
        tokens=ledger["trained"],
        epochs=last["epoch"],
        steps=result.steps,
        documents=after.documents,
        bytes=after.bytes,
        perplexity=after.perplexity,
        train_sha=train_sha,
        test_sha=test_sha,
        versions=", ".join(f"{name} {version}" for name, version in measured["versions"].items()),
    )
    (folder / "README.md").write_text(card, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
