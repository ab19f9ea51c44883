"""A head is left out where it is a linear layer alone, and the step's figures are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextfill.data.packing.block_plan import Frame, plan_blocks
from nextfill.data.packing.block_reader import read_blocks
from nextfill.data.store.token_store import TokenStore
from nextfill.models import head_loss
from nextfill.models.documents.isolation import Isolation, padding_isolation
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import causal

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inputs(store: TokenStore) -> tuple[Tensor, ...]:
    plan = plan_blocks(store, np.arange(60), policy="pad", block_size=64, frame=Frame((0,), (0,)))
    return to_tensors(causal(read_blocks(store, plan, np.arange(8), pad_id=0, isolate=True)), CPU)


@pytest.fixture
def every_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_loss, "_FEW", 0)


def gradients(model: nn.Module, nats: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    (nats.sum() / len(nats)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def graph_of(nats: Tensor) -> set[str]:
    """Return the names of the last few functions that a tensor was made by."""
    found, waiting = set(), [nats.grad_fn]
    for _ in range(8):
        waiting = [one for one in waiting if one is not None]
        found |= {type(one).__name__ for one in waiting}
        waiting = [other for one in waiting for other, _ in one.next_functions]
    return found


def check(module: StepModule, inputs: tuple[Tensor, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold a step that leaves the head out against one that does not."""
    assert module.has_plain_head
    found = module(*inputs)
    ours = gradients(module.model, found)
    with torch.no_grad():
        whole = module(*inputs)
    monkeypatch.setattr(head_loss, "_FEW", 1 << 60)
    expected = module(*inputs)
    assert "_HeadNatsBackward" in graph_of(found)
    assert "_HeadNatsBackward" not in graph_of(expected)
    assert torch.equal(whole, expected)  # an evaluation's figures are what they were
    theirs = gradients(module.model, expected)
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    size = max(float(one.norm()) for one in theirs.values())
    for name, one in theirs.items():  # those of the keys' biases are nothing but rounding
        assert float((ours[name] - one).norm()) <= 2e-6 * (float(one.norm()) + size / 10), name


def test_a_step_is_the_same_without_whole_logits(
    make_model: Callable[..., Any],
    inputs: tuple[Tensor, ...],
    family: str,
    every_head: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = StepModule(make_model(family), Isolation("none"))
    if family == "gemma2":  # which caps its logits
        assert not module.has_plain_head
        return
    check(module, inputs, monkeypatch)


def test_a_masked_step_is_the_same_without_whole_logits(
    make_masked: Callable[..., Any],
    masked_family: str,
    every_head: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the layers that come between the body and the table, and its bias."""
    model = make_masked(masked_family)
    module = StepModule(model, padding_isolation(model, "masked"))
    torch.manual_seed(0)
    ids = torch.randint(5, 400, (3, 20))
    labels = ids.where(torch.rand(3, 20) < 0.4, -100)
    numbers = torch.zeros_like(ids)
    check(module, (ids, labels, torch.arange(20).expand(3, 20), numbers), monkeypatch)


class Warmer(nn.Linear):
    """A layer of a kind of its own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input) * 1.5


@pytest.mark.parametrize("change", ["scale", "offset of a token", "cut", "cap", "kind", "bf16"])
def test_a_head_that_does_more_is_left_whole(change: str, make_model: Callable[..., Any]) -> None:
    model = make_model("llama")
    own = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = own(*args, **kwargs)
        logits = output.logits
        if change == "scale":
            logits = logits * 1.0001
        elif change == "offset of a token":
            logits = logits + torch.eye(logits.shape[-1])[7] * 1e-3
        elif change == "cut":
            logits = logits[..., :-1]
        elif change == "cap":
            logits = 1e4 * (logits / 1e4).tanh()
        output.logits = logits
        return output

    if change == "kind":
        head = Warmer(32, model.config.vocab_size, bias=False)
        head.weight = model.lm_head.weight
        model.lm_head = head
    elif change == "bf16":
        model.lm_head.bfloat16()
    else:
        model.forward = forward
    if change == "bf16":
        assert head_loss.plain_head(model) is None
        return
    assert not StepModule(model, Isolation("none")).has_plain_head


def test_a_layer_that_is_listened_to_is_called(
    make_model: Callable[..., Any], inputs: tuple[Tensor, ...], every_head: None
) -> None:
    """As by the beginning of an adapter from its inputs, after the module was made."""
    model = make_model("gpt2")
    module = StepModule(model, Isolation("none"))
    heard: list[Tensor] = []
    hook = model.lm_head.register_forward_hook(lambda *args: heard.append(args[2]))
    assert type(module(*inputs).grad_fn).__name__ != "_HeadNatsBackward"
    hook.remove()
    assert type(module(*inputs).grad_fn).__name__ == "_HeadNatsBackward"
    assert len(heard) == 1
    assert heard[0].shape[-1] == model.config.vocab_size


def test_figures_other_than_nats_come_from_the_logits(
    make_model: Callable[..., Any], inputs: tuple[Tensor, ...], every_head: None
) -> None:
    module = StepModule(make_model("gpt2"), Isolation("none"))
    logits = module(*inputs, lambda logits, targets: logits)
    assert logits.shape[1] == module.model.config.vocab_size


def test_a_broken_step_leaves_the_layer_as_it_was(
    make_model: Callable[..., Any], inputs: tuple[Tensor, ...], every_head: None
) -> None:
    model = make_model("gpt2")
    module = StepModule(model, Isolation("none"))
    with pytest.raises(IndexError):
        module(inputs[0] + 10_000, *inputs[1:])
    assert "forward" not in vars(model.lm_head)
