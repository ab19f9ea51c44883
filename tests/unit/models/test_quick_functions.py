"""Quick dropout and attention are PyTorch's: shares, means, gradients, and where they are left."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.activations import ACT2FN, NewGELUActivation

from nextfill.models.dropout_factors import kept
from nextfill.models.quick_functions import quick_functions

CPU = torch.device("cpu")
TYPES = [torch.float32, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1e-3])
def test_as_many_are_dropped_as_are_asked_for(p: float, kind: torch.dtype) -> None:
    torch.manual_seed(1)
    factors = kept((1000, 1001), p, kind)
    dropped = (factors == 0).double().mean().item()
    assert dropped == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 1_001_000) + 1e-5)
    assert factors.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=0.005)


def test_no_place_in_a_draw_is_like_another() -> None:
    """Four elements share a draw of 64 bits."""
    torch.manual_seed(2)
    dropped = (kept((250_000, 4), 0.3, torch.float32) == 0).double()
    assert dropped.mean(dim=0).tolist() == pytest.approx([0.3] * 4, abs=0.005)
    correlation = torch.corrcoef(dropped.T) - torch.eye(4)
    assert float(correlation.abs().max()) < 0.01
    following = torch.corrcoef(torch.stack([dropped[:-1, 3], dropped[1:, 0]]))[0, 1]
    assert abs(float(following)) < 0.01


def test_a_seed_gives_the_same_again() -> None:
    draws = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        draws.append(kept((7, 33), 0.5, torch.float32))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("kind", TYPES)
def test_a_module_drops_and_its_gradient_is_the_factor(kind: torch.dtype) -> None:
    module = nn.Dropout(0.25)
    inputs = torch.randn(50, 40).to(kind).requires_grad_()
    torch.manual_seed(3)
    with quick_functions(CPU):
        outputs = module(inputs)
    torch.manual_seed(3)
    factors = kept(inputs.shape, 0.25, kind)
    assert torch.equal(outputs, inputs * factors)
    outputs.sum().backward()
    assert torch.equal(inputs.grad, factors)
    assert outputs.dtype == kind


def test_where_nothing_is_to_be_dropped_pytorch_does_it() -> None:
    inputs = torch.randn(50, 40)
    with quick_functions(CPU):
        assert torch.equal(nn.Dropout(0.5).eval()(inputs), inputs)
        assert torch.equal(nn.Dropout(0.0)(inputs), inputs)
        assert not nn.Dropout(1.0)(inputs).any()
        torch.manual_seed(4)
        within = nn.Dropout(0.5, inplace=True)(inputs.clone())
    torch.manual_seed(4)
    assert torch.equal(within, nn.Dropout(0.5, inplace=True)(inputs.clone()))
    torch.manual_seed(4)
    assert torch.equal(nn.Dropout(0.5)(inputs), within)


MASKS = {
    "none": lambda t: {},
    "causal": lambda t: {"is_causal": True},
    "bool": lambda t: {"attn_mask": torch.ones(2, 1, t, t, dtype=torch.bool).tril(2)},
    "rows without a key": lambda t: {"attn_mask": torch.arange(t)[:, None].expand(t, t) < t // 2},
    "scale": lambda t: {"scale": 0.3, "is_causal": True},
    "summands": lambda t: {"attn_mask": apart(t, torch.finfo(torch.float32).min)},
    "summands without a key": lambda t: {"attn_mask": apart(t, -math.inf)},
}


def apart(length: int, forbidden: float) -> torch.Tensor:
    """Summands that keep two documents apart at -inf, where one row looks nowhere."""
    numbers = (torch.arange(length) > length // 3).long()
    same = numbers[:, None] == numbers[None]
    mask = torch.zeros(2, 1, length, length).masked_fill(~same, forbidden)
    mask[:, :, 2] = forbidden if forbidden == -math.inf else 0.0
    return mask


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.2])
def test_attention_is_pytorchs_but_for_the_draw(mask: str, kind: torch.dtype, p: float) -> None:
    """Forward and back, as one in float64 with the same factors."""
    torch.manual_seed(5)
    length = 11
    query, key, value = (torch.randn(2, 3, length, 8).to(kind).requires_grad_() for _ in range(3))
    others = MASKS[mask](length)
    wide = dict(others)
    if "summands" in mask:
        wide["attn_mask"] = others["attn_mask"].double()
    torch.manual_seed(6)
    with quick_functions(CPU):
        found = functional.scaled_dot_product_attention(query, key, value, dropout_p=p, **others)
    torch.manual_seed(6)
    shape = (2, 3, length, length)
    factors = kept(shape, p, kind) if p else torch.ones(shape)
    eye = torch.eye(length, dtype=torch.float64).expand(2, 3, length, length)
    shares = functional.scaled_dot_product_attention(query.double(), key.double(), eye, **wide)
    expected = (shares * factors.double()) @ value.double()
    tolerance = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 5e-2}[str(kind).partition(".")[2]]
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    gradients = torch.autograd.grad(found.sum(), (query, key, value))
    theirs = torch.autograd.grad(expected.sum(), (query, key, value))
    for one, other in zip(gradients, theirs, strict=True):
        assert not one.isnan().any()
        torch.testing.assert_close(
            one.double(), other.double(), atol=2 * tolerance, rtol=2 * tolerance
        )


def test_a_mask_that_is_written_to_is_read_again() -> None:
    query, mask = torch.randn(1, 2, 5, 8), torch.ones(5, 5, dtype=torch.bool)
    eye = torch.eye(5).expand(1, 2, 5, 5)
    with quick_functions(CPU):
        for number in range(3):  # each place of the mask in the same memory
            mask.copy_(torch.ones(5, 5).tril(number) > 0)
            found = functional.scaled_dot_product_attention(query, query, eye, mask, 0.01)
            assert not found[..., ~mask].any()
            assert found[..., mask].count_nonzero() > 0.8 * 2 * mask.sum()


def test_a_mask_is_taken_apart_once_for_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    query = torch.randn(1, 2, 5, 8).bfloat16().requires_grad_()
    mask, reads = torch.ones(1, 1, 5, 9, dtype=torch.bool), []
    own = torch.Tensor.masked_fill_
    monkeypatch.setattr(
        torch.Tensor, "masked_fill_", lambda *args: reads.append(args) or own(*args)
    )
    with quick_functions(CPU):
        for _ in range(3):  # transformers cuts it to the keys' number in each layer
            functional.scaled_dot_product_attention(query, query, query, mask[..., :5])
    assert len(reads) == 1


def test_a_bias_that_is_learned_is_left_to_pytorch() -> None:
    query = torch.randn(1, 2, 5, 8).bfloat16().requires_grad_()
    bias = torch.zeros(5, 5, dtype=torch.bfloat16, requires_grad=True)
    with quick_functions(CPU):
        functional.scaled_dot_product_attention(query, query, query, bias).sum().backward()
    assert bias.grad is not None


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_accurate"])
def test_a_gelu_that_is_written_out_is_the_same_in_one_operation(
    name: str, kind: torch.dtype
) -> None:
    module, inputs = ACT2FN[name], torch.linspace(-8, 8, 999).to(kind).requires_grad_()
    with quick_functions(CPU):
        found = module(inputs)
    assert type(found.grad_fn).__name__ == "GeluBackward0"
    expected = module(inputs.double())
    assert type(expected.grad_fn).__name__ != "GeluBackward0"
    [ours] = torch.autograd.grad(found.sum(), inputs)
    [theirs] = torch.autograd.grad(expected.sum(), inputs)
    tolerance = (
        {"rtol": 1e-5, "atol": 1e-5} if kind == torch.float32 else {"rtol": 1e-2, "atol": 1e-2}
    )
    torch.testing.assert_close(found.double(), expected, **tolerance)
    torch.testing.assert_close(ours, theirs, **tolerance)


def test_attention_is_computed_in_the_type_of_autocast() -> None:
    query, key, value = (torch.randn(1, 2, 5, 8) for _ in range(3))
    with quick_functions(CPU), torch.autocast("cpu", dtype=torch.bfloat16):
        found = functional.scaled_dot_product_attention(query, key, value, dropout_p=0.2)
    assert found.dtype == torch.bfloat16


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_is_computed_again_on_the_way_back_is_drawn_as_before(*, reentrant: bool) -> None:
    layers = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8), nn.Dropout(0.5))
    inputs = torch.randn(20, 8, requires_grad=True)
    gradients = []
    for again in (False, True):
        torch.manual_seed(7)
        inputs.grad = None
        with quick_functions(CPU):
            made = checkpoint(layers, inputs, use_reentrant=reentrant) if again else layers(inputs)
            made.sum().backward()
        gradients.append(inputs.grad.clone())
    assert torch.equal(*gradients)


def test_pytorchs_own_functions_are_back_after_the_last_context() -> None:
    own = functional.dropout, functional.scaled_dot_product_attention
    gelu = NewGELUActivation.forward
    with quick_functions(CPU):
        with pytest.raises(ValueError, match="inside"), quick_functions(CPU):
            raise ValueError("inside")
        assert functional.dropout is not own[0]
        assert NewGELUActivation.forward is not gelu
    assert (functional.dropout, functional.scaled_dot_product_attention) == own
    assert NewGELUActivation.forward is gelu
    with quick_functions(torch.device("meta")):
        assert functional.dropout is own[0]


def test_long_attention_without_dropout_is_left_to_pytorch() -> None:
    def products(length: int, kind: torch.dtype, *, learnt: bool) -> bool:
        query = torch.randn(1, 1, length, 8).to(kind).requires_grad_(learnt)
        with quick_functions(CPU):
            found = functional.scaled_dot_product_attention(query, query, query)
        return type(found.grad_fn).__name__ == "UnsafeViewBackward0"

    assert products(512, torch.bfloat16, learnt=True)
    assert not products(513, torch.bfloat16, learnt=True)
    assert not products(128, torch.float32, learnt=True)
    assert not products(128, torch.bfloat16, learnt=False)
