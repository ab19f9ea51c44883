"""Documents that stand in the training data, as they are told and dropped."""

from __future__ import annotations

import json

import pytest

import nextfill
from tests.cli.evaluated.asking import QUICK, command, found, trained


def test_leaks_of_what_a_run_was_trained_on(run, data, tmp_path):
    own = nextfill.evaluate(run)
    assert own.leaks["near"] == own.leaks["exact"] == 0
    trained = json.loads((run / "ledger.json").read_text("utf-8"))["train_documents"]
    records = [json.loads(line)["text"] for line in data.read_text("utf-8").splitlines()]
    for kind, end in (("exact", ""), ("near", " And a bit more.")):
        path = tmp_path / f"{kind}.jsonl"
        lines = [json.dumps({"text": text + end}) + "\n" for text in records]
        path.write_text("".join(lines), "utf-8")
        status, out, err = command("evaluate", run, "--data", path, "--json", "--no-base")
        assert status == 0, err
        leaks = json.loads(out)["leaks"]
        assert leaks["checked"] == 60
        assert leaks[kind] == trained if kind == "exact" else leaks[kind] > trained / 2
        assert leaks["exact"] + leaks["near"] <= trained
        assert "--drop-leaks" in err
        clean = found("evaluate", run, "--data", path, "--drop-leaks")
        left = 60 - leaks["exact"] - leaks["near"]
        assert clean["documents"] == clean["base"]["documents"] == left


def test_what_any_of_several_runs_was_trained_on_is_told(run, of_another_seed):
    both = found("evaluate", run, of_another_seed)
    leaks = both["leaks"]
    assert leaks[str(run)]["exact"] == 0
    shared = leaks[str(of_another_seed)]["exact"]
    assert shared > 0
    status, out, err = command("evaluate", run, of_another_seed)
    assert status == 0
    assert f"{shared} word for word" in " ".join(err.split())
    assert "leaked documents of" in out
    documents = both["differences"][0]["documents"]
    clean = found("evaluate", run, of_another_seed, "--drop-leaks")
    assert clean["differences"][0]["documents"] == documents - shared


def test_leaks_are_dropped_whichever_model_is_the_run(fails, run, tiny_model, data):
    words = ["--data", data, "--text-field", "text", "--drop-leaks"]
    trained_on = json.loads((run / "ledger.json").read_text("utf-8"))["train_documents"]
    for models in ((run, tiny_model), (tiny_model, run), (tiny_model, run / "model")):
        both = found("evaluate", *models, *words)
        assert both["differences"][0]["documents"] == 60 - trained_on
    told = fails("evaluate", tiny_model, *words)
    assert "--drop-leaks: what the model was trained on is not known" in told
    divided = found("evaluate", tiny_model, *words, "--test-size", "0.2")
    assert divided["leaks"] == {"checked": 12, "too_short": 0, "exact": 0, "near": 0, "tokens": 0}


def test_where_all_documents_leaked_it_is_said(fails, run, data, tmp_path):
    path = tmp_path / "trained.jsonl"
    for record in data.read_text("utf-8").splitlines():
        path.write_text(record + "\n", "utf-8")
        if found("evaluate", run, "--data", path, "--no-base")["leaks"]["exact"]:
            break
    told = fails("evaluate", run, "--data", path, "--drop-leaks")
    assert "the only document that is evaluated stands in the training data" in told


def test_training_data_that_have_changed_are_not_compared_with(
    fails, tiny_model, paragraphs, tmp_path
):
    path, other = tmp_path / "notes.jsonl", tmp_path / "eval.jsonl"
    lines = [json.dumps({"text": text}) + "\n" for text in paragraphs(40)]
    path.write_text("".join(lines), "utf-8")
    other.write_text("".join(lines[:10]), "utf-8")
    run = trained(tiny_model, path, tmp_path / "run")
    words = ["--data", other, "--text-field", "text", "--no-base"]
    assert found("evaluate", run, *words)["leaks"]["exact"] > 0
    path.write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in paragraphs(40, seed=3)), "utf-8"
    )
    status, out, err = command("evaluate", run, *words, "--json")
    assert status == 0
    assert json.loads(out)["leaks"] is None
    assert "its data have changed since" in " ".join(err.split())
    assert "is not known" in fails("evaluate", run, *words, "--drop-leaks")


def test_a_run_without_its_leaks(tiny_model, paragraphs, tmp_path):
    """A near duplicate that the division put on both sides is counted, and left out if asked."""
    texts = paragraphs(40, seed=9)
    twins = [f"{text} Once more, with feeling." for text in texts]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in [*texts, *twins]), "utf-8")
    job = {"model": tiny_model, "data": path, "device": "cpu", "test_size": 0.2, **QUICK}
    kept = nextfill.train(out=tmp_path / "kept", **job)
    near = kept.ledger["leaks"]["near"]
    assert 8 <= near <= 16
    dropped = nextfill.train(out=tmp_path / "dropped", drop_leaks=True, **job)
    ledger = dropped.ledger
    assert ledger["leaks"] == kept.ledger["leaks"]
    assert ledger["held_out_documents"] == kept.ledger["held_out_documents"] - near
    assert dropped.after.documents == kept.after.documents - near
    total = ledger["trained"] + ledger["evaluated"] + sum(ledger["dropped"].values())
    assert ledger["tokens"] + ledger["separators"] == total
    again = nextfill.evaluate(tmp_path / "dropped")
    assert again.nats == pytest.approx(dropped.after.nats, rel=1e-6)
    assert again.documents == dropped.after.documents
