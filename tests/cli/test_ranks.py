"""Two ranks take the steps of one process, hold a share each, and make samples meanwhile."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nextfill.cli.main import main
from nextfill.runs.directory import RunDirectory
from nextfill.training import evaluations
from nextfill.training.distributed import rank_scoring, share_writer
from tests.processes import Forks
from tests.two_ranks import ranks_in_forks


@pytest.fixture(scope="module")
def forks(tmp_path_factory) -> Iterator[Forks]:
    """Starts trainings in processes that have PyTorch already."""
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.end()


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
