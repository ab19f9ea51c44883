"""Nats without whole logits: those of a linear layer and a cross-entropy, and their gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nextfill.models import head_loss
from nextfill.models.head_loss import head_nats

ROWS = {
    "one row": 1,
    "an odd number": 45,
    "several buffers": 300,
}


def both(
    rows: int, kind: torch.dtype, factors: Tensor, *, biased: bool = True, scale: float = 3.0
) -> list[tuple[Tensor, Tensor]]:
    """Return nats and gradients in pieces, each beside those of float64."""
    torch.manual_seed(rows)
    hidden = (scale * torch.randn(rows, 24)).to(kind)
    weight, bias = torch.randn(1003, 24).to(kind).float(), torch.randn(1003)
    targets = torch.randint(0, 1003, (rows,))
    given = [hidden, weight, *([bias] if biased else [])]
    ours = [one.clone().requires_grad_() for one in given]
    theirs = [one.double().requires_grad_() for one in given]
    nats = head_nats(ours[0], ours[1], ours[2] if biased else None, targets)
    logits = functional.linear(*theirs)
    expected = functional.cross_entropy(logits, targets, reduction="none")
    nats.backward(factors)
    expected.backward(factors.double())
    assert nats.dtype == ours[1].grad.dtype == torch.float32
    assert ours[0].grad.dtype == kind
    return [(nats, expected), *((a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))]


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm().detach() / expected.norm().detach())


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("own", [False, True], ids=["a mean", "weights of their own"])
@pytest.mark.parametrize("biased", [False, True])
def test_nats_and_gradients_are_those_of_the_whole_logits(
    rows: str, kind: torch.dtype, own: bool, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = ROWS[rows]
    monkeypatch.setattr(head_loss, "_BUFFER", 128 * 1024)  # 128 rows at once
    monkeypatch.setattr(head_loss, "_IN_CACHE", 5 * 1003)
    factors = torch.rand(number) if own else torch.full((number,), 1 / number)
    for found, expected in both(number, kind, factors, biased=biased):
        assert difference(found, expected) < (2e-6 if kind == torch.float32 else 1.5e-2)


def test_a_target_that_is_nearly_impossible_has_its_nats() -> None:
    """Its share is 0 in float32, and its nats are not infinite."""
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [500.0], [499.0]])
    weight.requires_grad_()
    nats = head_nats(hidden, weight, None, torch.tensor([0]))
    assert nats.item() == pytest.approx(500.3133, abs=1e-3)
    nats.sum().backward()
    assert weight.grad.flatten().tolist() == pytest.approx([-1, 0.7311, 0.2689], abs=1e-4)


def test_a_second_way_back_finds_the_same() -> None:
    hidden, weight = torch.randn(7, 8), torch.randn(50, 8, requires_grad=True)
    nats = head_nats(hidden, weight, None, torch.arange(7))
    first = torch.autograd.grad(nats.sum() / 3, weight, retain_graph=True)[0].clone()
    assert torch.allclose(first, torch.autograd.grad(nats.sum() / 3, weight)[0], atol=1e-7)


@pytest.mark.parametrize("learnt", ["hidden", "weight", "bias"])
def test_what_is_frozen_gets_no_gradient(learnt: str) -> None:
    given = {"hidden": torch.randn(7, 8), "weight": torch.randn(50, 8), "bias": torch.randn(50)}
    given[learnt].requires_grad_()
    head_nats(**given, targets=torch.arange(7)).sum().backward()
    assert [name for name, one in given.items() if one.grad is not None] == [learnt]


def test_a_weight_that_is_used_before_gets_both_gradients() -> None:
    """As a table of tokens that is also the head."""

    def gradient(nats_of: Any) -> Tensor:
        torch.manual_seed(0)
        table = torch.randn(60, 8, requires_grad=True)
        nats_of(
            functional.embedding(torch.arange(9), table), table, torch.arange(9)
        ).mean().backward()
        return table.grad

    def whole(hidden: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(hidden @ table.t(), targets, reduction="none")

    ours = gradient(lambda hidden, table, targets: head_nats(hidden, table, None, targets))
    torch.testing.assert_close(ours, gradient(whole), rtol=1e-5, atol=1e-6)


def test_nothing_of_the_size_of_the_logits_is_kept() -> None:
    kept: list[Tensor] = []
    weight = torch.randn(5000, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda x: x):
        head_nats(torch.randn(900, 8), weight, None, torch.zeros(900, dtype=torch.int64))
    assert kept
    assert max(one.numel() for one in kept) == weight.numel()


@pytest.mark.parametrize("rows", [1, 31, 1024, 1334, 1335, 8192, 100_000])
def test_rows_come_in_parts_of_about_one_size(rows: int) -> None:
    at_once = head_loss._rows_at_once(rows, 50304)
    assert at_once % 32 == 0
    assert at_once * 50304 <= 1 << 26
    parts = -(-rows // at_once)
    assert parts == 1 or rows > 1200 * (parts - 1)
    assert parts * at_once - rows < 32 * parts


def test_logits_that_are_no_numbers_show() -> None:
    hidden = torch.tensor([[float("nan")], [1.0]])
    nats = head_nats(hidden, torch.ones(5, 1, requires_grad=True), None, torch.tensor([0, 0]))
    assert nats.isnan().tolist() == [True, False]
