"""Texts token by token, pages, and what little data come to."""

from __future__ import annotations

import json
import math
import re

import pytest

from tests.cli.evaluated.asking import command, found


def test_texts_token_by_token(tiny_model, run, data, tmp_path):
    words = ["--data", data, "--text-field", "text", "--block-size", "64"]
    shown = found("evaluate", tiny_model, run, *words, "--show", "4", "--alternatives", "3")
    records = [json.loads(line)["text"] for line in data.read_text("utf-8").splitlines()]
    assert len(shown["texts"]) == 4
    for text in shown["texts"]:
        spelled = "".join(token["text"] for token in text["tokens"])
        assert spelled == records[text["record"]]
        assert text["left_out"] == 0
        for token in text["tokens"]:
            chances = [one["probability"] for one in token["alternatives"]]
            assert len(chances) == 3
            assert chances == sorted(chances, reverse=True)
            own = math.exp(-token["nats"])
            assert own <= chances[0] + 1e-6
            assert token["other_nats"] > 0
    for text in shown["texts"]:
        for name in ("nats", "other_nats"):
            summed = math.fsum(token[name] for token in text["tokens"])
            assert text[name] == pytest.approx(summed, rel=1e-6)
        assert text["targets"] == len(text["tokens"])
    gains = [(text["nats"] - text["other_nats"]) / text["targets"] for text in shown["texts"]]
    assert shown["texts"][0]["why"] == "gained most"
    assert gains == sorted(gains[:2]) + sorted(gains[2:], reverse=True)
    assert gains[1] < gains[3]
    alone = found("evaluate", tiny_model, *words, "--show", "1", "--show-tokens", "5")
    (text,) = alone["texts"]
    assert text["why"] == "costs most"
    assert len(text["tokens"]) == 5
    assert text["left_out"] > 0
    assert "other_nats" not in text["tokens"][0]


def test_the_terminal_without_colours_marks_the_dearest_words(tiny_model, run, data):
    words = ["--data", data, "--text-field", "text", "--show", "2", "--quiet"]
    out = command("evaluate", tiny_model, *words)[1]
    legend, shown = out.split("In brackets behind a word: its nats,")[1].split("\n", 1)
    assert legend.endswith("the dearest tenth of the words have them, where 3 or more.")
    text = re.search(r"costs most: record (\d+), .*\n(.*)\n", shown)
    record = json.loads(data.read_text("utf-8").splitlines()[int(text[1])])["text"]
    assert re.sub(r" \[\d+\.\d\]", "", text[2]) == record
    marks = re.findall(r"\S \[\d+\.\d\]", text[2])
    assert 0 < len(marks) <= max(1, round(0.1 * len(record.split())))
    out = command("evaluate", run, *words)[1]
    assert f"its nats less those by {tiny_model}" in out
    assert re.search(r"gained (most|least)|lost (most|least)", out)


def test_a_page(tiny_model, tmp_path, fails):
    path = tmp_path / "texts.jsonl"
    evil = "<script>alert(1)</script> and 'quotes' & \"more\" of it, \N{RIGHT-TO-LEFT OVERRIDE}all"
    path.write_text("".join(json.dumps({"text": f"{evil} {n}"}) + "\n" for n in range(3)), "utf-8")
    page = tmp_path / "page.html"
    status, _, err = command("evaluate", tiny_model, "--data", path, "--page", page)
    assert status == 0, err
    written = page.read_text("utf-8")
    assert "<script>alert" not in written
    assert "&lt;script&gt;" in written or "&lt;" in written
    assert written.count("data-n=") > 30
    (opening,) = re.findall(r"<strong>(.*?)</strong>", written)[:1]
    assert re.fullmatch(
        r"Of [\d,]+ next tokens it has \d+ right\.", re.sub(r"<[^>]*>", "", opening)
    )
    assert str(page) in err
    assert "is there already" in fails("evaluate", tiny_model, "--data", path, "--page", page)


def test_pages_that_cannot_be_written_are_refused_first(fails, tiny_model, data, tmp_path):
    words = ["evaluate", tiny_model, "--data", data, "--text-field", "text"]
    assert "has to end in .html" in fails(*words, "--page", tmp_path / "x.txt")
    closed = tmp_path / "closed.html" / "page.html"
    assert "there is no folder" in fails(*words, "--page", closed)
    told = fails(*words, "--page", "/proc/page.html")
    assert "--page /proc/page.html cannot be written" in told


def test_one_document_has_no_interval(tiny_model, tmp_path):
    path = tmp_path / "one.jsonl"
    lines = [{"text": "One text alone, of a few words."}, {"text": ""}, {"text": None}, {}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    words = ["--data", path, "--text-field", "text"]
    status, out, err = command("evaluate", tiny_model, *words)
    assert status == 0
    assert "none: it takes two documents" in out
    assert "1 document " in out
    assert "nan" not in out
    assert "in no figure" in err
    told = found("evaluate", tiny_model, *words)
    assert sum(told["left_out"].values()) == 3
    path.write_text("".join(json.dumps(lines[0]) + "\n"), "utf-8")
    assert found("evaluate", tiny_model, *words)["left_out"] == {}
