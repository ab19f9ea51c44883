"""Our figures beside those of lm-evaluation-harness and of transformers' guide to perplexity."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import nextfill
from tests.representative import often

RECORDED = Path(__file__).with_name("lm_eval.json")
BASE = Path(nextfill.__file__).parent / "bundled" / "base-causal"
ARTICLES = 12
END = "</s>"
HEADING = re.compile(r"^ = [^=].* = \n", re.MULTILINE)


@pytest.fixture(scope="module")
def articles() -> list[str]:
    """Whole articles of WikiText-2, some of them thousands of tokens long."""
    folder = os.environ.get("NEXTFILL_TEST_DATA")
    if folder is None:
        pytest.skip("NEXTFILL_TEST_DATA is not set: WikiText-2 is not here")
    text = Path(folder, "wikitext2", "test.txt").read_text("utf-8")
    places = [match.start() for match in HEADING.finditer(text)][: ARTICLES + 1]
    return [text[a:b].strip() for a, b in pairwise(places)]


@pytest.mark.parametrize("count", often([3, ARTICLES], [3]))
def test_figures_equal_those_of_the_harness(
    articles: list[str], tmp_path: Path, count: int
) -> None:
    """The recorded file says which versions; `benchmarks/lm_eval` makes it."""
    recorded = json.loads(RECORDED.read_text("utf-8"))
    sha = hashlib.sha256("\0".join(articles).encode("utf-8")).hexdigest()
    weights = hashlib.sha256((BASE / "model.safetensors").read_bytes()).hexdigest()
    assert (sha, weights) == (recorded["texts_sha256"], recorded["weights_sha256"]), "make it anew"
    found = nextfill.evaluate(
        "builtin:base-causal",
        data=articles[:count],
        block_size=recorded["max_length"],
        out=tmp_path / "scores.jsonl",
        cache_dir=tmp_path / "cache",
    )
    lines = map(json.loads, (tmp_path / "scores.jsonl").read_text("utf-8").splitlines())
    documents = sorted(lines, key=lambda line: line["record"])
    assert [line["words"] for line in documents] == recorded["words"][:count]
    assert [line["bytes"] for line in documents] == recorded["bytes"][:count]
    assert max(line["targets"] for line in documents) > 3 * recorded["max_length"]
    ours = np.array([-line["nats"] for line in documents])
    worst = float(np.abs(ours / np.array(recorded["log_likelihoods"][:count]) - 1).max())
    print(f"{len(documents)} articles: a document's log-likelihood differs by {worst:.1e} at most")
    assert worst < 1e-6
    if count < ARTICLES:
        return  # its figures are of all of them
    for name in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
        difference = getattr(found, name) / recorded[name] - 1
        print(f"{name}: {getattr(found, name):.6f}, off by {difference:.1e}")
        assert abs(difference) < 1e-6


@torch.no_grad()
def nats_of_the_guide(model: Any, ids: list[int], max_length: int, stride: int) -> float:
    """Score a text as transformers' guide to the perplexity of fixed-length models does.

    The guide weighs each window's mean loss by one target less than it has after the first window;
    here each is weighed by its own targets.
    """
    nats, scored_to = 0.0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + max_length, len(ids))
        window = torch.tensor([ids[begin:end]])
        labels = window.clone()
        labels[:, : scored_to - begin] = -100
        count = int((labels[:, 1:] != -100).sum())  # the model shifts the labels by one
        nats += float(model(window, labels=labels).loss) * count
        scored_to = end
        if end == len(ids):
            return nats
    return nats


@pytest.mark.parametrize(
    ("stride", "characters"), often([(64, 8_000), (511, 40_000)], [(64, 8_000)])
)
def test_nats_equal_those_of_the_guide(
    articles: list[str], tmp_path: Path, stride: int, characters: int
) -> None:
    text = "\n\n".join(articles)[:characters]
    tokenizer = transformers.AutoTokenizer.from_pretrained(BASE)
    model = transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32).eval()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) > 20 * stride
    theirs = nats_of_the_guide(model, ids, 512, stride)
    found = nextfill.evaluate(
        "builtin:base-causal",
        data=[text],
        block_size=511,  # inputs that predict something; a window's last token only is predicted
        stride=stride,
        start_token=False,
        cache_dir=tmp_path,
    )
    assert found.targets == len(ids) - 1
    print(f"stride {stride}: {found.nats:.4f} nats, theirs {theirs:.4f}")
    assert found.nats == pytest.approx(theirs, rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(theirs / (len(ids) - 1)), rel=1e-5)


def test_figures_equal_a_table_made_by_hand(tmp_path: Path) -> None:
    """A model that gives each of 8 entries the probability 1/8, whatever it is shown."""
    vocabulary = {token: at for at, token in enumerate([END, "a", "b", "c", "d", " ", "é", "\n"])}
    core = _characters(vocabulary)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token=END)
    shape = transformers.GPT2Config(
        vocab_size=8, n_positions=16, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(shape).eval()
    for parameter in model.parameters():
        parameter.data.zero_()
    found = nextfill.evaluate(
        model, tokenizer=tokenizer, data=["ab cd", "é é a"], cache_dir=tmp_path, block_size=4
    )
    nats = 10 * math.log(8)  # five tokens each, every one of them log 8
    table = {
        "nats": nats,
        "targets": 10,
        "documents": 2,
        "words": 5,
        "bytes": 12,
        "characters": 10,
        "perplexity": 8.0,
        "word_perplexity": 8.0**2,
        "byte_perplexity": 8 ** (10 / 12),
        "character_perplexity": 8.0,
        "bits_per_byte": 30 / 12,
        "standard_error": 0.0,
    }
    for name, value in table.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6, abs=1e-7), name


def _characters(vocabulary: dict[str, int]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    core = Tokenizer(models.WordLevel(vocabulary, unk_token=END))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return core
