"""Objects that a table holds as text are told, and a path whose end was typed is meant."""

from __future__ import annotations

import json
import logging

import datasets
import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import DataError

ROWS = [
    {"q_id": f"q{n}", "answers": {"a_id": [f"a{n}"], "text": [f"Yes, that is answer {n}."]}}
    for n in range(20)
]


def as_csv(path, write):
    import pandas

    frame = pandas.DataFrame(ROWS)
    frame["answers"] = frame["answers"].map(write)
    frame.to_csv(path, index=False)
    return path


FORMS = {"JSON": (json.dumps, "json.loads"), "a Python object": (str, "ast.literal_eval")}


@pytest.mark.parametrize("kind", FORMS)
def test_an_object_written_as_text_is_no_field_to_take_instead(kind, tmp_path, capsys):
    write, function = FORMS[kind]
    path = as_csv(tmp_path / "qa.csv", write)
    assert main(["look", "--data", str(path), "--text-field", "answers.text"]) in (0, 2)
    said = "".join(capsys.readouterr())
    assert f"The field 'answers' holds {kind} as text" in said
    assert f".map({function})" in said
    assert "--text-field answers.text" in said
    assert "Did you mean" not in said


@pytest.mark.parametrize("kind", FORMS)
def test_it_is_told_once_where_it_is_taken(kind, tmp_path, caplog):
    path = as_csv(tmp_path / "qa.csv", FORMS[kind][0])
    with caplog.at_level(logging.WARNING, "nextfill"):
        nextfill.look(data=path, text_field="answers")
    notes = [one.getMessage() for one in caplog.records if "trained on as text" in one.getMessage()]
    assert len(notes) == 1
    assert notes[0].endswith('for example text_field="answers.text"')


def test_a_data_set_in_csv_is_written_anew(tmp_path):
    path = tmp_path / "qa.csv"
    datasets.Dataset.from_list(ROWS).to_pandas().to_csv(path, index=False)
    seen = nextfill.look(data=path, text_field="answers.text")
    assert "The field 'answers' holds NumPy's arrays as text" in (seen.problem or "")
    assert "dataset.to_json('FILE.jsonl')" in (seen.problem or "")


def test_what_pandas_reads_again_is_told_to_read_is_taken(tmp_path):
    import pandas

    frame = pandas.read_csv(as_csv(tmp_path / "qa.csv", json.dumps))
    frame["answers"] = frame["answers"].map(json.loads)
    frame.to_json(tmp_path / "qa.jsonl", orient="records", lines=True)
    assert nextfill.look(data=tmp_path / "qa.jsonl", text_field="answers.text").num_documents == 20


NO_OBJECTS = ["[1] a note", "[1]", "{}", "{curly} words", "[Music]", "{[1]: 2}", "[-'a']"]
NO_OBJECTS += ["{'a\\d': 1}", "[" * 5000 + "]" * 5000, "['\0']", f"[{'9' * 5000}]"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", NO_OBJECTS, ids=range(len(NO_OBJECTS)))
def test_brackets_in_a_text_are_none(text, caplog):
    with caplog.at_level(logging.WARNING, "nextfill"):
        nextfill.look(data=[{"text": text}] * 5 + [{"text": f"word {n}"} for n in range(5)])
    assert "as text" not in caplog.text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("a_id", "answers.a_id"),
        ("text", "answers.text"),
        ("q_di", "q_id"),
        ("Text", "answers.text"),
    ],
)
def test_the_end_of_a_path_is_meant_first(typed, meant):
    with pytest.raises(DataError, match=f"Did you mean '{meant}'"):
        nextfill.prepare(data=ROWS, text_field=typed, model="builtin:base-causal")


def test_of_several_ends_the_longest_text_is_meant():
    rows = [{"title": {"text": "Oh"}, "answers": [{"text": "a long answer"}]}] * 9
    with pytest.raises(DataError, match=r"Did you mean 'answers\[\].text'"):
        nextfill.prepare(data=rows, text_field="text", model="builtin:base-causal")


@pytest.mark.parametrize(
    ("field", "who", "words"),
    [("messages", "role", "content"), ("conversations", "from", "value")],
)
def test_a_dialogue_is_told_as_one_and_not_offered_as_a_plain_field(field, who, words):
    rows = [
        {"id": str(n), field: [{who: "user", words: "Why?"}, {who: "bot", words: f"So {n}."}]}
        for n in range(3)
    ]
    with pytest.raises(DataError, match=f"'{field}' is a dialogue.*not read as such") as told:
        nextfill.prepare(data=rows)
    assert "a prompt and a completion" in str(told.value)
    assert f"text_field='{field}[].{words}'" in str(told.value)
    seen = nextfill.look(data=rows, text_field=f"{field}[].{words}")
    assert seen.documents[0] == "Why? So 0."


def test_a_list_of_contents_without_a_speaker_is_no_dialogue():
    rows = [{"id": "a", "parts": [{"content": "Why?", "kind": "x"}]}]
    with pytest.raises(DataError, match="found 3 fields with text"):
        nextfill.prepare(data=rows)
