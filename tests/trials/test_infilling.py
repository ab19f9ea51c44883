"""The bundled model trained on Python with and without infilling: what it costs, what it learns.

Two runs of the same steps over the functions of the standard library, made as docs/infilling.md
makes them. Takes about six minutes on one core, and prints the figures that stand there. So few
steps teach a model of 3.4 million parameters where a middle ends, and not yet what is in it: of
exact matches it is only asked that there are no fewer than before.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch.nn import functional

import nextfill
from nextfill.config import GenerationConfig, ModelConfig, SuffixOrder
from nextfill.data.infilling_tokens import KNOWN
from nextfill.data.store.encoder import Encoder
from nextfill.generation.generate import Job, continue_prompts
from nextfill.generation.prompts import PromptText, encode_prompts
from nextfill.generation.suffix import encode_infills, infilling_tokens_of
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel
from tests.unit.test_documented_examples import REPOSITORY, blocks

pytestmark = pytest.mark.trial

STEPS = 300
JOB = {"text_field": "text", "max_steps": STEPS, "block_size": 256, "quiet": True}
JOB |= {"drop_leaks": True, "add_tokens": list(KNOWN[0][:3])}
JOB |= {"eval_every": 10**6, "save_every": 10**6}
WORD = re.compile(r"\b[A-Za-z_]{3,}\b")

Cut = tuple[str, str, str]


def cuts(path: Path) -> dict[str, list[Cut]]:
    """Return each function's prefix, middle and suffix: a word, or the rest of a line."""
    rng = random.Random(0)
    found: dict[str, list[Cut]] = {"word": [], "line": []}
    for line in path.read_text("utf-8").splitlines():
        text = json.loads(line)["text"]
        first = len(text) // 4
        word = rng.choice(list(WORD.finditer(text, first)))
        found["word"].append((text[: word.start()], word[0], text[word.end() :]))
        places = [at for at in range(first, len(text) - 1) if "\n" not in text[at : at + 2]]
        start = rng.choice(places)
        end = text.index("\n", start)
        found["line"].append((text[:start], text[start:end], text[end:]))
    return found


def filled(loaded: LoadedModel, each: Sequence[Cut], order: SuffixOrder | None) -> list[str]:
    """Return what a model writes after prefixes: before their suffixes, or without these."""
    generation, tokens = GenerationConfig(greedy=True, max_new_tokens=24), None
    if order is None:
        prompts = encode_prompts(loaded, [PromptText(before) for before, _, _ in each], 24)
    else:
        tokens, prompts = infilling_tokens_of(loaded), []
        for before, _, after in each:
            one = replace(generation, suffix=after, suffix_order=order)
            prompts += encode_infills(loaded, [PromptText(before)], tokens, one)
    made = continue_prompts(Job(loaded, generation, 0, "fp32", tokens), prompts)
    pairs = zip(made, each, strict=True)
    return [
        text["generated_text"][len(before) :] if order is None else text["middle"]
        for [text], (before, _, _) in pairs
    ]


def nats_of(loaded: LoadedModel, each: Sequence[Cut], order: SuffixOrder) -> tuple[float, float]:
    """Return the mean nats of the middles, and of the end token after each."""
    tokens, encoder = infilling_tokens_of(loaded), Encoder(loaded.tokenizer, "tokenizers")
    of_middle, of_end = [], []
    for before, middle, after in each:
        generation = GenerationConfig(max_new_tokens=24, suffix=after, suffix_order=order)
        [prompt] = encode_infills(loaded, [PromptText(before)], tokens, generation)
        new = encoder.of_continuations.encode([middle])[0].tolist()
        ids = torch.tensor([[*prompt.ids, *new, loaded.tokenizer.eos_token_id]])
        with torch.no_grad():
            logits = loaded.model(ids).logits[0, len(prompt.ids) - 1 : -1]
        nats = functional.cross_entropy(logits, ids[0, len(prompt.ids) :], reduction="none")
        of_middle.append(float(nats[:-1].sum()))
        of_end.append(float(nats[-1]))
    return fmean(of_middle), fmean(of_end)


def test_it_costs_little_and_teaches_where_a_middle_ends(tmp_path):
    page = (REPOSITORY / "docs" / "infilling.md").read_text("utf-8")
    subprocess.run([sys.executable, "-c", blocks(page)[0].body], cwd=tmp_path, check=True)
    job = {**JOB, "data": tmp_path / "functions.jsonl", "eval_data": tmp_path / "others.jsonl"}
    plain = nextfill.train(out=tmp_path / "plain", **job)
    run = nextfill.train(out=tmp_path / "run", fim_rate=0.5, **job)
    cost = run.after.nats / plain.after.nats - 1
    print(f"perplexity {plain.before.perplexity:.2f}; left to right {plain.after.perplexity:.2f}, ")
    print(f"with infilling {run.after.perplexity:.2f}; nats {cost:+.2%}; {run.ledger['infilling']}")
    models = {
        name: load_model(ModelConfig(name=one.run), "causal")
        for name, one in (("plain", plain), ("run", run))
    }
    found: dict[tuple[str, str, str | None], int] = {}
    ends: dict[tuple[str, str], float] = {}
    for kind, each in cuts(tmp_path / "others.jsonl").items():
        assert len(each) == 200
        for name, order in (("plain", None), ("plain", "psm"), ("run", "psm"), ("run", "spm")):
            texts = filled(models[name], each, order)
            # Without a suffix nothing tells where to stop: its beginning is enough there.
            right = str.startswith if order is None else str.__eq__
            found[kind, name, order] = sum(
                right(text, cut[1]) for text, cut in zip(texts, each, strict=True)
            )
            print(f"{kind}, {name}, {order or 'prefix alone'}: {found[kind, name, order]} of 200")
        for name, loaded in models.items():
            nats = {order: nats_of(loaded, each, order) for order in ("psm", "spm")}
            print(f"{kind}, {name}: nats of middles and of their ends: {nats}")
            ends[kind, name] = nats["psm"][1]
    assert cost < 0.01
    for kind in ("word", "line"):
        assert ends[kind, "run"] < ends[kind, "plain"] - 1
        assert found[kind, "run", "psm"] >= found[kind, "plain", "psm"]
