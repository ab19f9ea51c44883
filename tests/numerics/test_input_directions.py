"""EVA: the directions are those of PEFT and of all inputs, and an adapter begins as them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft.utils.incremental_pca import IncrementalPCA
from safetensors.torch import load_file

import nextfill
from nextfill.training.input_directions import MainDirections


def rows(number: int, size: int = 24, rank: int = 24) -> torch.Tensor:
    torch.manual_seed(0)
    spread = 0.7 ** torch.arange(rank)
    return 3 + (torch.randn(number, rank) * spread) @ torch.randn(rank, size)


def near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Compare directions, of which either sign will do."""
    assert found.shape == expected.shape
    overlap = (found * expected).sum(dim=1).abs()
    torch.testing.assert_close(overlap, torch.ones(len(found)), rtol=0, atol=tolerance)


def test_directions_of_batches_are_those_of_all_rows_and_of_peft() -> None:
    every = rows(300)
    ours, exact = MainDirections(4), MainDirections(24)
    theirs = IncrementalPCA(n_components=4)
    for batch in every.split(100):
        ours.add(batch)
        exact.add(batch)
        theirs.partial_fit(batch.clone())
    near(ours.directions(), theirs.components_.float(), 1e-4)
    _, _, all_at_once = torch.linalg.svd(every - every.mean(dim=0), full_matrices=False)
    near(exact.directions()[:4], all_at_once[:4], 1e-4)
    near(ours.directions(), all_at_once[:4], 0.05)


def test_there_are_no_more_directions_than_the_rows_have() -> None:
    found = MainDirections(8)
    found.add(rows(50, rank=3))
    assert found.directions().shape == (3, 24)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_an_adapter_begins_as_directions_of_its_inputs(
    tiny_model: Any, text_file: Any, tmp_path: Path
) -> None:
    job = {"model": str(tiny_model), "data": str(text_file), "lora_rank": 4, "lora_init": "eva"}
    job |= {"max_steps": 1, "learning_rate": 1e-12, "block_size": 32, "quiet": True}
    run = nextfill.train(out=tmp_path / "run", device="cpu", precision="fp32", **job)
    state = load_file(Path(run.model) / "adapter_model.safetensors")
    firsts = {name: one for name, one in state.items() if "lora_A" in name}
    assert firsts
    for one in firsts.values():
        torch.testing.assert_close(one @ one.T, torch.eye(4), rtol=0, atol=1e-4)
    assert run.after.nats == pytest.approx(run.before.nats, rel=1e-6)
