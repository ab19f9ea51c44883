"""What tests of the command line share: a folder to stand in, and commands that must fail."""

from __future__ import annotations

import pytest

import nextfill
from nextfill.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, which must stay without a run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fails(capsys, here):
    """Run a command that must fail, and return its message on one line."""

    def run(*words: object) -> str:
        before = {path.name for path in here.iterdir()}
        status = main([str(word) for word in words])
        printed = capsys.readouterr()
        assert status == 2, printed.err
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert {path.name for path in here.iterdir()} == before, "something was left behind"
        lines = printed.err.splitlines()
        at = max(n for n, line in enumerate(lines) if line.startswith("nextfill: "))
        return " ".join(" ".join(lines[at:]).split())

    return run


@pytest.fixture(scope="session")
def masked_tokenizer(text_file, tmp_path_factory):
    """Folder of a byte-level tokenizer of 400 entries with a mask token."""
    folder = tmp_path_factory.mktemp("masked") / "tokenizer"
    nextfill.train_tokenizer(
        data=text_file, vocab_size=400, out=folder, cache_dir=folder.parent / "cache"
    )
    return folder


@pytest.fixture(scope="session")
def tiny_masked(masked_tokenizer, tmp_path_factory):
    """Folder of a RoBERTa of 2 layers, width 32 and 128 positions, with that tokenizer."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(masked_tokenizer)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    shape = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128 + tokenizer.pad_token_id + 1,
        **{name: getattr(tokenizer, name) for name in names},
    )
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    RobertaForMaskedLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
