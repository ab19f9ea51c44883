"""Further evaluation sets, the best step, and stopping early: all without the held-out part."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import Interrupted
from tests.interruption import interrupted
from tests.representative import often


def events(run, kind):
    lines = (run / "events.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.fixture(scope="module")
def overfit(tiny_model, text_file):
    """A job that is soon at its best and then only gets worse."""
    return {
        "model": str(tiny_model),
        "data": str(text_file),
        "block_size": 64,
        "batch_size": 4,
        "learning_rate": 3e-2,
        "epochs": 30,
        "eval_every": 4,
        "validation_size": 8,
    }


@pytest.fixture(scope="module")
def stopped(overfit, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "stopped"
    return nextfill.train(**overfit, keep="best", early_stopping=2, out=out), out


def test_the_run_stops_early_and_keeps_the_best(stopped, overfit):
    result, run = stopped
    validations = {e["step"]: e["nats"] / e["targets"] for e in events(run, "validation")}
    assert result.end == "early stopping"
    assert result.kept_step == min(validations, key=validations.get)
    assert result.steps == result.kept_step + 2 * overfit["eval_every"] == max(validations)
    assert nextfill.evaluate(run) == result.after  # of the weights that were saved
    by_step = {e["step"]: e["perplexity"] for e in events(run, "evaluation")}
    assert result.after.perplexity == by_step[result.kept_step] != by_step[result.steps]


def test_the_validation_part_is_neither_trained_on_nor_held_out(stopped, overfit):
    ledger = stopped[0].ledger
    whole = nextfill.prepare(**{k: overfit[k] for k in ("model", "data", "block_size")}).ledger
    assert ledger["validation_documents"] == 8
    assert ledger["held_out_documents"] == whole["held_out_documents"]
    assert ledger["train_documents"] == whole["train_documents"] - 8
    for one in (ledger, whole):
        assert one["tokens"] + one["separators"] == (
            one["trained"] + one["evaluated"] + sum(one["dropped"].values())
        )


def test_the_last_weights_are_kept_unless_asked(overfit, tmp_path):
    result = nextfill.train(**{**overfit, "epochs": 3}, out=tmp_path / "run")
    assert result.kept_step == result.steps
    assert result.end == "all steps taken"
    assert events(tmp_path / "run", "validation")  # a curve, and no choice
    assert not (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()


@pytest.mark.parametrize("step", often([7, 12, 13], [12]))
def test_a_choosing_run_resumes_to_the_same_choice(stopped, overfit, tmp_path, step):
    """Interrupted before, at and after an evaluation."""
    choice = {"keep": "best", "early_stopping": 2, "save_every": 3}
    ctrl_c = KeyboardInterrupt()
    with interrupted(before=step - 1, by=ctrl_c), pytest.raises(Interrupted):
        nextfill.train(**overfit, **choice, out=tmp_path / "run")
    again = nextfill.train(out=tmp_path / "run", resume=True)
    result, run = stopped
    assert (again.kept_step, again.steps, again.after) == (
        result.kept_step,
        result.steps,
        result.after,
    )
    weights, same = (
        load_file(path / "model" / "model.safetensors") for path in (run, tmp_path / "run")
    )
    assert all(np.array_equal(weights[name], same[name]) for name in weights)


def test_lost_best_weights_are_told(stopped, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(stopped[1], run)
    (run / "checkpoints" / "best.safetensors").write_bytes(b"x")
    assert main(["train", "--out", str(run), "--resume", "--quiet"]) == 2
    assert "weights of the best step" in capsys.readouterr().err


RECIPE = """
[model]
name = "{model}"
[data]
source = "{data}"
[blocks]
block_size = 64
[training]
max_steps = 2
[evaluation]
general = "{other}"
[evaluation.domain]
source = "{data}"
txt = "line"
"""


def test_further_sets_stand_beside_the_held_out_part(
    tiny_model, text_file, paragraphs, tmp_path, capsys
):
    texts = paragraphs(70)  # the first 60 are those of the data
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join([texts[3], *texts[60:]]), encoding="utf-8")
    recipe = tmp_path / "two-sets.toml"
    half = tmp_path / "half.txt"
    half.write_text("\n\n".join(texts[:30]), encoding="utf-8")
    recipe.write_text(RECIPE.format(model=tiny_model, data=half, other=other), "utf-8")
    run = tmp_path / "run"
    # The domain set is the data themselves, so that nothing would be left to train on.
    assert main(["train", str(recipe), "--out", str(run), "--quiet"]) == 2
    assert "nothing is left" in capsys.readouterr().err
    domain = tmp_path / "domain.txt"
    domain.write_text("\n\n".join(texts[40:60]), encoding="utf-8")
    given = ["--set", f"evaluation.domain.source={domain}", "--json", "--quiet"]
    assert main(["train", str(recipe), "--out", str(run), *given]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["sets"]) == {"general", "domain"}
    general = result["sets"]["general"]["after"]
    assert general["documents"] == 11
    assert nextfill.evaluate(run, data=str(other)).nats == general["nats"]
    assert result["ledger"]["dropped"]["also held out"] > 0  # texts[3], unless it was held out
    with np.load(run / "evaluations" / "step-00000002.general.npz") as scores:
        assert scores["nats"].sum() == pytest.approx(general["nats"], rel=1e-12)

    # The run's config is a recipe that repeats it, sets and all.
    again = nextfill.train(run / "config.toml", out=tmp_path / "again")
    assert again.sets["general"].after.nats == general["nats"]
    assert "[evaluation.general]" in (run / "config.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluation.strde=3"], "Did you mean 'stride'"),
        (["evaluation.general.sorce=x.txt"], "Did you mean 'source'"),
        (["evaluation.general.txt=line"], "evaluation.general"),
        (["evaluation.held-out=x.txt"], "other than held-out"),
        (["evaluation.a/b=x.txt"], "letters, digits"),
        (["evaluation.general=missing.txt"], "no such file"),
    ],
)
def test_mistakes_in_sets_are_told(tiny_model, text_file, tmp_path, capsys, words, message):
    given = [part for word in words for part in ("--set", word)]
    job = ["--model", str(tiny_model), "--data", str(text_file), "--quiet"]
    assert main(["train", *job, "--out", str(tmp_path / "run"), *given]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
