"""Perplexity equals a double-precision loop over each document alone, at any batch size."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import nextfill
from nextfill.config import EvaluationConfig, MaskingConfig
from nextfill.data.parts import Part
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.bootstrap import mean_interval
from nextfill.evaluation.metrics import summarize
from nextfill.evaluation.scorer import score_part
from nextfill.evaluation.scores import DocumentScores
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule

BLOCK = 64


@pytest.fixture(scope="module")
def few(make_store: Callable[..., TokenStore], texts: list[str], bpe: Any) -> TokenStore:
    """Some short documents, two long ones, an empty and a tiny one."""
    by_size = sorted(texts, key=len)
    return make_store([*by_size[1:150:5], by_size[-8], *texts[-3:]], bpe)


def score(
    model: nn.Module,
    store: TokenStore,
    tokenizer: Any,
    *,
    batch_size: int = 8,
    stride: int | None = None,
) -> DocumentScores:
    evaluation = EvaluationConfig(stride=stride, eval_batch_size=batch_size)
    return score_part(
        StepModule(model, Isolation("pad")),
        LoadedModel(model, tokenizer, "a model"),
        Part(store, np.arange(store.num_documents)),
        block_size=BLOCK,
        evaluation=evaluation,
        masking=MaskingConfig(),
        precision="fp32",
    ).scores


def nats_by_hand(model: nn.Module, ids: list[int], stride: int | None) -> tuple[float, int]:
    """Score one document, start token first, in windows of BLOCK inputs, in double precision.

    Without a stride windows follow one another, and the last one reaches back to be full.
    """
    nats, scored_to = 0.0, 1  # the first token is context only
    start = 0
    while scored_to < len(ids):
        if stride is None and start > 0:
            start = min(start, len(ids) - 1 - BLOCK)
        window = ids[start : start + BLOCK + 1]
        logits = model(input_ids=torch.tensor([window[:-1]]), use_cache=False).logits[0]
        new = range(scored_to, start + len(window))
        losses = functional.cross_entropy(logits, torch.tensor(window[1:]), reduction="none")
        nats += sum(losses[position - start - 1].item() for position in new)
        scored_to = start + len(window)
        start = scored_to - 1 if stride is None else start + stride
    return nats, len(ids) - 1


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bloom"])
@pytest.mark.parametrize("stride", [None, 24])
@torch.no_grad()
def test_nats_equal_a_loop_over_each_document(
    make_model: Callable[..., Any], few: TokenStore, bpe: Any, kind: str, stride: int | None
) -> None:
    model = make_model(kind)
    scores = score(model, few, bpe, stride=stride)
    exact = make_model(kind).double()
    assert few.documents["tokens"].max() > 3 * BLOCK
    worst = 0.0
    for at in range(len(scores.document)):
        ids = [bpe.eos_token_id, *few.tokens(int(scores.document[at])).tolist()]
        nats, targets = nats_by_hand(exact, ids, stride)
        assert scores.targets[at] == targets
        worst = max(worst, abs(scores.nats[at] / nats - 1))
    print(f"{kind}, stride {stride}: largest difference of a document {worst:.2e}")
    assert worst < 1e-6


@torch.no_grad()
def test_more_context_is_used_with_a_stride(
    make_model: Callable[..., Any], few: TokenStore, bpe: Any
) -> None:
    model = make_model("gpt2")
    disjoint, sliding = (score(model, few, bpe, stride=stride) for stride in (None, 8))
    assert np.array_equal(disjoint.targets, sliding.targets)
    long = disjoint.targets > BLOCK
    assert np.all(disjoint.nats[long] != sliding.nats[long])
    np.testing.assert_allclose(disjoint.nats[~long], sliding.nats[~long], rtol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_batch_size_changes_nothing(
    make_model: Callable[..., Any], few: TokenStore, bpe: Any, kind: str
) -> None:
    model = make_model(kind)
    one = score(model, few, bpe, batch_size=1)
    for batch_size in (7, 64):
        other = score(model, few, bpe, batch_size=batch_size)
        for name in ("document", "targets", "bytes", "characters", "words"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_allclose(other.nats, one.nats, rtol=1e-6)
        total = abs(other.nats.sum() / one.nats.sum() - 1)
        print(f"{kind}, batch size {batch_size}: total nats differ by {total:.2e}")
        assert total < 1e-6


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bloom"])
def test_nor_does_it_change_anything_which_rows_share_a_batch(
    make_model: Callable[..., Any],
    few: TokenStore,
    bpe: Any,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows of like length share a batch; here they come as the documents do, long beside short."""
    model = make_model(kind)
    bucketed = score(model, few, bpe)

    def in_a_row(lengths: Any, heads: Any, batch_size: int, most_heads: int) -> Any:
        return np.array_split(np.arange(len(lengths)), -(-len(lengths) // batch_size))

    monkeypatch.setattr("nextfill.evaluation.rows._batches_by_length", in_a_row)
    plain = score(model, few, bpe)
    for name in ("document", "targets", "bytes", "characters", "words"):
        assert np.array_equal(getattr(bucketed, name), getattr(plain, name))
    np.testing.assert_allclose(plain.nats, bucketed.nats, rtol=1e-6)
    total = abs(plain.nats.sum() / bucketed.nats.sum() - 1)
    print(f"{kind}, rows as they come: total nats differ by {total:.2e}")
    assert total < 1e-6


def test_every_token_is_scored_once(
    make_model: Callable[..., Any], few: TokenStore, bpe: Any
) -> None:
    for stride in (None, 24, 1):
        scores = score(make_model("gpt2"), few, bpe, stride=stride, batch_size=64)
        assert scores.targets.sum() == few.num_tokens
        assert np.array_equal(scores.targets, few.documents["tokens"][scores.document])
    for unit in ("bytes", "characters", "words"):
        assert getattr(scores, unit).sum() == few.documents[unit].sum() > 0
    assert len(scores.document) == few.num_documents - 1  # one is empty


class TestWithoutAStartToken:
    """The first token has no context: it is no target, and its text leaves the denominators."""

    TEXTS = ("hello world", "  two spaces", "x", "世界 and more", "🙂🙂", "a b", "\n\ntext\n")

    @pytest.fixture
    def scored(
        self,
        make_store: Callable[..., TokenStore],
        make_model: Callable[..., Any],
        bpe_without_specials: Any,
    ) -> tuple[TokenStore, DocumentScores]:
        assert evaluation_frame(bpe_without_specials).prefix == ()
        store = make_store(list(self.TEXTS), bpe_without_specials)
        return store, score(make_model("gpt2"), store, bpe_without_specials)

    def test_sizes_are_those_of_the_text_scored(
        self, scored: tuple[TokenStore, DocumentScores], bpe_without_specials: Any
    ) -> None:
        store, scores = scored
        encode = bpe_without_specials.backend_tokenizer.encode
        for at, number in enumerate(scores.document.tolist()):
            text = self.TEXTS[number]
            offsets = encode(text).offsets
            assert scores.targets[at] == len(offsets) - 1 == store.documents["tokens"][number] - 1
            rest = text[offsets[0][1] :]  # a character that the first token begins goes whole
            assert scores.characters[at] == len(rest), text
            assert scores.bytes[at] == len(rest.encode()), text
            assert scores.words[at] == len(rest.split()), text

    def test_a_document_of_one_token_is_left_out(
        self, scored: tuple[TokenStore, DocumentScores]
    ) -> None:
        store, scores = scored
        single = np.flatnonzero(store.documents["tokens"] == 1)
        assert self.TEXTS.index("x") in single
        assert sorted([*scores.document, *single]) == list(range(len(self.TEXTS)))


@pytest.fixture(scope="module")
def run(
    bpe: Any, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> nextfill.TrainResult:
    folder = tmp_path_factory.mktemp("job")
    bpe.save_pretrained(folder / "tokenizer")
    (folder / "texts.txt").write_text("\n\n".join(texts), encoding="utf-8")
    return nextfill.train(
        model={
            "name": "scratch:gpt2",
            "tokenizer": str(folder / "tokenizer"),
            "config": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64},
        },
        data=folder / "texts.txt",
        block_size=BLOCK,
        max_steps=2,
        precision="fp32",
        cache_dir=folder / "cache",
        out=folder / "run",
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_figure_follows_from_the_scores_kept(run: nextfill.TrainResult, when: str) -> None:
    evaluation = getattr(run, when)
    file = Path(run.run, "evaluations", f"step-0000000{0 if when == 'before' else 2}.npz")
    with np.load(file) as kept:
        scores = {name: kept[name].tolist() for name in kept.files}
    nats, targets = math.fsum(scores["nats"]), sum(scores["targets"])
    assert evaluation.documents == len(scores["document"]) > 10
    for name in ("targets", "bytes", "characters", "words"):
        assert getattr(evaluation, name) == sum(scores[name])
    assert evaluation.nats == pytest.approx(nats, rel=1e-12)
    assert evaluation.perplexity == pytest.approx(math.exp(nats / targets), rel=1e-12)
    assert evaluation.word_perplexity == pytest.approx(math.exp(nats / sum(scores["words"])))
    assert evaluation.byte_perplexity == pytest.approx(math.exp(nats / sum(scores["bytes"])))
    assert evaluation.bits_per_byte == pytest.approx(nats / math.log(2) / sum(scores["bytes"]))
    residuals = [
        one - nats / targets * count
        for one, count in zip(scores["nats"], scores["targets"], strict=True)
    ]
    count = len(residuals)
    variance = sum(r * r for r in residuals) / (count - 1)  # of a document's residual
    error = math.sqrt(variance * count) / targets
    assert evaluation.standard_error == pytest.approx(error, rel=1e-9)
    assert evaluation.accuracy == sum(scores["correct"]) / targets
    characters = sum(scores["characters"])
    assert evaluation.character_perplexity == pytest.approx(math.exp(nats / characters))
    again = mean_interval(np.array(scores["nats"]), np.array(scores["targets"]))
    assert evaluation.interval == pytest.approx((math.exp(again.low), math.exp(again.high)))
    half = (math.log(evaluation.interval[1]) - math.log(evaluation.interval[0])) / 2
    assert half == pytest.approx(1.96 * error, rel=0.3)


def test_evaluating_a_run_gives_the_figure_after(run: nextfill.TrainResult) -> None:
    again = nextfill.evaluate(run.run, cache_dir=Path(run.run).parent / "cache")
    assert again.targets == run.after.targets
    assert again.nats == pytest.approx(run.after.nats, rel=1e-6)


def test_the_standard_error_is_the_spread_over_documents() -> None:
    random = np.random.default_rng(0)
    estimates, errors = [], []
    for _ in range(400):
        targets = random.integers(5, 200, 60)
        nats = targets * random.normal(3.0, 0.4, 60)
        nothing = np.ones(60, np.int64)
        scores = DocumentScores(nothing, nats, targets, nothing, nothing, nothing, nothing)
        evaluation = summarize(scores)
        estimates.append(evaluation.nats / evaluation.targets)
        errors.append(evaluation.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.1)
