"""A text that is read as it comes, by two ranks that are machines of their own."""

from __future__ import annotations

import json
import os

import pytest

import nextfill
from nextfill.core.errors import Interrupted
from nextfill.runs.directory import RunDirectory
from tests.interruption import interrupted
from tests.two_ranks import ranks_in_forks


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
