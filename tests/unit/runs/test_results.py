"""Results show themselves: a table in plain text, and a card in a notebook."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.figures import Evaluation
from nextfill.runs.directory import RunDirectory
from nextfill.runs.preparation_result import PrepareResult
from nextfill.runs.results import BeforeAfter, TrainResult

LEDGER = {
    "records": 1234,
    "text_field": "answers.<b>",
    "skipped": {"null": 5},
    "content_sha256": ["a" * 64],
}
BEFORE = Evaluation(
    2e4, 4000, 12, 3000, 16000, 15900, 148.4, 785.8, 3.49, 3.52, 1.803, 0.1, (120.0, 170.0), 0.25
)


@pytest.fixture
def trained(tmp_path: Path) -> TrainResult:
    """The result of a run with a little history."""
    run = RunDirectory(tmp_path)
    run.append_event({"event": "evaluation", "step": 0, **BEFORE.to_json()})
    for step in range(1, 4):
        event = {"event": "step", "step": step, "nats": 40.0 - step, "targets": 10}
        run.append_event(event)
    run.append_event({"event": "evaluation", "step": 3, **BEFORE.to_json()})
    sample = {"step": 3, "prompt": "It <i>is</i>", "text": "It <i>is</i> <script>\x1b[2J"}
    after = replace(BEFORE, perplexity=74.2, bits_per_byte=math.nan)
    place = (str(tmp_path), str(tmp_path / "model"))
    sets = {"<general>": BeforeAfter(BEFORE, replace(BEFORE, perplexity=296.8))}
    return TrainResult(
        *place, "causal", 3, 2, "early stopping", 987.6, BEFORE, after, sets, LEDGER, [sample]
    )


def test_an_evaluation_is_a_table() -> None:
    first, *lines = repr(BEFORE).splitlines()
    assert first == "Of 100 next tokens it has 25 right."
    assert first in BEFORE._repr_html_()
    assert lines[1].split() == ["figure", "value", "over"]
    assert lines[2].split() == ["perplexity", "148.400", "4,000", "tokens"]
    assert str(BEFORE) == repr(BEFORE)
    assert "<td" in BEFORE._repr_html_()
    assert "16,000 bytes" in BEFORE._repr_html_()


def test_groups_are_rows_of_their_own() -> None:
    grouped = replace(BEFORE, groups={"<biology>\x07": replace(BEFORE, perplexity=99.0)})
    assert repr(grouped).splitlines()[-1].split("  ")[1:2] == ["perplexity of <biology>"]
    assert "perplexity of &lt;biology&gt;␇" in grouped._repr_html_()


def test_a_run_says_before_and_after_and_where_it_lies(trained: TrainResult) -> None:
    shown = repr(trained)
    assert shown.startswith("Too few documents to tell chance from a change in how it predicts you")
    better = replace(trained, change=Interval(-0.7, -0.8, -0.6))
    lead = "It predicts your text better, though not by its first guesses: of 100 next tokens"
    assert repr(better).startswith(lead)
    assert lead in better._repr_html_()
    assert "perplexity       148.400   74.200           0.500" in shown
    assert "bits per byte      1.803      nan             nan" in shown
    assert "3 steps (stopped early); the best, 2, is kept, at 988 tokens per second" in shown
    assert "Evaluation set <general>" in shown
    assert "148.400  296.800           2.000" in shown
    assert f"run:    {trained.run}\nmodel:  {trained.model}" in shown


def test_a_run_shows_its_curves_and_escapes_its_text(trained: TrainResult) -> None:
    page = trained._repr_html_()
    assert 'data-name="training"' in page
    assert "Perplexity, with 95% interval" in page
    assert "Evaluation set &lt;general&gt;" in page
    assert "It &lt;i&gt;is&lt;/i&gt;</strong> &lt;script&gt;␛[2J" in page
    assert "<script" not in page
    assert "\x1b" not in page


def test_figures_are_shown_whatever_became_of_the_run(trained: TrainResult) -> None:
    page = replace(trained, run="nowhere")._repr_html_()
    assert "148.400" in page
    assert "<svg" not in page
    RunDirectory(Path(trained.run)).events.write_text("not JSON\n", encoding="utf-8")
    page = trained._repr_html_()
    assert "148.400" in page
    assert "<svg" not in page


def test_a_preparation_is_its_ledger() -> None:
    result = PrepareResult("store", "held-out", 1000, 256, LEDGER, reused=True, stores=["store"])
    assert "  records              1,234\n" in repr(result)
    assert "  skipped: null            5\n" in repr(result)
    assert repr(result).endswith("1,000 blocks of 256 tokens in store (already there)")
    assert "answers.&lt;b&gt;" in result._repr_html_()
    assert (result.to_json()["ledger"], BEFORE.to_json()["nats"]) == (LEDGER, 2e4)


def test_plain_forms_are_plain_data(trained: TrainResult) -> None:
    plain: dict[str, Any] = trained.to_json()
    assert plain["before"]["perplexity"] == 148.4
    assert plain["before"]["correct"] == 1000
    assert plain["before"]["in_words"] == "Of 100 next tokens it has 25 right."
    assert (plain["verdict"], plain["sets"]["<general>"]["verdict"]) == ("unknown", "unknown")
    assert plain["change"].keys() == {"value", "low", "high"}


@pytest.mark.parametrize(
    ("key", "evaluated", "trained_words"),
    [
        (
            "eval_loss",
            "Evaluation has attributes and no keys: found ['eval_loss']; the loss of a token is "
            "result.nats / result.targets, its exponential is result.perplexity",
            "the loss of a token is result.after.nats / result.after.targets, its exponential is "
            "result.after.perplexity",
        ),
        ("perplexity", "it is result.perplexity", "it is result.after.perplexity"),
        ("objective", "; it is result.objective", "; it is result.objective"),
        ("train_loss", "result.nats / result.targets", "is in events.jsonl of result.run; on"),
        (0, "[0]; expected one of nats, targets, ", "such as result.run."),
    ],
)
def test_a_key_is_answered_with_an_attribute(
    trained: TrainResult, key: Any, evaluated: str, trained_words: str
) -> None:
    for result, words in ((BEFORE, evaluated), (trained, trained_words)):
        with pytest.raises(TypeError) as refused:
            result[key]
        assert words in str(refused.value)
        for path in re.findall(r"result\.([\w.]+\w)", str(refused.value)):
            assert attrgetter(path)(result) is not None


def test_a_result_is_no_pair(trained: TrainResult) -> None:
    with pytest.raises(TypeError, match="TrainResult has attributes and no keys"):
        _, _ = trained
    assert not isinstance(trained, Iterable)
