"""A tokenizer that was seen before is not loaded again, while its cached facts are whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.data.store.encoder import Encoder
from nextfill.data.store.tokenizer_backend import (
    FOLDER,
    TokenizerFacts,
    fingerprint_of,
    plain_backend,
    tokenizer_facts,
)

TEXTS = ["a b <end> b", "", "b<end>", "c"]
PREPARE = """
import json, sys
from nextfill.cli.main import main
status = main(["prepare", *sys.argv[1:], "--quiet", "--json"])
print(json.dumps([status, sorted({"torch", "transformers"} & set(sys.modules))]))
"""


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
    [file] = set((cache / FOLDER).iterdir()) - set((cache / FOLDER).glob("*.backend"))
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


@pytest.mark.parametrize("splits_special", [False, True])
def test_the_cached_backend_encodes_as_the_tokenizer_does(
    splits_special: bool, tmp_path: Path, folder: Path
) -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, "?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.add_special_tokens(["<end>"])
    words.encode_special_tokens = splits_special
    truth = [words.encode(text, add_special_tokens=False).ids for text in TEXTS]
    words.enable_truncation(1)  # of the call before
    words.enable_padding(length=8)
    tokenizer_facts(tmp_path, folder, lambda: words)
    known = tokenizer_facts(tmp_path, folder, refuse_to_load)
    assert [plain_backend(known).encode(text).ids for text in TEXTS] == truth
    assert Encoder(known).fingerprint == known.fingerprint == fingerprint_of(words)


def refuse_to_load() -> Tokenizer:
    raise AssertionError("the tokenizer was loaded")


def test_a_backend_that_is_gone_or_another_is_loaded_anew(tmp_path: Path, folder: Path) -> None:
    tokenizer_facts(tmp_path, folder, lambda: WORDS)
    [file] = (tmp_path / FOLDER).glob("*.backend")
    whole = file.read_bytes()
    other = Tokenizer(models.WordLevel({"a": 1, "b": 0}, "a")).to_str().encode()
    for damaged in (None, b"", whole[:-1], whole.replace(b"0", b"1"), other, b"\xff" + whole):
        file.unlink() if damaged is None else file.write_bytes(damaged)
        loads = []
        known = tokenizer_facts(tmp_path, folder, lambda: loads.append(1) or WORDS)  # noqa: B023
        assert plain_backend(known).to_str() == WORDS.to_str()
        assert len(loads) == 1, damaged
    file.write_bytes(whole)
    known = tokenizer_facts(tmp_path, folder, refuse_to_load)
    assert plain_backend(known).to_str() == WORDS.to_str()


def test_other_data_are_prepared_without_transformers(tiny_tokenizer: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_tokenizer, tmp_path / "tokenizer")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings["add_prefix_space"] = False  # whose effect transformers alone knows
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    outcomes = []
    for number in range(2):
        data = tmp_path / f"{number}.txt"
        data.write_text("\n\n".join(f"{number} {other} river stones" for other in range(40)))
        words = ["--data", str(data), "--tokenizer", str(folder)]
        words += ["--cache-dir", str(tmp_path / "cache")]
        done = subprocess.run(
            [sys.executable, "-c", PREPARE, *words], capture_output=True, text=True, check=True
        )
        outcomes.append(json.loads(done.stdout.splitlines()[-1]))
    assert outcomes == [[0, ["torch", "transformers"]], [0, []]]
