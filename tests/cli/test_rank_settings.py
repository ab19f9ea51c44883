"""Commands that write are refused to several processes, and settings that ranks cannot have."""

from __future__ import annotations

import os
import sys

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.config import DataConfig, TrainConfig
from nextfill.config.problems.rank_problems import rank_problems
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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batch-size", 3], "--batch-size 3 does not divide over 2 ranks: give a multiple of 2"),
        (
            ["--batch-size", 8, "--micro-batch-size", 3],
            "makes 3, which do not divide over 2 ranks, each of which takes whole ones: give "
            "--micro-batch-size 4",
        ),
        (["--backend", "keras"], "--backend keras trains in one process, and here are 2"),
        (["--parallel", "fsdp", "--ema-decay", 0.9], "leave --ema-decay out"),
        (["--parallel", "fsdp", "--compile"], "leave --compile out"),
    ],
)
def test_what_ranks_cannot_have_is_told_before_they_start(words, told, fails, text_file):
    assert told in fails("train", "--nproc", 2, "--data", text_file, *words)


@pytest.mark.parametrize("words", [["--data", "-"], ["--data", "notes.txt", "--eval-data", "-"]])
def test_ranks_leave_standard_input_unread(words, fails, here, monkeypatch):
    (here / "notes.txt").write_text("Once upon a time.\n", "utf-8")
    with (here / "notes.txt").open() as own:
        monkeypatch.setattr(sys, "stdin", own)
        told = fails("train", *words, "--nproc", 2)
        assert f"{words[-2]} -: standard input is read once, and here are 2 ranks" in told
        assert own.buffer.read() == b"Once upon a time.\n"


@pytest.mark.parametrize("command", [["train"], ["evaluate", "builtin:base-causal"]])
def test_ranks_leave_a_pipe_unread(command, fails, here):
    os.mkfifo(here / "pipe")
    told = fails(*command, "--data", "pipe", "--nproc", 2)
    assert "pipe: a pipe is read once, and here are 2 ranks" in told


def test_piped_text_is_not_passed_over_by_ranks(fails, here, monkeypatch):
    (here / "notes.txt").write_text("Once upon a time.\n", "utf-8")
    with (here / "notes.txt").open() as own:
        monkeypatch.setattr(sys, "stdin", own)
        assert "To read what is piped in, type: --data -" in fails("train", "--nproc", 2)


def test_iterators_of_a_program_are_streamed_by_one_process():
    data = DataConfig(source="live:list_iterator-1", streaming=True)
    [problem] = rank_problems(TrainConfig(data=data), 2)
    assert "data of a Python program are other ones to each of 2 ranks" in problem


@pytest.mark.parametrize("value", ["x", "0", "2.5"])
def test_a_number_of_ranks_is_a_number(value, fails):
    assert f"--nproc: found '{value}'. Expected a number of processes, or auto." in fails(
        "train", "--nproc", value
    )


def test_one_process_holds_no_share(fails, text_file):
    assert "leave it out, or give --nproc 2" in fails(
        "train", "--data", text_file, "--parallel", "fsdp"
    )


def test_a_script_is_started_by_torchrun(tiny_model, text_file, tmp_path):
    with pytest.raises(ConfigError, match="torchrun --standalone --nproc-per-node 2 SCRIPT"):
        nextfill.train(model=tiny_model, data=text_file, out=tmp_path / "run", nproc=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "-"], "--data -: standard input is read once, and here are 2 ranks"),
        (["--pseudo", "--mask-seed", 3], "leave one of them out"),
        (["--page", "x.txt"], "the name has to end in .html"),
    ],
)
def test_what_ranks_cannot_evaluate_is_told_before_they_start(words, told, fails, text_file):
    data = [] if "--data" in words else ["--data", text_file]
    assert told in fails("evaluate", "builtin:base-masked", "--nproc", 2, *data, *words)
