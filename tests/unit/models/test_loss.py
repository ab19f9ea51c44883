"""Nats in slices of rows: PyTorch's to the bit, with no second matrix of the vocabulary kept."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from nextfill.models.loss import nats_of


@pytest.mark.parametrize("shape", [(3, 11), (1024, 6144), (85, 50257), (1, 5_000_000)])
def test_nats_and_gradients_are_pytorchs_to_the_bit(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = (4 * torch.randn(shape)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    targets, weights = torch.randint(0, shape[1], shape[:1]), torch.rand(shape[0])
    nats, expected = nats_of(ours, targets), cross_entropy(theirs, targets, reduction="none")
    assert torch.equal(nats, expected)
    (nats * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_no_matrix_is_kept_beside_the_logits() -> None:
    logits, kept = torch.zeros(1024, 6144, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda x: x):
        nats_of(logits, torch.zeros(1024, dtype=torch.int64))
    large = [one for one in kept if one.numel() >= logits.numel()]
    assert all(one.data_ptr() == logits.data_ptr() for one in large)
