"""What is known of a tokenizer is believed only while it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from nextfill.data.store.tokenizer_facts import FOLDER, TokenizerFacts, tokenizer_facts

WORDS = Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer"
    path.mkdir()
    WORDS.save(str(path / "tokenizer.json"))
    return path


def test_a_known_tokenizer_is_not_loaded_and_a_damaged_memory_is(
    tmp_path: Path, folder: Path
) -> None:
    cache, loads = tmp_path / "cache", []

    def load() -> Tokenizer:
        loads.append(1)
        return WORDS

    assert tokenizer_facts(cache, folder, load) is WORDS
    found = tokenizer_facts(cache, folder, load)
    assert isinstance(found, TokenizerFacts)
    assert len(loads) == 1
    [file] = (cache / FOLDER).iterdir()
    whole = file.read_text("utf-8")
    other = whole.replace(found.fingerprint, 64 * "a")
    ids = whole.replace('"eos_token_id": null', '"eos_token_id": 1')
    for number, damaged in enumerate((other, ids, whole[:-1], "", "[1]")):
        assert damaged != whole
        file.write_text(damaged, "utf-8")
        assert tokenizer_facts(cache, folder, load) is WORDS
        assert len(loads) == 2 + number
        assert file.read_text("utf-8") == whole
        assert isinstance(tokenizer_facts(cache, folder, load), TokenizerFacts)
