"""A model with its own vocabulary may keep the special ids of its type, which do no harm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import nextfill
from nextfill.core.errors import ModelError


@pytest.fixture
def own_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A GPT-2 as one makes it with `GPT2Config(vocab_size=...)` alone: its ids are 50256."""
    folder = tmp_path / "own"
    shutil.copytree(tiny_model, folder)
    for name in ("config.json", "generation_config.json"):
        ids = {"bos_token_id": 50256, "eos_token_id": 50256}
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_bytes()) | ids))
    return folder


def test_it_is_trained_continued_and_scored_as_with_ids_of_its_own(
    own_model, tiny_model, tmp_path, text_file
):
    found = []
    for model in (own_model, tiny_model):
        out = tmp_path / f"run-{model.name}"
        result = nextfill.train(model=model, data=text_file, max_steps=2, out=out)
        [made] = nextfill.generate(out, "Leaf", seed=1, min_new_tokens=3, max_new_tokens=6)
        found.append((result.after.nats, made, nextfill.evaluate(out).nats))
    assert found[0] == found[1]
    saved = json.loads((tmp_path / "run-own" / "model" / "config.json").read_bytes())
    assert saved["eos_token_id"] is None


@pytest.mark.parametrize("number", [50255, 5000])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_another_id_beyond_the_vocabulary_is_still_refused(own_model, name, number):
    path = own_model / name
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"eos_token_id": number}))
    with pytest.raises(ModelError, match=rf"{name} says eos_token_id is {number:,}; expected an"):
        nextfill.generate(own_model, "Leaf", max_new_tokens=1)
