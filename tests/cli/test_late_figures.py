"""Runs whose figures are read one step late, as on a GPU, are those of a CPU in every byte."""

from __future__ import annotations

import pytest

import nextfill
from nextfill.core.errors import Interrupted, RunError
from nextfill.models import computation
from tests.interruption import interrupted
from tests.representative import often


@pytest.fixture
def late(monkeypatch):
    """Return a function that takes the CPU for a device that computes on its own."""
    return lambda: monkeypatch.setattr(computation, "LATE", {"cuda", "cpu"})


@pytest.fixture
def job(tiny_model, text_file, tmp_path):
    return {
        "model": tiny_model,
        "data": text_file,
        "cache_dir": tmp_path / "cache",
        "block_size": 32,
        "batch_size": 2,
        "micro_batch_size": 1,
        "precision": "fp32",
        "max_steps": 9,
        "eval_every": 4,
        "save_every": 3,
        "dropout": 0.1,
        "learning_rate": 1e-3,
        "quiet": True,
    }


def contents(run):
    """Return the events, the weights and every checkpoint's."""
    names = ["events.jsonl", "model/model.safetensors"]
    names += sorted(
        str(one.relative_to(run)) for one in (run / "checkpoints").rglob("*.safetensors")
    )
    return {name: (run / name).read_bytes() for name in names if (run / name).exists()}


def test_a_run_is_the_same_in_every_byte(job, late, tmp_path):
    nextfill.train(out=tmp_path / "run", **job)
    late()
    nextfill.train(out=tmp_path / "late", **job)
    found = contents(tmp_path / "late")
    assert len(found) > 3
    assert found == contents(tmp_path / "run")


@pytest.mark.parametrize("save_every", often([1, 100], [100]))
def test_a_run_that_diverges_saves_and_tells_nothing_of_it(job, late, tmp_path, save_every):
    """The step that is read late is named, and no checkpoint or event is after it."""
    job |= {"learning_rate": 1e25, "max_grad_norm": 0.0, "warmup_steps": 0, "eval_every": 100}
    said = []
    for name in ("run", "late"):
        with pytest.raises(RunError, match="at step 2 the loss is") as error:
            nextfill.train(out=tmp_path / name, **job | {"save_every": save_every})
        said.append(str(error.value))
        late()
    assert said[0] == said[1]
    assert contents(tmp_path / "run") == contents(tmp_path / "late")
    events = nextfill.runs.directory.RunDirectory(tmp_path / "late").read_events("step")
    assert [event["step"] for event in events] == [1]
    assert (tmp_path / "late" / "checkpoints" / "step-00000001").exists() == (save_every == 1)


@pytest.mark.parametrize("after", often([1, 4, 5], [5]))
def test_a_run_that_is_stopped_resumes_to_the_same(job, late, tmp_path, after):
    nextfill.train(out=tmp_path / "whole", **job)
    late()
    with interrupted(after=after), pytest.raises(Interrupted):
        nextfill.train(out=tmp_path / "run", **job)
    steps = nextfill.runs.directory.RunDirectory(tmp_path / "run").read_events("step")
    assert [event["step"] for event in steps] == list(range(1, after + 1))
    nextfill.train(out=tmp_path / "run", resume=True)
    found, whole = contents(tmp_path / "run"), contents(tmp_path / "whole")
    assert found["model/model.safetensors"] == whole["model/model.safetensors"]
    assert found["events.jsonl"] == whole["events.jsonl"]
