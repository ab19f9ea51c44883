"""Commands that write are refused to processes that a launcher has started several of."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import nextfill
from nextfill.cli.main import main
from nextfill.config import DataConfig, TrainConfig
from nextfill.config.problems.rank_problems import rank_problems
from nextfill.core.errors import ConfigError, Interrupted
from nextfill.core.locks import SIZES
from nextfill.runs.directory import RunDirectory
from nextfill.training import evaluations
from nextfill.training.distributed import rank_scoring, share_writer
from tests.interruption import interrupted
from tests.processes import Forks

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


@pytest.fixture(scope="module")
def forks(tmp_path_factory) -> Iterator[Forks]:
    """Starts trainings in processes that have PyTorch already."""
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


@pytest.fixture
def meeting() -> dict[str, str]:
    """The environment of two ranks of this machine, but for the number of each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_take_the_steps_of_one(parallel, forks, meeting, tiny_model, text_file, tmp_path):
    words = ["train", "--model", tiny_model, "--data", text_file, "--block-size", 32]
    words += ["--batch-size", 6, "--micro-batch-size", 3, "--max-steps", 3, "--dropout", 0.1]
    words += ["--precision", "fp32", "--quiet", "--json"]
    one, two = tmp_path / "one", tmp_path / "two"
    forks.finish(*words, "--out", one)
    shares = ["--parallel", parallel]
    printed = forks.finish(*words, "--out", two, *shares, environment=meeting, ranks=2)
    assert json.loads(printed)["steps"] == 3  # one rank speaks
    assert forks.errors.read_text() == ""
    events, others = (RunDirectory(run).read_events() for run in (one, two))
    assert [one["event"] for one in events] == [one["event"] for one in others]
    for ours, theirs in zip(others, events, strict=True):
        assert ours.get("targets") == theirs.get("targets")
        assert ours.get("loss", 0) == pytest.approx(theirs.get("loss", 0), abs=1e-5)
        assert ours.get("nats", 0) == pytest.approx(theirs.get("nats", 0), rel=1e-6)
    for name in ("config.toml", "ledger.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    forks.finish("train", "--out", two, "--resume", "--json")  # in one process: it is whole
    again = ["train", "--out", two, "--resume", "--json", *shares]  # without a step to take
    assert json.loads(forks.finish(*again, environment=meeting, ranks=2))["steps"] == 3


def test_two_ranks_evaluate_as_one_does_to_the_last_byte(
    forks, meeting, tiny_masked, text_file, tmp_path
):
    words = ["evaluate", tiny_masked, "--data", text_file, "--split", "train[:20]", "--pseudo"]
    words += ["--block-size", 32, "--json"]
    words += ["--out", "each.jsonl", "--page", "page.html"]
    found = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        ranks = {"environment": meeting, "ranks": 2} if count > 1 else {}
        printed = json.loads(forks.finish(*words, folder=folder, **ranks))
        told = forks.errors.read_text("utf-8").splitlines()
        notes = [line for line in told if not line.startswith("evaluating")]
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        found.append((printed, notes, files))
    assert found[1] == found[0]
    assert found[0][0]["targets"] > 500


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


def test_one_of_several_evaluates_alone_where_it_is_told_to(
    meeting, tiny_model, text_file, monkeypatch
):
    for name, value in {**meeting, "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    alone = nextfill.evaluate(str(tiny_model), data=text_file, nproc=1)
    assert alone.targets > 100
    for name in (*meeting, "RANK"):
        monkeypatch.delenv(name)
    assert nextfill.evaluate(str(tiny_model), data=text_file) == alone
    with pytest.raises(ConfigError, match="torchrun --standalone --nproc-per-node 2 SCRIPT"):
        nextfill.evaluate(str(tiny_model), data=text_file, nproc=2)


def ranks_in_forks(words, meeting, change):
    """Run a command as two ranks, each a fork of this process that changes something first."""
    pids = []
    for rank in range(2):
        pids.append(os.fork())
        if not pids[-1]:
            status = 1
            try:
                torch.set_num_threads(1)
                os.environ.update(meeting, RANK=str(rank))
                change(rank)
                status = main([str(word) for word in words])
            finally:
                os._exit(status)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


IN_SHARES = ["--block-size", 32, "--batch-size", 4, "--micro-batch-size", 2, "--precision", "fp32"]
PARALLEL = ["--parallel", "fsdp"]
IN_SHARES += [*PARALLEL, "--quiet", "--json"]


def test_a_run_in_shares_goes_on_from_the_newest_whole_checkpoint(
    forks, meeting, tiny_model, text_file, tmp_path
):
    words = ["train", "--model", tiny_model, "--data", text_file, *IN_SHARES]
    words += ["--max-steps", 20, "--eval-every", 20, "--save-every", 1, "--keep-checkpoints", 3]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main([str(word) for word in [*words, "--out", whole] if word not in PARALLEL]) == 0
    first = forks.start(*words, "--out", run, environment=meeting, ranks=2)

    def is_saving():
        return len([*run.glob("checkpoints/step-*")]) == 3 and [*run.glob("checkpoints/.*.tmp")]

    assert forks.signal_when(first, is_saving, signal.SIGKILL) == -signal.SIGKILL
    newest = max(run.glob("checkpoints/step-*"))
    share = newest / "share-00002-of-00002.safetensors"
    data = bytearray(share.read_bytes())
    data[-1] ^= 1
    share.write_bytes(data)
    forks.finish("train", "--out", run, "--resume", *IN_SHARES[-4:], environment=meeting, ranks=2)
    told = forks.errors.read_text()
    assert f"{newest} is damaged (share-00002-of-00002.safetensors holds other bytes" in told
    assert not [*run.rglob(".*.tmp")]
    one, two = (load_file(path / "model/model.safetensors") for path in (whole, run))
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-6) for name in one)
    for ours, theirs in zip(
        RunDirectory(run).read_events("step"), RunDirectory(whole).read_events("step"), strict=True
    ):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)


def test_ranks_without_a_common_folder_leave_the_checkpoint_to_the_first(
    meeting, tiny_model, text_file, tmp_path
):
    words = ["train", "--model", tiny_model, "--data", text_file, *IN_SHARES, "--max-steps", 1]

    def change(rank):
        if rank:  # another machine, which has no such folder
            share_writer.Path = lambda path: Path(f"/absent{path}")

    run = tmp_path / "run"
    assert ranks_in_forks([*words, "--out", run], meeting, change) == [0, 0]
    assert (run / "checkpoints/step-00000001/optimizer.safetensors").is_file()


@pytest.mark.trial
def test_a_rank_that_cannot_write_its_share_ends_all(
    meeting, tiny_model, text_file, tmp_path, capfd
):
    words = ["train", "--model", tiny_model, "--data", text_file, *IN_SHARES]
    words += ["--max-steps", 3, "--save-every", 1, "--eval-every", 3]
    run = tmp_path / "run"

    def change(rank):
        if rank:  # its disk is full
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    assert ranks_in_forks([*words, "--out", run], meeting, change) == [2, 2]
    told = capfd.readouterr().err
    assert "rank 1 of 2: " in told
    assert "share-00002-of-00002.safetensors cannot be written" in told
    assert told.count("nextfill: ") == 1
    assert not [*run.glob("checkpoints/step-*")]


@pytest.mark.parametrize("kind", [pytest.param("causal", marks=pytest.mark.trial), "masked"])
def test_the_last_rank_makes_the_samples_meanwhile(
    kind, meeting, tiny_model, tiny_masked, text_file, tmp_path
):
    model = tiny_masked if kind == "masked" else tiny_model
    words = ["train", "--model", model, "--data", text_file, "--block-size", 32, "--batch-size", 4]
    words += ["--micro-batch-size", 2, "--max-steps", 2, "--eval-every", 1, "--precision", "fp32"]
    words += ["--quiet", "--json"]
    assert main([str(word) for word in [*words, "--out", tmp_path / "one"]]) == 0

    def change(rank):
        if rank == 0:
            evaluations.make_sample = None  # which it has no need of

    assert ranks_in_forks([*words, "--out", tmp_path / "two"], meeting, change) == [0, 0]
    one, two = (RunDirectory(tmp_path / name) for name in ("one", "two"))
    assert len(one.read_events("sample")) == 3
    assert two.read_events("sample") == one.read_events("sample")
    for ours, theirs in zip(
        two.read_events("evaluation"), one.read_events("evaluation"), strict=True
    ):
        assert ours["nats"] == pytest.approx(theirs["nats"], rel=1e-6)


@pytest.mark.trial
def test_what_no_model_can_sample_is_told_as_by_one_process(
    meeting, tiny_model, text_file, tmp_path
):
    words = ["train", "--model", tiny_model, "--data", text_file, "--block-size", 32]
    words += ["--batch-size", 4, "--micro-batch-size", 2, "--max-steps", 1, "--quiet", "--json"]

    def change(rank):
        def refuse(*_):
            raise ValueError("no text")

        evaluations.make_sample = rank_scoring.make_sample = refuse

    assert ranks_in_forks([*words, "--out", tmp_path / "run"], meeting, change) == [0, 0]
    events = RunDirectory(tmp_path / "run").read_events("no sample")
    assert [(event["step"], event["why"]) for event in events] == [(0, "no text"), (1, "no text")]


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


def write_lines(path, texts):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")


OWN_FILE = "/proc/self/cwd/texts.jsonl"
"""Has one name for all ranks, and is a file of each, as on machines of their own."""

STREAM = {"streaming": True, "portion_size": 0.004, "max_steps": 22, "eval_every": 11, "seed": 3}
STREAM |= {"batch_size": 4, "micro_batch_size": 2, "block_size": 64, "precision": "fp32"}
STREAM |= {"quiet": True, "device": "cpu", "save_every": 5}


def test_a_stream_goes_on_by_two_ranks(
    meeting, tiny_model, paragraphs, here, tmp_path, monkeypatch
):
    """Each of them a machine of its own, with its own copy of the text and its own cache."""
    for folder in ("0", "1"):
        write_lines(here / folder / "texts.jsonl", paragraphs(90))
    job = {"model": tiny_model, "data": OWN_FILE, **STREAM}
    monkeypatch.chdir(here / "0")
    nextfill.train(out=tmp_path / "one", **job)
    run = tmp_path / "run"
    with interrupted(after=12), pytest.raises(Interrupted):  # within the third portion
        nextfill.train(out=run, **job)

    def change(rank):
        os.chdir(here / str(rank))
        os.environ["NEXTFILL_CACHE"] = str(here / f"cache-{rank}")

    words = ["train", "--out", run, "--resume", "--json", "--quiet"]
    assert ranks_in_forks(words, meeting, change) == [0, 0]
    ours, theirs = (RunDirectory(path).read_events() for path in (run, tmp_path / "one"))
    assert [event["event"] for event in ours] == [event["event"] for event in theirs]
    assert len(RunDirectory(run).read_events("portion")) == 5  # and from the beginning again
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.get("loss", 0) == pytest.approx(other.get("loss", 0), abs=1e-5)
        for name in ("targets", "portion", "pass", "content_sha256", "blocks"):
            assert mine.get(name) == other.get(name)
    assert (run / "ledger.json").read_bytes() == (tmp_path / "one/ledger.json").read_bytes()
    stores = [{path.name for path in (here / f"cache-{n}/stores").iterdir()} for n in (0, 1)]
    assert len(stores[0]) > len(stores[1])  # which read on from where the first one was


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (-20, "nextfill: rank 1 of 2: /proc/self/cwd/texts.jsonl:71: not JSON"),
        pytest.param(
            *("another text", "Rank 1 has another batch at step"), marks=pytest.mark.trial
        ),
    ],
)
def test_a_stream_that_breaks_at_one_rank_ends_all(
    line, told, meeting, tiny_model, paragraphs, here, tmp_path, capfd
):
    texts = paragraphs(90)
    write_lines(here / "0/texts.jsonl", texts)
    write_lines(here / "1/texts.jsonl", [*texts[:60], *["Another."] * 10, *texts[70:]])
    if line != "another text":
        lines = (here / "0/texts.jsonl").read_text("utf-8").splitlines(keepends=True)
        lines[line] = '{"text": \n'
        (here / "1/texts.jsonl").write_text("".join(lines), "utf-8")

    def change(rank):
        os.chdir(here / str(rank))
        os.environ["NEXTFILL_CACHE"] = str(here / f"cache-{rank}")

    flags = [(f"--{name.replace('_', '-')}", value) for name, value in STREAM.items()]
    words = [word for flag in flags for word in flag if word is not True]
    words = ["train", "--model", tiny_model, "--data", OWN_FILE, *words]
    assert ranks_in_forks([*words, "--out", tmp_path / "run"], meeting, change) == [2, 2]
    errors = capfd.readouterr().err
    assert told in errors
    assert errors.count("nextfill: ") == 1


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
