"""Pseudo-log-likelihoods are those of minicons, and of a plain loop over the tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import nn

from nextfill.config import EvaluationConfig, PseudoMetric
from nextfill.data.special_tokens import evaluation_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.word_starts import open_word_starts
from nextfill.evaluation.scorer import score_groups
from nextfill.evaluation.scores import ScoredGroup
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from nextfill.objectives.scored_rows import pseudo_rows

METRICS: tuple[PseudoMetric, ...] = ("original", "within-word")
BLOCK = 24
RECORDED = Path(__file__).with_name("minicons.json")
TEXTS = (
    "Unbelievably, it's raining in Reykjavík.",
    "x",
    "",
    "a <mask> b</s> c <s>d",
    "Grüße, 世界! 🙂 antidisestablishmentarianism",
    "one two three four five six seven eight nine ten " * 3,
)
"""The last takes several pieces; the fourth spells special tokens."""


def starts_of(texts: Sequence[str], tokenizer: Any) -> tuple[NDArray[np.bool_], ...]:
    """Return where words begin by the library's own account, for a store of one shard."""
    backend, found = tokenizer.backend_tokenizer, []
    for text in texts:
        words = backend.encode(text, add_special_tokens=False).word_ids
        found += [at == 0 or word != words[at - 1] for at, word in enumerate(words)]
    return (np.array(found, np.bool_),)


def score(
    model: nn.Module,
    tokenizer: Any,
    store: TokenStore,
    starts: tuple[NDArray[np.bool_], ...],
    metric: PseudoMetric,
    batch_size: int = 8,
) -> list[ScoredGroup]:
    rows = pseudo_rows(
        store,
        np.arange(store.num_documents),
        block_size=BLOCK,
        frame=evaluation_frame(tokenizer, "masked"),
        pad_id=tokenizer.pad_token_id,
        mask_id=tokenizer.mask_token_id,
        metric=metric,
        word_starts=starts,
    )
    module = StepModule(model, padding_isolation(model, "masked"))
    loaded = LoadedModel(model, tokenizer, "a model", "masked")
    evaluation = EvaluationConfig(eval_batch_size=batch_size)
    return list(score_groups(module, loaded, store, rows, evaluation=evaluation, precision="fp32"))


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize("metric", METRICS)
def test_fifty_sentences_as_minicons_scores_them(
    make_store: Callable[..., TokenStore],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    metric: PseudoMetric,
) -> None:
    """The recorded file says which versions; `benchmarks/minicons` makes it."""
    monkeypatch.setattr(f"{__name__}.BLOCK", 128)
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    sentences = recorded["sentences"]
    folder = RECORDED.with_suffix("") / kind
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    store = make_store(sentences, tokenizer)
    (group,) = score(model, tokenizer, store, open_word_starts(store, tokenizer), metric)
    theirs = recorded["log_probabilities"][kind]
    assert len(sentences) == len(theirs[metric]) == 50
    tokens = np.concatenate([np.array(one) for one in theirs[metric]])
    difference = float(np.abs(-group.tokens.nats - tokens).max())
    per_sentence = np.array([sum(one) for one in theirs[metric]])
    whole = float(np.abs(-group.scores.nats - per_sentence).max())
    print(f"{kind}, {metric}: {len(tokens)} tokens, largest difference {difference:.1e}")
    assert difference < 1e-5
    assert whole < 1e-5
    others = np.concatenate([np.array(one) for one in theirs["original"]])
    assert (np.abs(tokens - others).max() > 0.1) == (metric == "within-word")


@torch.no_grad()
def nats_by_hand(model: nn.Module, tokenizer: Any, text: str, metric: PseudoMetric) -> list[float]:
    """Score each token of a text with a call of its own, in double precision."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    start, end, mask = (getattr(tokenizer, f"{n}_token_id") for n in ("bos", "eos", "mask"))
    found = []
    for first in range(0, len(encoding.ids), BLOCK - 2):
        piece = encoding.ids[first : first + BLOCK - 2]
        words = encoding.word_ids[first : first + BLOCK - 2]
        for at, target in enumerate(piece):
            ids = list(piece)
            ids[at] = mask
            if metric == "within-word":
                later = range(at + 1, len(piece))
                ids = [
                    mask if i in later and words[i] == words[at] else ids[i]
                    for i in range(len(ids))
                ]
            logits = model(input_ids=torch.tensor([[start, *ids, end]])).logits[0, at + 1]
            found.append(-float(logits.log_softmax(0)[target]))
    return found


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert", "fnet"])
@pytest.mark.parametrize("metric", METRICS)
def test_nats_equal_a_loop_over_the_tokens(
    make_masked: Callable[..., Any],
    make_store: Callable[..., TokenStore],
    bpe_masked: Any,
    kind: str,
    metric: PseudoMetric,
) -> None:
    store = make_store(list(TEXTS), bpe_masked)
    assert store.documents["tokens"].max() > 3 * BLOCK
    starts = starts_of(TEXTS, bpe_masked)
    (group,) = score(make_masked(kind), bpe_masked, store, starts, metric)
    exact = make_masked(kind).double()
    expected = [nats_by_hand(exact, bpe_masked, text, metric) for text in TEXTS]
    assert group.scores.document.tolist() == [0, 1, 3, 4, 5]
    assert group.scores.targets.tolist() == [len(one) for one in expected if one]
    difference = group.scores.nats / [sum(one) for one in expected if one] - 1
    tokens = np.abs(group.tokens.nats / np.concatenate(expected) - 1)
    print(f"{kind}, {metric}: {np.abs(difference).max():.1e}, of a token {tokens.max():.1e}")
    assert np.abs(difference).max() < 1e-6
    for unit in ("bytes", "characters", "words"):
        assert getattr(group.scores, unit).sum() == store.documents[unit].sum() > 0


def test_special_tokens_that_a_text_spells_are_scored(
    make_masked: Callable[..., Any], make_store: Callable[..., TokenStore], bpe_masked: Any
) -> None:
    store = make_store([TEXTS[3]], bpe_masked)
    special = np.isin(store.tokens(0), bpe_masked.all_special_ids)
    assert special.sum() == 3
    starts = starts_of(TEXTS[3:4], bpe_masked)
    (group,) = score(make_masked("bert"), bpe_masked, store, starts, "original")
    assert np.all(group.tokens.nats[special] > 0)
    assert group.scores.targets.tolist() == [len(special)]


@pytest.mark.parametrize("kind", ["roberta", "fnet"])
def test_the_batch_size_changes_nothing(
    make_masked: Callable[..., Any],
    make_store: Callable[..., TokenStore],
    bpe_masked: Any,
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """Nor does it change anything how many documents are scored at a time."""
    few = [*TEXTS, *sorted(texts, key=len)[20:60:4]]
    store, starts = make_store(few, bpe_masked), starts_of(few, bpe_masked)
    model = make_masked(kind)
    (one,) = score(model, bpe_masked, store, starts, "within-word", batch_size=1)
    monkeypatch.setattr("nextfill.evaluation.scorer.GROUP_ROWS", 50)
    for batch_size in (7, 64):
        groups = score(model, bpe_masked, store, starts, "within-word", batch_size)
        assert len(groups) > 3
        assert list(accumulate(len(group.tokens.nats) for group in groups))[-1] == store.num_tokens
        for name in ("document", "targets", "bytes", "characters", "words"):
            found = np.concatenate([getattr(group.scores, name) for group in groups])
            assert np.array_equal(found, getattr(one.scores, name))
        nats = np.concatenate([group.scores.nats for group in groups])
        np.testing.assert_allclose(nats, one.scores.nats, rtol=1e-6)
