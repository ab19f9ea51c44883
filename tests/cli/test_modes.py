"""Files and folders have the mode that the umask gives any new one, so that a group can share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from nextfill.cli.main import main

SETTINGS = ["--max-steps", "2", "--save-every", "1", "--eval-every", "1", "--block-size", "32"]


@contextlib.contextmanager
def with_umask(umask: int):
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path, umask: int) -> dict[str, str]:
    """Return the modes of what is below a folder that are not those of any new file."""
    return {
        str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.stat().st_mode & 0o777 != (0o777 if path.is_dir() else 0o666) & ~umask
    }


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], ids=oct)
def test_all_that_is_written(umask, tmp_path, monkeypatch, tiny_model, text_file, paragraphs):
    monkeypatch.chdir(tmp_path)
    model, data = str(tiny_model), str(text_file)
    cache = ["--cache-dir", "cache", "--quiet"]
    with with_umask(umask):
        keep = ["--keep", "best", "--validation-size", "5", "--lora-rank", "2"]
        commands = [
            ["train", "--model", model, "--data", data, "--out", "run", *SETTINGS, *keep, *cache],
            ["report", "run", "--no-open"],
            ["evaluate", "run", "--out", "costs.jsonl", "--page", "page.html", *cache],
            ["generate", model, "a leaf", "--out", "texts.jsonl", "--max-new-tokens", "2"],
            ["tokenizer", "train", "--data", data, "--out", "deep/words", *cache],
            ["prepare", "--tokenizer", model, "--data", data, "--objective", "causal", *cache],
        ]
        for words in commands:
            assert main(words) == 0, words
    written = {path.name for path in tmp_path.rglob("*")}
    assert {"best.safetensors", "optimizer.safetensors", "adapter_model.safetensors"} <= written
    assert {"costs.jsonl", "page.html", "report.html", "texts.jsonl", "tokenizer.json"} <= written
    assert {"meta.json", "tokens.bin", "digests", "tokenizers", "locks"} <= written
    assert modes(tmp_path, umask) == {}


def test_data_handed_over_and_word_starts(tmp_path, monkeypatch, paragraphs):
    import nextfill

    monkeypatch.chdir(tmp_path)
    with with_umask(0o027):
        nextfill.packed_dataset(
            data=paragraphs(9),
            tokenizer="builtin:base-masked",
            objective="masked",
            masking="word",
            cache_dir="cache",
        )
    written = {path.name for path in tmp_path.rglob("*")}
    assert {"word-starts.bin", "inputs"} <= written
    assert modes(tmp_path, 0o027) == {}
