"""Behind its attention the last layer is computed at the targets alone, with the same nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nextfill.models.architecture import checkpoint_gradients
from nextfill.models.computation import autocast
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.last_layer import LastLayer
from nextfill.models.loss import nats_of
from nextfill.models.row_logits import RowLogits

WHOLE = {"albert", "fnet"}
"""Types whose layers share their weights, or have no attention of BERT's kind."""

SHAPE = 3, 12
ROWS = torch.tensor([0, 5, 6, 14, 22, 23, 29])
FILLED = 32
"""The rows that seven are filled up to where products are compiled for each number of them."""


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Return three rows of one document each, one of them padded, as figures are read of."""
    ids = torch.randint(5, 500, SHAPE, generator=torch.Generator().manual_seed(0))
    documents = torch.zeros_like(ids)
    documents[2, 7:] = -1
    return ids, torch.arange(SHAPE[1]).expand(SHAPE), documents


def nats(logits: RowLogits, rows: Tensor = ROWS) -> Tensor:
    targets = torch.arange(len(rows)) * 7 + 5
    return logits.figures(batch(), rows, targets, nats_of)[0]


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def seen(model: nn.Module, compute: Callable[[], object]) -> list[int]:
    """Return the rows that each linear layer of a model was given, in the order of their calls."""
    found: list[int] = []
    linear = [one for one in model.modules() if isinstance(one, nn.Linear)]
    hooks = [
        one.register_forward_hook(lambda m, i, o: found.append(i[0].flatten(0, -2).shape[0]))
        for one in linear
    ]
    compute()
    for hook in hooks:
        hook.remove()
    return found


def without(logits: RowLogits, monkeypatch: pytest.MonkeyPatch) -> RowLogits:
    monkeypatch.setattr(LastLayer, "is_worthwhile", lambda *args: False)
    return logits


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nats_and_gradients_are_those_of_the_whole_layer(
    make_masked: Callable[..., Any],
    masked_family: str,
    precision: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_masked(masked_family, scale=3.0)
    logits = RowLogits(model, padding_isolation(model, "masked"))
    with autocast(torch.device("cpu"), precision):
        found = nats(logits)
        ours = gradients(model, found)
        rows = seen(model, lambda: nats(logits))
        expected = nats(without(logits, monkeypatch))
        theirs = gradients(model, expected)
        whole = seen(model, lambda: nats(logits))
    most = 1e-5 if precision == "fp32" else 2e-2
    torch.testing.assert_close(found, expected, rtol=most, atol=most)
    assert ours.keys() == theirs.keys()
    size = max(float(one.norm()) for one in theirs.values())
    for name, one in theirs.items():
        assert float((ours[name] - one).norm()) <= most * (float(one.norm()) + size / 10), name
    # A layer's last products, and its first ones of attention, which stay whole.
    some = FILLED if precision == "bf16" else len(ROWS)
    fewer = sum(one == some for one in rows) - sum(one == some for one in whole)
    assert fewer == 0 if masked_family in WHOLE else fewer >= 2
    assert len(rows) == len(whole)


@pytest.mark.parametrize("masked_family", ["bert", "modernbert"])
def test_steps_of_about_as_many_targets_have_products_of_one_shape(
    make_masked: Callable[..., Any], masked_family: str
) -> None:
    model = make_masked(masked_family)
    logits = RowLogits(model, padding_isolation(model, "masked"))
    with autocast(torch.device("cpu"), "bf16"):
        shapes = {tuple(seen(model, lambda n=n: nats(logits, ROWS[:n]))) for n in range(1, 8)}
        with torch.no_grad():
            assert len(ROWS) in seen(model, lambda: nats(logits))
    assert len(shapes) == 1


def test_most_positions_are_computed_whole(make_masked: Callable[..., Any]) -> None:
    model = make_masked("bert")
    logits = RowLogits(model, padding_isolation(model, "masked"))
    most = torch.arange(28)
    assert 28 not in seen(model.bert, lambda: nats(logits, most))
    assert 27 in seen(model.bert, lambda: nats(logits, most[:27]))
    assert len(nats(logits, most[:0])) == 0


def test_a_causal_model_with_few_targets(
    make_model: Callable[..., Any], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(family)
    logits = RowLogits(model, padding_isolation(model, "causal"))
    found = nats(logits)
    ours = gradients(model, found)
    expected = nats(without(logits, monkeypatch))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    theirs = gradients(model, expected)
    size = max(float(one.norm()) for one in theirs.values())
    for name, one in theirs.items():
        assert float((ours[name] - one).norm()) <= 1e-5 * (float(one.norm()) + size / 10), name


class Shifted(nn.Module):
    """A network that reads the position before, by a weight that begins at zero."""

    def __init__(self, mlp: nn.Module, width: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.of_previous = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor) -> Tensor:
        answer: Tensor = self.mlp(hidden) + self.of_previous * hidden.roll(1, dims=1)
        return answer


def test_a_network_over_several_positions_stays_whole(make_masked: Callable[..., Any]) -> None:
    model = make_masked("modernbert")
    layer = model.model.layers[-1]
    isolation = padding_isolation(model, "masked")
    assert len(ROWS) in seen(layer.mlp, lambda: nats(RowLogits(model, isolation)))
    weights = {name: p.clone() for name, p in model.named_parameters()}
    layer.mlp = Shifted(layer.mlp, model.config.hidden_size)
    assert len(ROWS) not in seen(layer.mlp, lambda: nats(RowLogits(model, isolation)))
    now = {name.replace("mlp.mlp", "mlp"): p for name, p in model.named_parameters()}
    assert all(torch.equal(one, now[name]) for name, one in weights.items())


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_activations_that_are_made_anew_are_those_of_all_positions(
    make_masked: Callable[..., Any], kind: str
) -> None:
    model = make_masked(kind).train()
    logits = RowLogits(model, padding_isolation(model, "masked"))
    ours = gradients(model, nats(logits))
    checkpoint_gradients(model)
    anew = gradients(model, nats(logits))
    for name, one in ours.items():
        torch.testing.assert_close(anew[name], one, rtol=1e-4, atol=1e-6)


def longformer(make_masked: Callable[..., Any], window: int) -> RowLogits:
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2}
    others = {"intermediate_size": 64, "attention_window": window, "max_position_embeddings": 64}
    model = make_masked("longformer", **sizes, **others)
    return RowLogits(model, padding_isolation(model, "masked"))


def test_a_model_that_fills_texts_up_computes_all_positions(
    make_masked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = longformer(make_masked, window=6)
    texts = [
        (ids, torch.arange(length).expand(2, length), torch.zeros_like(ids))
        for length in (6, 12, 13, 7)
        for ids in [torch.randint(5, 500, (2, length))]
    ]
    rows = torch.tensor([1, 4, 9])
    found = [logits(*text, rows) for text in texts]
    without(logits, monkeypatch)
    for one, text in zip(found, texts, strict=True):
        torch.testing.assert_close(one, logits(*text, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("window", "is_used"), [(6, True), (8, False)])
def test_a_part_that_was_not_tried_is_not_used(
    make_masked: Callable[..., Any], window: int, is_used: bool
) -> None:
    # The text that parts are tried with has six tokens, which a window of eight fills up.
    logits = longformer(make_masked, window=window)
    ids = torch.randint(5, 500, (2, window))
    positions, rows = torch.arange(window).expand(2, window), torch.tensor([1, 4, 9])
    found = seen(logits.layers, lambda: logits(ids, positions, torch.zeros_like(ids), rows))
    assert (3 in found) == is_used


def test_a_part_that_is_given_another_shape_is_left_alone() -> None:
    part = LastLayer(nn.Identity(), nn.Identity(), is_gathered=False)
    module, rows = part._module, torch.tensor([1, 5])
    other, own = torch.randn(2, 4, 3), torch.randn(2, 3, 3)
    with part.at(rows, len(rows), (2, 3)) as gone_on:
        assert torch.equal(module(other), other)
        answer = module(own)
    assert not gone_on
    assert torch.equal(answer.flatten(0, 1)[rows], own.flatten(0, 1)[rows])
    assert int(answer.count_nonzero()) == rows.numel() * 3
