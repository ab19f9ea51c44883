"""Commands that write are refused to processes that a launcher has started several of."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError
from nextfill.core.locks import SIZES

TOLD = "says that 2 processes were started"


@pytest.fixture(params=list(SIZES))
def launched(request, monkeypatch):
    """The variable by which a launcher says that it has started two."""
    monkeypatch.setenv(request.param, "2")
    return request.param


@pytest.fixture
def commands(tiny_model, tiny_masked, text_file, here):
    """Every command that writes something that another would write, too."""
    new = here / "new"
    data = ["--data", text_file]
    return [
        ["train", "--model", tiny_model, *data, "--out", new],
        ["train", "--out", new, "--resume"],
        ["train"],
        ["tokenizer", "train", *data, "--vocab-size", "300", "--out", new],
        ["evaluate", tiny_model, *data, "--out", f"{new}.jsonl"],
        ["evaluate", tiny_model, *data, "--page", f"{new}.html"],
        ["evaluate", tiny_model, tiny_model, *data, "--out", f"{new}.jsonl"],
        ["generate", tiny_model, "the river", "--out", f"{new}.jsonl"],
        ["fill", tiny_masked, "the ___ river", "--out", f"{new}.jsonl"],
        ["report", new],
        ["share", new, "me/it"],
        ["cache", "prune"],
    ]


def test_what_writes_is_refused(launched, commands, fails):
    for words in commands:
        told = fails(*words)
        assert f"{launched}=2 {TOLD}" in told, words
        assert f"unset {launched}" in told


def test_what_only_reads_is_not(launched, tiny_model, text_file, capsys):
    for words in (
        ["prepare", "--data", text_file, "--tokenizer", tiny_model],  # one store, made once
        ["generate", tiny_model, "the river", "--max-new-tokens", "2"],
        ["evaluate", tiny_model, "--data", text_file],
        ["recipes"],
        ["cache", "list"],
    ):
        assert main([str(word) for word in words]) == 0, capsys.readouterr().err


def test_from_python_too(launched, tiny_model, text_file, tmp_path):
    with pytest.raises(ConfigError, match=f"{launched}=2"):
        nextfill.train(model=tiny_model, data=text_file, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert len(nextfill.packed_dataset(data=text_file, model=str(tiny_model), block_size=32)) > 1


@pytest.mark.parametrize("size", ["1", "", "0", "many", " 1 "])
def test_one_process_is_one(size, monkeypatch, tiny_model, here):
    for name in SIZES:
        monkeypatch.setenv(name, size)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # a batch script, which is one process
    monkeypatch.setenv("SLURM_PROCID", "0")
    out = here / "texts.jsonl"
    words = ["generate", tiny_model, "the river", "--max-new-tokens", "2", "--out", out]
    assert main([str(word) for word in words]) == 0
    assert out.is_file()


@pytest.mark.trial
def test_two_ranks_of_torchrun_leave_nothing(tiny_model, text_file, tmp_path):
    words = ["train", "--model", tiny_model, "--data", text_file, "--out", tmp_path / "run"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "nextfill", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert f"WORLD_SIZE=2 {TOLD}" in done.stderr
    assert not (tmp_path / "run").exists()
