"""`train --streaming`: the steps begin with the first portion, and are a function of the data."""

from __future__ import annotations

import gzip
import json
import threading
import zipfile

import pandas as pd
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, Interrupted, NextfillError, RunError
from nextfill.data.portions import SourcePortions
from nextfill.data.records.python_data import live_records
from tests import processes
from tests.interruption import interrupted
from tests.representative import often

SIZE = 0.004
"""Million characters of a portion: about 22 of the texts."""


@pytest.fixture
def lines(tmp_path, paragraphs):
    """A file of 150 texts in lines of JSON: six portions and the rest."""
    path = tmp_path / "texts.jsonl"
    write_lines(path, paragraphs(150))
    return path


def write_lines(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")


@pytest.fixture
def job(tiny_model, lines):
    return {
        **{"model": tiny_model, "data": lines, "device": "cpu", "precision": "fp32"},
        **{"max_steps": 26, "batch_size": 4, "block_size": 64, "quiet": True},
        **{"streaming": True, "portion_size": SIZE, "eval_every": 10, "save_every": 4},
    }


def contents(run):
    """Return the files that are the same for the same run; its card names its folder."""
    return {k: v for k, v in processes.contents(run).items() if k != "model/README.md"}


def portions(run):
    return [event for event in events_of(run) if event["event"] == "portion"]


def test_text_that_fills_one_portion_is_trained_on_as_without(job, tmp_path):
    job |= {"portion_size": 4.0, "max_steps": 5}
    streamed = nextfill.train(out=tmp_path / "streamed", **job)
    whole = nextfill.train(out=tmp_path / "whole", **{**job, "streaming": False})
    assert (streamed.before, streamed.after) == (whole.before, whole.after)
    assert streamed.ledger.pop("stream") == {
        **{"portions": 1, "read_to_its_end": False, "blocks_trained": 20},
    }
    assert streamed.ledger == whole.ledger


def test_all_text_is_trained_on_portion_by_portion_and_then_again(job, lines, tmp_path):
    result = nextfill.train(out=tmp_path / "run", **job | {"max_steps": 60})
    seen = portions(tmp_path / "run")
    first = [event for event in seen if event["pass"] == 1]
    again = [event for event in seen if event["pass"] == 2]
    assert [event["portion"] for event in first] == list(range(1, len(first) + 1))
    assert len(first) == 7
    assert [event["content_sha256"] for event in again] == [
        event["content_sha256"] for event in first[: len(again)]
    ]
    ledger = result.ledger
    assert ledger["records"] == ledger["documents"] == 150
    assert ledger["stream"]["read_to_its_end"] is True
    assert ledger["tokens"] + ledger["separators"] == (
        ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    )
    assert ledger["bytes"] == sum(
        len(json.loads(line)["text"].encode()) for line in lines.read_text("utf-8").splitlines()
    )
    assert len(ledger["content_sha256"]) == ledger["stream"]["portions"] == 7


def test_the_order_does_not_depend_on_the_cache_or_on_time(job, tmp_path, monkeypatch):
    nextfill.train(out=tmp_path / "cold", **job)
    nextfill.train(out=tmp_path / "warm", **job)
    monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "other"))
    open_portion = SourcePortions.open

    def slowly(self, number, on_progress=None):
        threading.Event().wait(0.2)
        return open_portion(self, number, on_progress)

    monkeypatch.setattr(SourcePortions, "open", slowly)
    nextfill.train(out=tmp_path / "slow", **job)
    expected = contents(tmp_path / "cold")
    assert contents(tmp_path / "warm") == contents(tmp_path / "slow") == expected


@pytest.mark.parametrize(
    ("after", "cache"), often([(5, "kept"), (17, "kept"), (22, "lost")], [(22, "lost")])
)
def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(
    job, after, cache, tmp_path, monkeypatch
):
    nextfill.train(out=tmp_path / "whole", **job)
    with interrupted(after=after), pytest.raises(Interrupted):
        nextfill.train(out=tmp_path / "run", **job)
    assert no_thread()
    if cache == "lost":
        monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "other"))
    nextfill.train(out=tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def no_thread():
    return not any(one.name == "nextfill-background" for one in threading.enumerate())


def test_a_text_that_is_held_out_is_not_trained_on_later(job, lines, paragraphs, tmp_path):
    texts = paragraphs(150)
    write_lines(lines, [*texts, *texts[:25]])  # those of the first portion, once more
    result = nextfill.train(out=tmp_path / "run", **job | {"max_steps": 60})
    held_out = result.ledger["held_out_documents"]
    assert held_out == 2
    assert result.ledger["dropped"]["also held out"] > 0
    assert result.ledger["train_documents"] == 175 - 2 * held_out


def test_other_data_are_held_out_on_request(job, lines, paragraphs, tmp_path):
    texts = paragraphs(150)
    write_lines(tmp_path / "other.jsonl", [texts[100], "A text that stands nowhere else."])
    result = nextfill.train(
        out=tmp_path / "run", **job | {"max_steps": 60, "eval_data": tmp_path / "other.jsonl"}
    )
    assert result.ledger["held_out_documents"] == 2
    assert result.ledger["train_documents"] == 149
    again = nextfill.evaluate(tmp_path / "run")
    assert again.perplexity == pytest.approx(result.after.perplexity, rel=1e-6)


def test_an_evaluation_of_the_run_scores_what_it_held_out(job, tmp_path):
    result = nextfill.train(out=tmp_path / "run", **job)
    again = nextfill.evaluate(tmp_path / "run")
    assert again.targets == result.after.targets
    assert again.perplexity == pytest.approx(result.after.perplexity, rel=1e-6)


def test_any_source_is_streamed(job, paragraphs, tmp_path):
    like = nextfill.train(out=tmp_path / "lines", **job)
    for kind in ("folder", "glob", "zip", "gz", "txt", "csv", "parquet"):
        data = source(kind, tmp_path, paragraphs(150))
        result = nextfill.train(out=tmp_path / f"run-{kind}", **job | {"data": data})
        assert like.ledger["content_sha256"] == result.ledger["content_sha256"]
        assert like.after == result.after


def source(kind, folder, texts):
    """Write texts as a kind of source, and return its name."""
    lines = folder / "texts.jsonl"
    if kind in ("folder", "glob"):
        (folder / "folder").mkdir(exist_ok=True)
        for number, text in enumerate(texts):
            (folder / "folder" / f"{number:03}.txt").write_text(text, "utf-8")
        return folder / "folder" if kind == "folder" else f"{folder}/folder/*.txt"
    data = folder / f"texts.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(data, "w") as archive:
            archive.write(lines, "texts.jsonl")
    elif kind == "gz":
        data = folder / "texts.jsonl.gz"
        data.write_bytes(gzip.compress(lines.read_bytes()))
    elif kind == "txt":
        data.write_text("\n\n".join(texts), "utf-8")
    else:
        frame = pd.DataFrame({"text": texts})
        frame.to_csv(data, index=False) if kind == "csv" else frame.to_parquet(data)
    return data


def endless(texts):
    """Yield texts, and so that none is asked for in vain, an error far behind them."""
    for number in range(10**6):
        yield {"text": texts[number % len(texts)]}


def test_an_iterator_without_end_is_trained_on_as_it_comes(job, lines, paragraphs, tmp_path):
    texts = paragraphs(150)
    asked = []

    def each():
        for one in endless(texts):
            asked.append(one)
            yield one

    like = nextfill.train(out=tmp_path / "lines", **job)
    result = nextfill.train(out=tmp_path / "run", **job | {"data": each()})
    assert like.ledger["content_sha256"] == result.ledger["content_sha256"]
    assert like.after == result.after
    assert len(asked) < 200
    found = nextfill.evaluate(tmp_path / "run")  # whose tokens are there
    assert found.targets == result.after.targets
    assert no_thread()


@pytest.mark.parametrize("cache", ["kept", "lost"])
def test_a_run_on_an_iterator_goes_on_with_the_same_one(
    cache, job, paragraphs, tmp_path, monkeypatch
):
    nextfill.train(out=tmp_path / "whole", **job)
    begin_until(9, tmp_path / "run", job | {"data": endless(paragraphs(150))})
    monkeypatch.setattr(live_records, "_held", {})
    with pytest.raises(NextfillError, match=r"pass the same data again.*data=\.\.\."):
        nextfill.train(out=tmp_path / "run", resume=True)
    if cache == "lost":
        monkeypatch.setenv("NEXTFILL_CACHE", str(tmp_path / "other"))
    again = endless(paragraphs(150))
    result = nextfill.train(out=tmp_path / "run", resume=True, data=again)
    events = [events_of(tmp_path / name) for name in ("run", "whole")]
    assert events[0] == events[1]
    assert result.ledger["records"] > 100


def begin_until(last, run, job):
    """Begin a run, and end it with an error after so many steps."""
    stopped = RunError("stopped")
    with interrupted(before=last, by=stopped), pytest.raises(RunError, match="stopped"):
        nextfill.train(out=run, **job)


def events_of(run):
    """Return the events without their checksums, in which the settings are."""
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "checksum"} for line in lines]


def test_a_masked_model_is_trained_on_whole_words(tiny_masked, job, tmp_path):
    job |= {"model": tiny_masked, "objective": "masked", "masking": "word", "max_steps": 10}
    first = nextfill.train(out=tmp_path / "run", **job)
    assert first.ledger["stream"]["portions"] > 1
    nextfill.train(out=tmp_path / "again", **job)
    assert contents(tmp_path / "run") == contents(tmp_path / "again")


def test_a_source_that_breaks_leaves_a_run_to_go_on_with(job, lines, tmp_path):
    nextfill.train(out=tmp_path / "whole", **job)
    sound = lines.read_text("utf-8").splitlines(keepends=True)
    lines.write_text("".join(sound[:90]) + '{"text": "broken\n' + "".join(sound[91:]), "utf-8")
    with pytest.raises(RunError, match=r"texts.jsonl:91.*saved at step \d+.*resume=True") as error:
        nextfill.train(out=tmp_path / "run", **job)
    assert no_thread()
    step = int(str(error.value).partition("saved at step ")[2].partition(";")[0])
    assert (tmp_path / "run" / "checkpoints" / f"step-{step:08d}").is_dir()
    lines.write_text("".join(sound), "utf-8")
    nextfill.train(out=tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_other_data_than_the_run_began_with_are_refused(job, lines, tmp_path, monkeypatch):
    begin_until(16, tmp_path / "run", job)
    sound = lines.read_text("utf-8").splitlines(keepends=True)
    for number in (3, 40):  # of the first portion and of the second
        lines.write_text("".join(sound[:number] + sound[number + 1 :]), "utf-8")
        with pytest.raises(RunError, match=r"data of .* have changed since it began"):
            nextfill.train(out=tmp_path / "run", resume=True)


def test_what_a_stream_needs_is_said(job, lines, tmp_path, fails, tiny_model):
    del job["max_steps"]
    with pytest.raises(ConfigError, match="give it, as in max_steps=1000"):
        nextfill.train(out=tmp_path / "run", **job)
    words = ["train", "--model", tiny_model, "--data", lines, "--streaming"]
    assert "--max-steps 1000" in fails(*words)
    words += ["--max-steps", 3]
    assert "train[:5000], or leave --streaming out" in fails(*words, "--split", "train[50%:]")
    assert "portion" in fails(*words, "--portion-size", "0")


def test_places_from_the_beginning_are_streamed(job, tmp_path):
    result = nextfill.train(out=tmp_path / "run", **job | {"split": "train[10:60]"})
    assert result.ledger["records"] == 50


def test_the_command_line_tells_it_as_json(job, lines, tiny_model, tmp_path, capsys):
    words = ["train", "--model", tiny_model, "--data", lines, "--streaming", "--json"]
    words += ["--portion-size", SIZE, "--max-steps", 12, "--batch-size", 4, "--block-size", 64]
    assert main([str(word) for word in [*words, "--out", tmp_path / "run"]]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ledger"]["stream"]["portions"] > 1
    assert "that is the first portion of the text" in " ".join(printed.err.split())


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_stream_that_is_given_more_steps_is_a_further_stage_or_refused(job, schedule, tmp_path):
    job |= {"schedule": schedule}
    nextfill.train(out=tmp_path / "run", **job | {"max_steps": 12})
    more = {"out": tmp_path / "run", "resume": True, "quiet": True, "max_steps": 20}
    if schedule == "linear":
        with pytest.raises(ConfigError, match="goes by the number of all steps"):
            nextfill.train(**more)
        return
    result = nextfill.train(**more)
    whole = nextfill.train(out=tmp_path / "whole", **job | {"max_steps": 20})
    assert [stage.num_steps for stage in result.stages] == [20]
    assert "max_steps = 20" in (tmp_path / "run" / "config.toml").read_text("utf-8")
    assert result.after == whole.after
    weights = "model/model.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
