"""LoRA beside the full run on the quickstart's job: what is trained, gained, and held in memory.

Takes about seven minutes. A rank that fits into 2% of so small a model gains well under what all
weights gain (DECISIONS.md has what was tried); the trial holds what was measured, with a margin. Of
3 million parameters gradients and moments are 40 MB, less than PEFT takes to be imported (58 MB):
what an adapter saves shows in larger models, by benchmarks/adapter_memory.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import nextfill
from nextfill.config import ModelConfig
from nextfill.models.adapters.lora import merge_adapter
from nextfill.models.load import load_model
from tests.trials.memory import run_measured

pytestmark = pytest.mark.trial

MOST_TRAINED = 0.02
LEAST_GAIN = 0.5
MOST_MEMORY = 1.2
WAYS = {"all weights": (), "LoRA": ("--lora-rank", "3", "--learning-rate", "1e-2")}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_percent_of_the_weights(tmp_path: Path) -> None:
    share, gain, peak = {}, {}, {}
    for way, words in WAYS.items():
        out = tmp_path / way.partition(" ")[0]
        result, peak[way] = run_measured("train", *words, "--out", str(out))
        measured = json.loads((out / "measured.json").read_text("utf-8"))
        share[way] = measured["trained_parameters"] / measured["parameters"]
        before, after = result["before"]["perplexity"], result["after"]["perplexity"]
        gain[way] = before - after
        print(
            f"{way}: {share[way]:.2%} trained, perplexity {before:.2f} -> {after:.2f} "
            f"({gain[way] / gain['all weights']:.0%} of the full run's gain), "
            f"peak {peak[way] / 1e6:.0f} MB"
        )
    assert share["LoRA"] <= MOST_TRAINED
    assert gain["LoRA"] >= LEAST_GAIN * gain["all weights"]
    assert peak["LoRA"] < MOST_MEMORY * peak["all weights"]
    check_merged(tmp_path / "LoRA")


def check_merged(run: Path) -> None:
    """Merged into the model's own weights, the adapter gives the same logits and figures."""
    loaded = load_model(ModelConfig(name=str(run)))
    ids = torch.tensor([loaded.tokenizer("Returns a new tensor with the same data.")["input_ids"]])
    with torch.no_grad():
        unmerged = loaded.model(ids, use_cache=False).logits
        merged = merge_adapter(loaded).model(ids, use_cache=False).logits
    largest = float((merged - unmerged).abs().max())
    print(f"merged differs by {largest:.1e}")
    assert largest <= 1e-5
    assert nextfill.evaluate(run).documents > 0
