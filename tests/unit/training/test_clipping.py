"""Clipped gradients are those of PyTorch, and small ones are not written at all."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nextfill.models.libraries import write_count
from nextfill.training.optimizer import clip_gradients


@pytest.mark.parametrize("most", [0.0, 0.5, 4.99, 5.0, 5.1, 100.0])
@pytest.mark.parametrize("factor", [0.0, 1.0, math.inf, math.nan])
def test_gradients_are_clipped_as_by_pytorch(most: float, factor: float) -> None:
    ours, theirs = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    for model in (ours, theirs):
        model.weight.grad = factor * torch.tensor([[3.0, 4.0]])
    written = write_count(ours.weight.grad)
    norm = float(clip_gradients(ours, most))
    expected = float(nn.utils.clip_grad_norm_(theirs.parameters(), most or math.inf))
    assert norm == pytest.approx(expected, nan_ok=True)
    if factor not in (0.0, 1.0) and not most:
        return  # such a step ends the run, whatever is made of its gradients
    assert torch.equal(ours.weight.grad.nan_to_num(7), theirs.weight.grad.nan_to_num(7))
    is_small = norm + 1e-6 <= (most or math.inf)
    assert (write_count(ours.weight.grad) == written) == is_small
