"""Infilling from the command line and from Python: trained, counted, recorded, resumed, refused."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer

import nextfill
from nextfill.config import DataConfig
from nextfill.core.errors import ConfigError, Interrupted, NextfillError
from nextfill.core.progress import Silent
from nextfill.data.infilling_tokens import KNOWN
from nextfill.data.packing.block_plan import plan_blocks
from nextfill.data.packing.block_reader import read_blocks
from nextfill.data.special_tokens import training_frame
from nextfill.data.store.token_store import TokenStore
from nextfill.models.documents.isolation import probe_isolation
from nextfill.models.step import StepModule, to_tensors
from nextfill.objectives.batch import causal

NAMES = list(KNOWN[0][:3])
JOB = {"max_steps": 4, "block_size": 64, "device": "cpu", "precision": "fp32", "test_size": 0.2}


@pytest.fixture
def job(tiny_model, text_file):
    return {"model": str(tiny_model), "data": str(text_file), "add_tokens": NAMES, **JOB}


@pytest.fixture(scope="module")
def tokenizer_folder(tiny_tokenizer, tmp_path_factory):
    """Folder of the tiny tokenizer with tokens of infilling."""
    folder = tmp_path_factory.mktemp("infilling") / "tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    tokenizer.add_tokens(NAMES)
    tokenizer.save_pretrained(folder)
    return folder


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.texts = []

    def on_note(self, text):
        self.texts.append(text)


class Stopping(Silent):
    """Is interrupted as soon as the settings are written."""

    def on_note(self, text):
        if "writing to" in text:
            raise KeyboardInterrupt


class StoppingAt(Silent):
    """Is interrupted after a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, event, timing):
        if event["step"] == self.step:
            raise KeyboardInterrupt


def balanced(ledger):
    used = ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    return ledger["tokens"] + ledger["separators"] == used


def test_a_run_counts_what_it_cut_and_its_held_out_text_stays_as_it_is(job, tmp_path):
    notes = Notes()
    result = nextfill.train(out=tmp_path / "run", fim_rate=0.6, observer=notes, **job)
    own = nextfill.train(out=tmp_path / "own", **job)
    counts = result.ledger["infilling"]
    parts = ("documents", "as_they_are", "too_short")
    assert sum(counts[part] for part in parts) == result.ledger["train_documents"]
    assert counts["prefix_first"] + counts["suffix_first"] == counts["documents"] > 10
    assert counts["prefix_first"] > 0 < counts["suffix_first"]
    assert counts["tokens_added"] >= 3 * counts["documents"]
    assert result.ledger["tokens"] == own.ledger["tokens"] + counts["tokens_added"]
    assert balanced(result.ledger)
    assert "infilling" not in own.ledger
    assert result.before == own.before
    assert result.after != own.after
    assert nextfill.evaluate(result.run, base=False).nats == pytest.approx(result.after.nats)
    [told] = [text for text in notes.texts if text.startswith("infilling: ")]
    assert f"infilling: {counts['documents']} of {result.ledger['train_documents']} docum" in told
    page = (Path(result.run) / "report.html").read_text("utf-8")
    assert f'ledger/infilling/documents" value="{counts["documents"]}"' in page


def test_the_run_and_its_model_say_which_tokens(job, tmp_path, tokenizer_folder):
    result = nextfill.train(out=tmp_path / "run", fim_rate=1, **job)
    written = tomllib.loads((Path(result.run) / "config.toml").read_text("utf-8"))
    assert written["infilling"]["rate"] == 1
    saved = json.loads((Path(result.model) / "tokenizer_config.json").read_text("utf-8"))
    parts = ("prefix", "suffix", "middle")
    assert saved["fim_tokens"] == dict(zip(parts, NAMES, strict=True))
    # Read and saved by transformers alone it is still there, and the tokens are what they were.
    tokenizer = AutoTokenizer.from_pretrained(result.model)
    tokenizer.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text("utf-8"))
    assert again["fim_tokens"] == saved["fim_tokens"]
    assert None not in tokenizer.convert_tokens_to_ids(NAMES)
    # A run of its model goes on so, unless it is told otherwise.
    further = {**job, "model": result.run, "max_steps": 1}
    del further["add_tokens"]
    more = nextfill.train(out=tmp_path / "more", **further)
    assert more.ledger["infilling"]["as_they_are"] == 0
    none = nextfill.train(out=tmp_path / "none", fim_rate=0, **further)
    assert "infilling" not in none.ledger


def test_own_names_are_taken_and_kept(job, tmp_path):
    words = ["[[A]]", "[[B]]", "[[C]]"]
    settings = {**job, "add_tokens": words, "max_steps": 1}
    with pytest.raises(ConfigError, match=r"fim_rate=1: .* has no tokens .* add_tokens="):
        nextfill.train(out=tmp_path / "none", fim_rate=1, **settings)
    result = nextfill.train(
        out=tmp_path / "run", fim_rate=1, fim_tokens=",".join(words), **settings
    )
    saved = json.loads((Path(result.model) / "tokenizer_config.json").read_text("utf-8"))
    parts = ("prefix", "suffix", "middle")
    assert saved["fim_tokens"] == dict(zip(parts, words, strict=True))


@pytest.mark.parametrize("packing", ["best-fit", "concat"])
def test_a_run_that_is_gone_on_with_equals_a_whole_one(
    job, tmp_path, tmp_path_factory, monkeypatch, packing
):
    settings = {**job, "fim_rate": 0.5, "packing": packing, "block_size": 48}
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        nextfill.train(out=tmp_path / "run", observer=Stopping(), **settings)
    # In another cache all of it is prepared anew.
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path_factory.mktemp("cache")))
    result = nextfill.train(out=tmp_path / "run", resume=True)
    for name in ("ledger.json", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert result.after == whole.after
    assert balanced(result.ledger)


def test_a_run_that_stops_within_an_epoch_goes_on_to_the_byte(
    job, tmp_path, tmp_path_factory, monkeypatch
):
    settings = {**job, "fim_rate": 0.7, "fim_max_middle": 12, "block_size": 48, "batch_size": 2}
    settings |= {"max_steps": 7, "save_every": 2}
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        nextfill.train(out=tmp_path / "run", observer=StoppingAt(3), **settings)
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path_factory.mktemp("cache")))
    result = nextfill.train(out=tmp_path / "run", resume=True)
    events = [
        json.loads(line)
        for line in (tmp_path / "run" / "events.jsonl").read_text("utf-8").splitlines()
    ]
    assert 0 < max(event["epoch"] for event in events if event["event"] == "step") < 1
    for name in ("ledger.json", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert result.after == whole.after


def test_documents_of_a_token_or_none_at_all(tiny_model, tmp_path):
    """Each is trained on, whole or cut, and all of it is counted."""
    texts = ["", "a", "\n\n", "ab", "\U0001f98a", "e\u0301", "\u00e9"] * 12
    rows = tmp_path / "short.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    job = {"model": str(tiny_model), "add_tokens": NAMES, **JOB, "block_size": 16, "max_steps": 2}
    job |= {"data": str(rows), "eval_data": ["A text that is apart."], "fim_rate": 1}
    job["test_size"] = None
    short = nextfill.train(out=tmp_path / "short", **job)
    counts = short.ledger["infilling"]
    assert (counts["documents"], counts["tokens_added"]) == (0, 0)
    assert counts["too_short"] == short.ledger["train_documents"]
    run = nextfill.train(out=tmp_path / "run", fim_min_characters=1, **job)
    counts = run.ledger["infilling"]
    assert (counts["documents"], counts["too_short"]) == (6 * 12, 12)  # the empty ones
    assert counts["tokens_added"] >= 3 * counts["documents"]
    assert balanced(run.ledger)


def test_the_store_is_a_function_of_seed_and_settings(text_file, tokenizer_folder, tmp_path):
    job = {"data": text_file, "tokenizer": tokenizer_folder, "fim_rate": 0.5, "test_size": 0.2}
    first = nextfill.prepare(cache_dir=tmp_path / "a", **job)
    again = nextfill.prepare(cache_dir=tmp_path / "b", **job)
    assert tokens_of(first.store) == tokens_of(again.store)
    assert not first.reused
    assert nextfill.prepare(cache_dir=tmp_path / "a", **job).reused
    assert first.ledger == again.ledger
    other = nextfill.prepare(cache_dir=tmp_path / "a", seed=1, **job)
    assert tokens_of(first.store) != tokens_of(other.store)
    plain = nextfill.prepare(cache_dir=tmp_path / "a", **{**job, "fim_rate": 0})
    assert plain.store == plain.held_out_store == first.held_out_store
    assert first.store in first.stores
    assert balanced(first.ledger)


def tokens_of(folder):
    return [one.tobytes() for one in TokenStore.open(Path(folder)).shard_tokens]


def test_every_document_costs_what_it_costs_alone(tiny_model, text_file, tokenizer_folder):
    """Packed with others, or in a padded row of its own."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    model.resize_token_embeddings(len(tokenizer))
    made = nextfill.prepare(
        data=text_file, tokenizer=tokenizer_folder, fim_rate=1, test_size=0.2, fim_min_characters=1
    )
    store = TokenStore.open(Path(made.store))
    every = np.arange(store.num_documents)
    frame = training_frame(tokenizer, end_of_document=True)
    module = StepModule(model, probe_isolation(model))
    totals = []
    for packing in ("pad", "best-fit"):
        plan = plan_blocks(store, every, policy=packing, block_size=128, frame=frame)
        rows = read_blocks(store, plan, np.arange(plan.num_blocks), pad_id=1, isolate=True)
        batch = causal(rows)
        with torch.no_grad():
            nats = module(*to_tensors(batch, torch.device("cpu"))).double()
        totals.append((float(nats.sum()), batch.num_targets))
    assert totals[0][1] == totals[1][1]
    assert totals[0][0] == pytest.approx(totals[1][0], rel=1e-6)
    # Each row of its own begins with the frame and the first mark, and ends after the middle.
    plan = plan_blocks(store, every, policy="pad", block_size=256, frame=frame)
    rows = read_blocks(store, plan, np.arange(plan.num_blocks), pad_id=1, isolate=True)
    mark = tokenizer.convert_tokens_to_ids(NAMES[0])
    assert (rows.tokens[:, :2] == [tokenizer.eos_token_id, mark]).all()


def test_a_data_set_of_blocks_is_the_same_with_any_number_of_workers(text_file, tokenizer_folder):
    job = {"data": text_file, "tokenizer": tokenizer_folder, "fim_rate": 0.5, "block_size": 64}
    blocks = nextfill.packed_dataset(part="train", test_size=0.2, **job)
    alone, beside = (
        [row["input_ids"].tolist() for row in DataLoader(blocks, batch_size=None, num_workers=n)]
        for n in (0, 2)
    )
    assert alone == beside
    mark = AutoTokenizer.from_pretrained(tokenizer_folder).convert_tokens_to_ids(NAMES[2])
    assert any(mark in row for row in alone)
    with pytest.raises(ConfigError, match="give part='train'"):
        nextfill.packed_dataset(**job)


def test_a_look_shows_it(text_file, tokenizer_folder):
    seen = nextfill.look(data=text_file, tokenizer=tokenizer_folder, fim_rate=1, block_size=64)
    counts = seen.infilling
    made = nextfill.prepare(data=text_file, tokenizer=tokenizer_folder, fim_rate=1, block_size=64)
    assert counts == made.ledger["infilling"]
    assert "infilling: 54 of 54 documents with the middle last" in seen.text()
    assert NAMES[2] in seen.example.tokens


def test_several_sources_and_held_out_ends(tmp_path, paragraphs, tokenizer_folder):
    """Each is numbered for itself, and pieces of few documents are cut as documents."""
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("\n\n".join(paragraphs(30, 1)), "utf-8")
    two.write_text("\n\n".join(paragraphs(40, 2)), "utf-8")
    job = {"tokenizer": tokenizer_folder, "fim_rate": 0.5, "block_size": 64}
    both = nextfill.prepare(data=[DataConfig(source=str(p)) for p in (one, two)], **job)
    assert balanced(both.ledger)
    each = [nextfill.prepare(data=str(one), **job), nextfill.prepare(data=str(two), **job)]
    for key, value in both.ledger["infilling"].items():
        assert value == sum(single.ledger["infilling"][key] for single in each), key
    book = tmp_path / "book.txt"
    book.write_text("\n".join(paragraphs(60, 3)), "utf-8")
    ends = nextfill.prepare(data=str(book), txt="file", **{**job, "fim_rate": 1})
    assert ends.ledger["held_out_ends"] == 1
    assert ends.ledger["infilling"]["longer_than_a_block"] == ends.ledger["train_documents"] == 2
    assert balanced(ends.ledger)


def test_what_does_not_go_together_is_told(fails, tiny_model, tiny_masked, text_file, tmp_path):
    job = ["train", "--data", text_file, "--model", tiny_model]
    marks = [word for name in NAMES for word in ("--add-tokens", name)]
    message = fails(*job, "--fim-rate", "0.5")
    for name in NAMES:
        assert f"--add-tokens '{name}'" in message
    message = fails("train", "--data", text_file, "--model", tiny_masked, "--fim-rate", "0.5")
    assert "is a masked one" in message
    message = fails(*job, "--fim-rate", "0.5", "--objective", "masked")
    assert "--fim-rate 0.5 is for causal models" in message
    message = fails(*job, "--fim-rate", "0.5", "--no-end-of-document")
    assert "leave --no-end-of-document out" in message
    message = fails(*job, "--fim-rate", "0.5", "--streaming", "--max-steps", "2")
    assert "--streaming reads it as it comes" in message
    message = fails(*job, "--fim-spm-rate", "0.5")
    assert "--fim-spm-rate is of infilling: give --fim-rate 0.5, too" in message
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Leaf {n}?", "completion": f" It is leaf {n}."} for n in range(30)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["train", "--model", tiny_model, *marks, "--fim-rate", "0.5", "--data", pairs]
    assert "--text-field completion" in fails(*data, "--block-size", "64")
    message = fails("prepare", "--data", text_file, "--model", tiny_model, "--fim-rate", "1")
    assert "give another --tokenizer" in message


def test_a_live_tokenizer_stays_the_users(text_file, tiny_model, tokenizer_folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.resize_token_embeddings(len(tokenizer))
    settings = {**JOB, "data": text_file, "model": model, "tokenizer": tokenizer, "max_steps": 1}
    result = nextfill.train(out=tmp_path / "run", fim_rate=0.5, **settings)
    assert "fim_tokens" not in tokenizer.init_kwargs
    assert "fim_tokens" in AutoTokenizer.from_pretrained(result.model).init_kwargs
    plain = AutoTokenizer.from_pretrained(tiny_model)
    settings |= {"model": AutoModelForCausalLM.from_pretrained(tiny_model), "tokenizer": plain}
    with pytest.raises(NextfillError, match="no tokens that mark"):
        nextfill.train(out=tmp_path / "none", fim_rate=0.5, **settings)
