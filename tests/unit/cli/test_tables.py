from dataclasses import replace

import pytest

from nextfill.cli.console import AnswerPrinter, show_texts
from nextfill.cli.tables import show_evaluation, show_ledger, show_training
from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.figures import Evaluation
from nextfill.filling.blanks import Blanks
from nextfill.filling.fill import Filled
from nextfill.runs.results import BeforeAfter, TrainResult


def evaluation(perplexity):
    return Evaluation(
        nats=100.0,
        targets=50,
        documents=3,
        words=40,
        bytes=200,
        characters=190,
        perplexity=perplexity,
        word_perplexity=12.182494,
        byte_perplexity=1.648721,
        character_perplexity=1.692670,
        bits_per_byte=0.721348,
        standard_error=0.1,
        interval=(6.0, 9.0),
        accuracy=0.25,
    )


def test_every_figure_stands_beside_what_it_is_over(capsys):
    show_evaluation(evaluation(7.389))
    told = capsys.readouterr().out
    for figure in ("7.389", "50 tokens", "12.182", "40 words", "0.721", "200 bytes", "3 documents"):
        assert figure in told


def trained():
    sample = {"step": 9, "prompt": "Dear", "text": "Dear [diary] :smile:"}
    ledger = {"records": 3}
    return TrainResult(
        "runs/a",
        "runs/a/model",
        "causal",
        9,
        6,
        "early stopping",
        1234.5,
        evaluation(20),
        evaluation(10),
        {"general": BeforeAfter(evaluation(5), evaluation(8))},
        ledger,
        [sample],
    )


def test_training_shows_before_after_and_where(capsys):
    result = trained()
    show_training(result)
    told = capsys.readouterr().out
    for piece in ("stopped early", "the best, 6, is kept", "set general", "1.600"):
        assert piece in told
    for piece in ("20.000", "10.000", "0.500", "Dear [diary] :smile:", "runs/a/model", "1,234"):
        assert piece in told
    assert "One document is held out" not in told
    show_training(replace(result, after=replace(result.after, documents=1)))
    assert "One document is held out" in capsys.readouterr().out
    show_training(replace(result, change=Interval(-1.67, -3.54, -0.44)))
    told = " ".join(capsys.readouterr().out.split())
    assert "the perplexity changed by -81.2% (95% interval -97.1 to -35.6%" in told
    assert "over 3 documents); so few documents make the interval wide" in told


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        ({"source": "one.txt", "txt": "paragraph"}, "is one paragraph, which blank lines divide"),
        ({"source": "one.txt"}, "is one paragraph, which blank lines divide"),
        ({"source": "one.txt", "txt": "line"}, "shows in several: --eval-data"),
        ({"source": "one.jsonl"}, "shows in several: --eval-data"),
        ({"source": "one.txt", "txt": "file"}, "with --txt paragraph each paragraph"),
    ],
)
def test_the_advice_on_one_document_is_none_that_was_followed(tmp_path, capsys, data, piece):
    lines = (f'{name} = "{value}"' for name, value in data.items())
    (tmp_path / "config.toml").write_text("\n".join(["[data]", *lines]))
    result = trained()
    show_training(replace(result, run=str(tmp_path), after=replace(result.after, documents=1)))
    assert piece in " ".join(capsys.readouterr().out.split())


def test_ledger_names_every_reason(capsys):
    show_ledger({"records": 1200, "skipped": {"null": 3}, "dropped": {"window tail": 9}})
    told = capsys.readouterr().out
    for piece in ("1,200", "skipped: null", "dropped: window tail", "9"):
        assert piece in told


def test_texts_of_one_and_of_several_prompts(capsys):
    show_texts([[{"generated_text": "a"}, {"generated_text": "b"}], [{"generated_text": "c"}]])
    assert capsys.readouterr().out.split() == ["a", "---", "b", "---", "c"]


def filled(text, pieces, *answers):
    blanks = Blanks(text, pieces, (0, 4, 2), (1,) * len(answers), (True,) * len(answers))
    return Filled(blanks, answers)


def answer(word, score, token=7):
    return {"score": score, "token": token, "token_str": word, "sequence": ""}


def test_answers_stand_in_their_sentence(capsys):
    text = "The [sky]\nis ___, :smile:"
    answers = [answer(" blue", 0.5), answer("\n", 0.25), answer("\x1b[2J", 0.00001)]
    AnswerPrinter()(filled(text, ("The [sky]\nis ", ", :smile:"), answers))
    told = capsys.readouterr().out
    assert "The [sky] is [blue], :smile:" in told
    for piece in ("0.500", "█" * 4, "0.250", "'\\n'", "1.0e-05", "[[2J]"):
        assert piece in told
    assert "\x1b" not in told
    assert "per token" not in told


def test_a_long_text_is_shown_around_its_blanks(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    pieces = ("start " + "a" * 99 + " ", " between ", " " + "b" * 99 + " end")
    spans = [answer("x y", 0.9, [1, 2])]
    AnswerPrinter()(filled("___".join(pieces), pieces, spans, spans))
    told = capsys.readouterr().out
    assert f"…{'a' * 23} [x y] between ___ {'b' * 11}…" in told
    assert "Blank 2 of 2 in: start aaa" in told
    assert "per token" in told
    assert "end" not in told
