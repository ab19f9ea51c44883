"""From the Hub and back: data at a commit, a run, its model shared, and loaded by others."""

from __future__ import annotations

import json
import tomllib

import pytest
import torch

from tests.hub.client import User
from tests.hub.server import Hub

# What somebody else does with the model, in transformers and in Nextfill; prints JSON lines.
OTHERS = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("me/notes")
model = AutoModelForCausalLM.from_pretrained("me/notes")
ids = tokenizer("the river carries", return_tensors="pt").input_ids
with torch.no_grad():
    print(json.dumps(model(ids).logits.tolist()))
from nextfill.cli.main import main
sys.exit(main(["generate", "me/notes", "the river", "--max-new-tokens", "3", "--json", "--quiet"]))
"""


@pytest.fixture
def hub(paragraphs):
    rows = "".join(json.dumps({"text": text}) + "\n" for text in paragraphs(60))
    with Hub() as hub:
        hub.add("me/rows", {"train.jsonl": rows.encode()}, "datasets", private=True)
        yield hub


def train(user, cwd, *words, **env):
    done = user.run("train", *words, "--json", "--quiet", cwd=cwd, **env)
    assert done.status == 0, done.err
    return done.json


@pytest.fixture
def words(tiny_model):
    shape = ["--model", tiny_model, "--block-size", "64", "--max-steps", "2"]
    data = ["--data", "me/rows@main", "--streaming", "--split", "train[:40]"]
    return [*shape, *data, "--out", "run"]


@pytest.mark.trial
def test_the_round_trip(hub, words, tmp_path):
    (sha,) = hub.repos["datasets", "me/rows"].order
    result = train(User(hub, tmp_path / "home"), tmp_path, *words, "--share", "me/notes")
    assert result["shared"] == f"{hub.url}/me/notes"
    assert result["ledger"]["records"] == 40
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert config["data"]["source"] == f"me/rows@{sha}"
    card = hub.repos["models", "me/notes"].head["README.md"].decode()
    assert "\ndatasets:\n- me/rows\n" in card
    assert f"revision: {sha}" in card

    theirs = User(hub, tmp_path / "elsewhere").python(OTHERS, cwd=tmp_path)
    assert theirs.status == 0, theirs.err
    logits, generated = map(json.loads, theirs.out.splitlines())
    assert generated[0]["generated_text"].startswith("the river")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "run" / "model"
    ids = AutoTokenizer.from_pretrained(folder)("the river carries", return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        assert torch.equal(model(ids).logits, torch.tensor(logits))


@pytest.mark.trial
def test_a_run_is_repeated_from_its_settings_after_the_data_have_changed(hub, words, tmp_path):
    user = User(hub, tmp_path / "home")
    train(user, tmp_path, *words)
    hub.repos["datasets", "me/rows"].commit({"train.jsonl": b'{"text": "other"}\n'})
    cache = str(tmp_path / "fresh")
    train(user, tmp_path, "run/config.toml", "--out", "again", NEXTFILL_CACHE=cache)
    events = [(tmp_path / name / "events.jsonl").read_bytes() for name in ("run", "again")]
    assert events[0] == events[1]
    # And gone on with, named as it was at first, without the Hub.
    spoken = ["--data", "me/rows@main", "--streaming", "--split", "train[:40]"]
    train(user, tmp_path, "--resume", "--out", "run", *spoken, HF_HUB_OFFLINE="1")
