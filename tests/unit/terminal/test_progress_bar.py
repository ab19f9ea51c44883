import math
from dataclasses import replace

import pytest

from nextfill.evaluation.figures import Evaluation
from nextfill.terminal import progress_bar as progress
from nextfill.terminal.progress_bar import Terminal


def evaluation(perplexity):
    nan = math.nan
    return Evaluation(1.0, 1, 1, 1, 1, 1, perplexity, nan, nan, nan, 1.5, nan, (nan, nan), 0.5)


def step(number, nats):
    event = {"step": number, "nats": nats, "targets": 10}
    return event, {"tokens": 100, "elapsed_s": 0.1}


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    observer = Terminal()
    observer.on_stage("reading notes.txt", 3_000_000, 0)
    observer.on_start(0, 2)
    observer.on_step(*step(1, 23.0))
    observer.on_step(*step(2, 23.0))
    observer.on_evaluation(2, evaluation(9.97), "held-out")
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines[0] == "reading notes.txt: 3.0 MB"
    assert lines[2] == "training: 2/2  loss 2.300  perplexity 9.97  1,000 tokens/s  0:00 left"
    assert "held-out perplexity 9.97" in lines[3]


def test_time_left_counts_training_alone_and_not_what_came_between(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    observer = Terminal()
    observer.on_start(10, 110)  # resumed
    observer.on_step(*step(11, 23.0))
    observer.on_stage("evaluating", 1, 2)
    observer.on_step(*step(12, 23.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("1,000 tokens/s  0:10 left")
    assert lines[-1].endswith("1,000 tokens/s  0:10 left")


def test_text_is_shown_as_it_is(capsys):
    Terminal().on_sample(1, "a [bold]b", "a [bold]b :smile: [/nonsense]\n<script>")
    assert "a [bold]b| :smile: [/nonsense]\n    <script>" in capsys.readouterr().err


@pytest.mark.parametrize(("objective", "tokens"), [("causal", "token"), ("masked", "masked token")])
def test_a_figure_that_is_no_number_is_of_the_models_own_tokens(objective, tokens):
    """A causal model has no masked tokens, also where its bits per byte are no number."""
    line = replace(evaluation(math.nan), bits_per_byte=math.nan, objective=objective).in_a_line()
    assert line == f"perplexity nan, over 1 {tokens}"
