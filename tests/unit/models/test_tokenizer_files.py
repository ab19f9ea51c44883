"""A tokenizer that is read without transformers is the one that transformers loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nextfill.config import ModelConfig
from nextfill.data.store.tokenizer_backend import SPECIAL_IDS, TokenizerFacts, fingerprint_of
from nextfill.models.tokenizer import load_tokenizer, load_tokenizer_facts

BUNDLED = Path(__file__).parents[3] / "src" / "nextfill" / "bundled"


@pytest.fixture(params=["base-causal", "base-masked"])
def folder(request, tmp_path):
    """A folder with the files of a bundled tokenizer alone."""
    made = tmp_path / "tokenizer"
    made.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUNDLED / request.param / name, made)
    return made


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def facts(folder: Path, cache: Path):
    return load_tokenizer_facts(ModelConfig(name=str(folder)), cache)


def is_same(found, folder: Path) -> bool:
    loaded = load_tokenizer(ModelConfig(name=str(folder)))
    ids = [(getattr(found, name), getattr(loaded, name)) for name in SPECIAL_IDS]
    return fingerprint_of(found) == fingerprint_of(loaded) and all(a == b for a, b in ids)


def test_a_plain_folder_is_read_alone(folder, tmp_path):
    found = facts(folder, tmp_path / "cache")
    assert isinstance(found, TokenizerFacts)
    assert is_same(found, folder)
    backend, text = found.backend()
    ids = backend.encode("Some words.").ids
    assert ids == found.load()("Some words.")["input_ids"][: len(ids)]
    assert text == backend.to_str()
    known, text = facts(folder, tmp_path / "cache").backend()  # from the cache
    assert known.to_str() == text == backend.to_str()


def test_it_takes_neither_transformers_nor_torch(folder, tmp_path):
    script = (
        "import sys; from nextfill.config import ModelConfig; from pathlib import Path;"
        "from nextfill.models.tokenizer import load_tokenizer_facts;"
        f"load_tokenizer_facts(ModelConfig(name={str(folder)!r}), Path({str(tmp_path)!r}));"
        "print({'torch', 'transformers'} & {*sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "set()"


CHANGES = {
    "a token that is not there": ("tokenizer_config.json", {"pad_token": "<new>"}),
    "an added token": ("tokenizer_config.json", {"extra_special_tokens": ["<new>"]}),
    "a start that is put before": ("tokenizer_config.json", {"add_bos_token": True}),
    "a space that is put before": ("tokenizer_config.json", {"add_prefix_space": True}),
    "special tokens that are split": ("tokenizer_config.json", {"split_special_tokens": True}),
    "another class": ("tokenizer_config.json", {"tokenizer_class": "GPT2Tokenizer"}),
    "a token as an object": (
        "tokenizer_config.json",
        {"eos_token": {"content": "<|endoftext|>", "lstrip": True, "__type": "AddedToken"}},
    ),
    "a token by its id": (
        "tokenizer_config.json",
        {"added_tokens_decoder": {"5000": {"content": "<new>", "special": True}}},
    ),
    "no post-processor": ("tokenizer.json", {"post_processor": None}),
    "tokens of another file": ("special_tokens_map.json", {"pad_token": "<new>"}),
    "more tokens": ("added_tokens.json", {"<new>": 5000}),
    "a model of another type": ("config.json", {"model_type": "llama"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_transformers_would_change_is_left_to_it(name, folder, tmp_path):
    file, values = CHANGES[name]
    edit(folder / file, lambda content: content.update(values))
    found = facts(folder, tmp_path / "cache")
    assert not isinstance(found, TokenizerFacts)
    assert is_same(found, folder)


def test_special_tokens_that_are_plain_words_are_left_to_it(folder, tmp_path):
    edit(
        folder / "tokenizer.json",
        lambda content: [one.update(special=False) for one in content["added_tokens"]],
    )
    found = facts(folder, tmp_path / "cache")
    assert not isinstance(found, TokenizerFacts)


@pytest.mark.parametrize("kept", ["truncation", "padding"])
def test_truncation_and_padding_of_the_file_are_none_of_its_own(kept, folder, tmp_path):
    values = {
        "truncation": {
            "max_length": 8,
            "stride": 0,
            "strategy": "LongestFirst",
            "direction": "Right",
        },
        "padding": {
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<|endoftext|>",
        },
    }
    edit(folder / "tokenizer.json", lambda content: content.update({kept: values[kept]}))
    found = facts(folder, tmp_path / "cache")
    assert fingerprint_of(found) == fingerprint_of(load_tokenizer(ModelConfig(name=str(folder))))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"model": {}}', '{"model": 1, "added_tokens": []}']
)
def test_a_damaged_file_is_refused_as_before(content, folder, tmp_path):
    from nextfill.core.errors import ModelError

    (folder / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ModelError, match="tokenizer"):
        facts(folder, tmp_path / "cache")
