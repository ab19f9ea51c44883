"""The page of several runs: every figure from the runs' files anew, and what is not compared."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest

import nextfill
from nextfill.cli.main import main
from tests.unit.html_report.test_every_figure import Page, error_of, lines


def paired(first, second):
    """The difference of two ratios over the same documents, and its interval."""
    values = [math.fsum(n) / math.fsum(s) for n, s in (first, second)]
    count = len(first[0])

    def parts(places):
        found = []
        for nats, sizes in (second, first):
            some, those = nats[places], sizes[places].astype(float)
            value = some.sum() / those.sum()
            found.append((value, (some - value * those) / those.sum()))
        residual = found[0][1] - found[1][1]
        error = math.sqrt((residual**2).sum() * count / (count - 1))
        return found[0][0] - found[1][0], error

    value, error = parts(np.arange(count))
    random = np.random.Generator(np.random.Philox(key=0))
    distances = []
    for drawn in random.integers(0, count, (2000, count)):
        other, its_error = parts(drawn)
        distances.append((other - value) / its_error)
    low, high = np.quantile(distances, [0.025, 0.975])
    assert value == pytest.approx(values[1] - values[0])
    return value, value - high * error, value - low * error


@pytest.fixture
def runs(make_run, tmp_path):
    return [
        make_run(tmp_path / "first"),
        make_run(tmp_path / "second", improvement=1.1, steps=80),
        make_run(tmp_path / "third", documents=20),
    ]


def page_of(runs, tmp_path):
    out = nextfill.report(*runs, out=tmp_path / "page.html")
    return Page(out.read_text("utf-8"))


def test_every_figure_follows_from_the_files(runs, tmp_path):
    page = page_of(runs, tmp_path)
    found = {name: value for name, value, _ in page.figures}
    for at, run in enumerate(runs):
        timing = lines(run / "timing.jsonl")
        events = lines(run / "events.jsonl")
        scored = [one for one in events if one["event"] == "evaluation"]
        assert found.pop(f"{at}/steps") == len(timing)
        assert found.pop(f"{at}/tokens") == sum(one["tokens"] for one in timing)
        seconds = found.pop(f"{at}/seconds")
        assert seconds == pytest.approx(sum(one["elapsed_s"] for one in timing))
        for when, event in (("before", scored[0]), ("after", scored[-1])):
            assert found.pop(f"{at}/{when}") == pytest.approx(event["perplexity"])
            ends = [found.pop(f"{at}/{when}/{end}") for end in ("low", "high")]
            assert ends == pytest.approx(event["interval"])
        change = found.pop(f"{at}/change/perplexity")
        ratio = scored[-1]["perplexity"] / scored[0]["perplexity"]
        assert change == pytest.approx(100 * (ratio - 1))
        assert found.pop(f"{at}/change/perplexity/low") < change
        assert found.pop(f"{at}/change/perplexity/high") > change
        tokens = np.cumsum([one["tokens"] for one in timing])
        curve = page.curves[f"curve/tokens/loss/{at}"]
        assert [float(x) for x in curve["data-x"].split()] == tokens.tolist()
        curve = page.curves[f"curve/seconds/perplexity/{at}"]
        spent = np.concatenate([[0], np.cumsum([one["elapsed_s"] for one in timing])])
        expected = [spent[one["step"]] for one in scored]
        assert [float(x) for x in curve["data-x"].split()] == pytest.approx(expected)
        steps = page.curves[f"curve/steps/perplexity/{at}"]
        assert [float(x) for x in steps["data-x"].split()] == [one["step"] for one in scored]
    one, other = (
        np.load(run / "evaluations" / f"step-{step:08d}.npz")
        for run, step in zip(runs[:2], (60, 80), strict=True)
    )
    assert found.pop("pair/1/documents") == 30
    for key, unit in (("perplexity", "targets"), ("bits_per_byte", "bytes")):
        nats = paired((one["nats"], one[unit]), (other["nats"], other[unit]))
        for name, value in zip(("", "/low", "/high"), nats, strict=True):
            shown = found.pop(f"pair/1/{key}{name}")
            wanted = 100 * math.expm1(value) if unit == "targets" else value / math.log(2)
            assert shown == pytest.approx(wanted), (key, name)
    assert found == {}
    assert set(page.stray) <= {"3", "0"}  # 3 runs; an interval that holds 0
    assert error_of(one["nats"], one["targets"]) > 0


def text_of(runs, tmp_path):
    return nextfill.report(*runs, out=tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("what", ["documents", "digest", "objective", "scores"])
def test_runs_that_cannot_be_compared_say_why(make_run, tmp_path, what):
    runs = [
        make_run(tmp_path / "a"),
        make_run(tmp_path / "b", documents=25 + 5 * (what != "documents")),
    ]
    told = "their held-out documents are not the same"
    if what == "digest":
        ledger = json.loads((runs[1] / "ledger.json").read_text())
        ledger["content_sha256"] = ["1f" * 32]
        (runs[1] / "ledger.json").write_text(json.dumps(ledger))
    elif what == "objective":
        told = "one predicts the next token, and the other fills in blanks"
        path = runs[1] / "events.jsonl"
        path.write_text(
            path.read_text().replace('"perplexity"', '"objective": "masked", "perplexity"')
        )
    elif what == "scores":
        told = "no readable evaluation of its held-out documents"
        shutil.rmtree(runs[1] / "evaluations")
    text = text_of(runs, tmp_path)
    assert told in text
    assert 'data-figure="pair/' not in text


def test_settings_that_differ_stand_in_a_table_and_hostile_text_is_escaped(make_run, tmp_path):
    nasty = "</script><img src=x onerror=alert(1)>"
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", text=nasty)]
    text = text_of(runs, tmp_path)
    page = Page(text)
    differing = {name: value for name, value, _ in page.figures if "/config/" in name}
    assert differing == {
        "0/config/data.text_field": "Once upon a time",
        "1/config/data.text_field": nasty,
    }
    assert "<img" not in text
    assert text.count("<script>") == 1


def test_names_places_and_pages_that_are_there(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "first", "second"]) == 0
    assert capsys.readouterr().out == "runs.html\n"
    assert main(["report", "first", "third", "--json"]) == 0  # another page of runs is replaced
    assert json.loads(capsys.readouterr().out) == {"report": "runs.html"}
    (tmp_path / "mine.html").write_text("mine")
    for words, told in (
        (["first", "second", "--out", "mine.html"], "is there already and is no page of runs"),
        (["first", "./first"], "is named twice: name each run once"),
        (["first", "second", "--out", "x.pdf"], "expected the name of an .html file"),
        (["first", "--out", "x.html"], "--out is for several runs"),
        (["first", "second", "--live"], "--live follows one run"),
    ):
        assert main(["report", *words]) == 2
        assert told in capsys.readouterr().err
    assert (tmp_path / "mine.html").read_text() == "mine"
