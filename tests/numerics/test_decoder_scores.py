"""Decoders in parts score documents as transformers' models do, in batches of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import nextfill
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.inference import decoder_layouts, decoder_scores
from nextfill.models.inference.decoder_layouts import read_decoder
from nextfill.models.inference.decoder_scores import DecoderScores
from nextfill.models.inference.matrix_products import Weights
from nextfill.models.inference.static_cache import Parts
from nextfill.models.loss import nats_and_hits


def batch(lengths: list[int], width: int) -> tuple[torch.Tensor, ...]:
    """Rows of texts padded at the right, each with targets on all places but some."""
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(3, 200, (len(lengths), width), generator=generator)
    labels = torch.randint(3, 200, ids.shape, generator=generator)
    documents = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, length:], labels[row, length:], documents[row, length:] = 0, NO_TARGET, -1
        labels[row, : length // 3] = NO_TARGET
    labels[1:][-1:] = NO_TARGET  # a row without a target
    return ids, labels, torch.arange(width).expand_as(ids), documents


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("lengths", [[9], [30, 30, 7, 1], [5, 40, 1, 12, 2]])
def test_nats_are_those_of_each_text_alone(
    make_model: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    lengths: list[int],
) -> None:
    monkeypatch.setattr(decoder_scores, "_TOKENS", 64)  # so that rows come in several groups
    monkeypatch.setattr(decoder_scores, "_LOGIT_ROWS", 5)
    model = make_model(kind).eval()
    parts = read_decoder(model, "laid out")
    assert parts is not None
    ids, labels, positions, documents = batch(lengths, max(lengths))
    expected = []
    with torch.no_grad():
        found = DecoderScores(model, parts)(ids, labels, positions, documents)
        both = DecoderScores(model, parts)(ids, labels, positions, documents, nats_and_hits)
        for row, length in enumerate(lengths):
            logits = model(input_ids=ids[row : row + 1, :length], use_cache=False).logits[0]
            nats = functional.cross_entropy(logits, labels[row, :length], reduction="none")
            expected.append(nats[labels[row, :length] != NO_TARGET])
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-5, atol=1e-5)
    assert torch.equal(both[:, 0], found)


@pytest.mark.parametrize(
    ("weights", "tried"),
    [
        ("fp32", ["fp32"]),
        ("laid out", ["laid out"]),
        ("half", ["fp32", "half"]),
        ("int8", ["fp32", "int8"]),
    ],
)
def test_only_rounded_weights_are_tried_in_float32_first(
    make_model: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    weights: Weights,
    tried: list[Weights],
) -> None:
    trials: list[Weights] = []
    has_its_logits = decoder_layouts.has_its_logits

    def counted(model: nn.Module, parts: Parts, form: Weights) -> bool:
        trials.append(form)
        return has_its_logits(model, parts, form)

    monkeypatch.setattr(decoder_layouts, "has_its_logits", counted)
    assert read_decoder(make_model("gpt2").eval(), weights) is not None
    assert trials == tried


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text", numbered=False) / "text.txt"
    lines = [f"Return the {n} items of a list. " * (1 + n % 7) for n in range(40)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_evaluate_scores_a_known_layout_in_parts(
    text: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[int] = []
    forward = DecoderScores.forward

    def counted(self: DecoderScores, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        calls.append(len(ids))
        return forward(self, ids, *rest)

    monkeypatch.setattr(DecoderScores, "forward", counted)
    settings: dict[str, Any] = {"data": str(text), "txt": "line", "cache_dir": tmp_path}
    few = nextfill.evaluate("builtin:base-causal", precision="fp32", eval_batch_size=2, **settings)
    assert sum(calls) >= 40
    many = nextfill.evaluate("builtin:base-causal", precision="fp32", **settings)
    assert many.nats == pytest.approx(few.nats, rel=1e-6)
    calls.clear()
    monkeypatch.setattr("nextfill.evaluation.scorer.scoring_module", lambda module, *_: module)
    plain = nextfill.evaluate("builtin:base-causal", precision="fp32", **settings)
    assert not calls
    assert (few.targets, few.accuracy) == (plain.targets, plain.accuracy)
    assert few.nats == pytest.approx(plain.nats, rel=1e-6)


def test_bfloat16_is_scored_as_it_is_trained(
    text: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: Any) -> None:
        raise AssertionError("parts are in float32")

    monkeypatch.setattr(DecoderScores, "forward", refused)
    found = nextfill.evaluate(
        "builtin:base-causal", data=str(text), txt="line", precision="bf16", cache_dir=tmp_path
    )
    assert np.isfinite(found.nats)


def test_a_hit_is_the_first_of_the_likeliest() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0], [3.0, 3.0, 1.0], [0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    targets = torch.tensor([2, 0, 1, 0])
    assert nats_and_hits(logits, targets)[:, 1].tolist() == [0.0, 1.0, 0.0, 1.0]
    many = torch.randint(0, 4, (60, 7), generator=torch.Generator().manual_seed(0)).float()
    drawn = torch.randint(0, 7, (60,), generator=torch.Generator().manual_seed(1))
    hits = (many.argmax(dim=1) == drawn).float()
    assert torch.equal(nats_and_hits(many, drawn)[:, 1], hits)
    assert 0 < hits.sum() < 60
