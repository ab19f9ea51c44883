"""Figures by group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nextfill
from nextfill.runs.reader import train_result
from tests.cli.evaluated.asking import command, found


def test_figures_by_group(tiny_model, data):
    words = ["--data", data, "--text-field", "text"]
    whole = found("evaluate", tiny_model, *words, "--by", "kind")
    groups = whole["groups"]
    assert set(groups) == {"tale", "list", "(none)"}
    assert groups["(none)"]["documents"] == 1
    for key in ("nats", "targets", "documents", "bytes", "characters", "words"):
        assert sum(one[key] for one in groups.values()) == pytest.approx(whole[key], rel=1e-12)
    tales = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    texts = [one["text"] for one in tales if one["kind"] == "tale"]
    alone = nextfill.evaluate(tiny_model, data=texts)
    assert groups["tale"]["nats"] == pytest.approx(alone.nats, rel=1e-6)
    assert groups["tale"]["perplexity"] == pytest.approx(alone.perplexity, rel=1e-6)
    out = command("evaluate", tiny_model, *words, "--by", "deep.er", "--quiet")[1]
    assert all(f"perplexity of {name}" in out for name in "012")


def test_several_models_are_compared_in_each_group(tiny_model, other_tokens, data):
    words = ["--data", data, "--text-field", "text", "--by", "kind", "--block-size", 64]
    models = (tiny_model, other_tokens)
    both = found("evaluate", *models, *words)
    assert set(both["groups"]) == {"tale", "list", "(none)"}
    for model in models:
        alone = found("evaluate", model, *words)["groups"]
        for name, group in both["groups"].items():
            one = group["evaluations"][str(model)]
            assert one["documents"] == alone[name]["documents"]
            assert one["perplexity"] == pytest.approx(alone[name]["perplexity"], rel=1e-6)
            assert group["differences"][0]["documents"] == one["documents"]
    status, out, _ = command("evaluate", *models, *words, "--quiet")
    assert status == 0
    assert "(none): 1 document, " in out
    assert out.count("change") >= 1 + len(both["groups"])
    first = str(tiny_model)
    targets = [one["evaluations"][first]["targets"] for one in both["groups"].values()]
    assert sum(targets) == both["evaluations"][first]["targets"]


def test_a_field_that_is_not_there_makes_no_group(fails, tiny_model, data):
    message = fails("evaluate", tiny_model, "--data", data, "--text-field", "text", "--by", "kinds")
    assert "'kinds'" in message
    assert "kind" in message


TALE = "[/tale] \x1b[2J"


def test_groups_of_a_run(tiny_model, data, tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text(data.read_text("utf-8").replace('"tale"', '"[/tale] \\u001b[2J"'), "utf-8")
    words = ["--data", path, "--text-field", "text", "--by", "kind", "--test-size", "0.5"]
    words += ["--model", tiny_model, "--out", tmp_path / "run", "--device", "cpu"]
    steps = ["--max-steps", "4", "--block-size", "64", "--learning-rate", "3e-3"]
    status, out, err = command("train", *words, *steps)
    assert status == 0, err
    assert "perplexity of [/tale] [2J" in out  # as it is written, and not to steer the terminal
    assert "\x1b" not in out
    result = train_result(tmp_path / "run")
    for one in (result.before, result.after):
        assert {TALE, "list"} <= set(one.groups)
        assert sum(group.targets for group in one.groups.values()) == one.targets
    page = Path(result.report).read_text("utf-8")
    name = f'data-figure="held-out/groups/{list(result.before.groups).index(TALE)}/after"'
    assert f'{name} value="{result.after.groups[TALE].perplexity!r}"' in page
    # The field belongs to the run's data: other data are scored without it.
    other = tmp_path / "other.txt"
    other.write_text("Some other words. " * 9, "utf-8")
    assert found("evaluate", tmp_path / "run", "--data", other)["groups"] is None
    assert set(found("evaluate", tmp_path / "run")["groups"]) == set(result.after.groups)
