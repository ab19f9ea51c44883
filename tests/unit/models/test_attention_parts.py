"""Attention in parts is the same as whole, draws the same, and keeps next to nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from nextfill.models import attention_parts
from nextfill.models.attention_parts import (
    Allowed,
    Settings,
    attend,
    attend_in_parts,
    is_long,
)
from nextfill.models.quick_functions import quick_functions

CPU = torch.device("cpu")
PLAIN = Settings(Allowed(None, None), factor=0.4, p=0.0)


def given(kind: torch.dtype, length: int = 12, keys: int = 12) -> list[torch.Tensor]:
    shapes = ((3, 4, length, 8), (3, 4, keys, 8), (3, 4, keys, 6))
    return [torch.randn(shape).to(kind).requires_grad_() for shape in shapes]


def masks(kind: torch.dtype, length: int = 12) -> dict[str, Allowed]:
    causal = torch.zeros(length, length, dtype=kind)
    causal.masked_fill_(~torch.ones(length, length, dtype=torch.bool).tril(), -math.inf)
    no_key = torch.zeros(3, 1, length, 1, dtype=torch.bool)
    no_key[1, :, 4] = True
    return {
        "none": Allowed(None, None),
        "one for all": Allowed(causal, None),
        "one a row, one without a key": Allowed(causal.expand(3, 1, -1, -1), no_key),
        "one a head": Allowed(torch.randn(3, 4, length, length).to(kind), None),
    }


@pytest.mark.parametrize("mask", masks(torch.float32))
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("at_once", [1, 300, 600, 10**6])
def test_parts_are_the_whole(
    mask: str, kind: torch.dtype, p: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One head, two heads, a row and all at once, forward and back, with the same draws."""
    monkeypatch.setattr(attention_parts, "_AT_ONCE", at_once)
    torch.manual_seed(1)
    arguments, allowed = given(kind), masks(kind)[mask]
    answers, gradients, states = [], [], []
    for way in (attend, attend_in_parts):
        torch.manual_seed(2)
        answer = way(*arguments, Settings(allowed, 0.4, p))
        states.append(torch.get_rng_state())
        answers.append(answer)
        gradients.append(torch.autograd.grad(answer.square().sum(), arguments))
    close = {"atol": 1e-12, "rtol": 1e-12} if kind == torch.float64 else {}
    torch.testing.assert_close(*answers, **close)
    assert torch.equal(*states)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, **close)


@pytest.mark.parametrize("p", [0.0, 0.2])
def test_nothing_as_large_as_the_shares_is_kept(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_parts, "_WHOLE", 0)
    arguments, kept = given(torch.bfloat16, 64, 64), []
    with (
        quick_functions(CPU),
        torch.autograd.graph.saved_tensors_hooks(
            lambda x: kept.append(x.numel()) or x, lambda x: x
        ),
    ):
        functional.scaled_dot_product_attention(*arguments, dropout_p=p, is_causal=True)
    assert max(kept) <= max(one.numel() for one in arguments)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_layer_that_is_computed_again_is_drawn_as_before(
    *, reentrant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_parts, "_WHOLE", 0)
    arguments, found = given(torch.float32), []

    def attention(*some: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(*some, dropout_p=0.4)

    for again in (False, True):
        torch.manual_seed(3)
        with quick_functions(CPU):
            answer = (
                checkpoint(attention, *arguments, use_reentrant=reentrant)
                if again
                else attention(*arguments)
            )
            torch.rand(5)  # as other layers draw before the way back
            answer.square().sum().backward()
        found.append((answer, torch.rand(3), *(one.grad for one in arguments)))
        for one in arguments:
            one.grad = None
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_way_back_within_autocast_is_in_the_type_of_the_arguments() -> None:
    arguments = given(torch.float32)
    whole = attend(*arguments, PLAIN)
    parts = attend_in_parts(*arguments, PLAIN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(parts.sum(), arguments)
    for one, other in zip(found, torch.autograd.grad(whole.sum(), arguments), strict=True):
        torch.testing.assert_close(one, other)


def test_short_rows_and_shared_heads_are_whole() -> None:
    long = torch.empty(8, 12, 512, 64, device="meta")
    assert is_long(long, long)
    assert not is_long(long[:, :, :256], long[:, :, :256])
    assert not is_long(long, long[:, :3])
