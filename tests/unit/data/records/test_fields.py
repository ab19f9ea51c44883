"""Paths reach their texts, and every record is accounted for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.document import ReadCounts, Record, Source
from nextfill.data.records.fields.field_paths import string_paths
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.sources import open_source

DATA = os.environ.get("NEXTFILL_TEST_DATA", "")


def source(*values, default=None):
    def read():
        return (Record(n, value, f"x.jsonl:{n + 1}") for n, value in enumerate(values))

    return Source("x", "0", read, default, has_test_split=False)


def read(*values, field=None, join=" ", explode=False, keep=(), default=None):
    counts = ReadCounts()
    found = documents(
        source(*values, default=default),
        text_field=field,
        join=join,
        explode=explode,
        keep=keep,
        counts=counts,
    )
    return list(found), counts


def texts(*values, **options):
    return [document.text for document in read(*values, **options)[0]]


def fail(*values, **options):
    with pytest.raises(DataError) as caught:
        read(*values, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"answers": {"text": ["a", "b"]}}, "answers.text"),
        ({"answers": {"text": ["a", "b"]}}, "answers.text[]"),
        ({"answers": [{"text": "a"}, {"text": "b"}]}, "answers.text"),
        ({"answers": [{"text": "a"}, {"text": "b"}]}, "answers[].text"),
        ({"data": [{"p": [{"c": "a"}, {"c": "b"}]}]}, "data[].p[].c"),
        ({"data": [{"p": [{"c": "a"}]}, {"p": [{"c": "b"}]}]}, "data.p.c"),
        ({"a.b": ["a", "b"], "a": {"b": "no"}}, "a.b"),
        ({"a": {"b.c": {"d": ["a", "b"]}, "b": {"c": {"d": "no"}}}}, "a.b.c.d"),
        ({"t": [["a"], ["b"]]}, "t"),
    ],
)
def test_paths_reach_their_texts(value, field):
    assert texts(value, field=field) == ["a b"]
    assert texts(value, field=field, join="\n") == ["a\nb"]
    assert texts(value, field=field, explode=True) == ["a", "b"]


def test_the_field_is_found_without_a_name():
    assert texts("plain") == ["plain"]
    assert texts({"id": "7", "text": "a"}) == ["a"]
    assert texts({"id": 7, "body": "a"}) == ["a"]
    assert texts({"text": None, "id": "x"}, {"text": "a", "id": "x"}) == ["a"]
    assert texts({"answers": {"text": ["a"]}, "text": "no"}, default="answers.text") == ["a"]
    message = fail({"title": "t", "body": "b"})
    assert "title, body" in message
    assert "--text-field title" in message
    assert "no field with text" in fail({"n": 1})


def test_a_null_in_the_first_record_does_not_hide_the_text():
    found = texts({"text": None, "title": "t0"}, {"text": "a", "title": "t1"})
    assert found == ["a"]
    message = fail({"title": "t0", "body": None, "meta": {"note": None}})
    assert "x.jsonl:1: title holds text and body, meta.note hold null" in message
    assert "--text-field" in message
    message = fail({"n": 1, "body": None})
    assert "body" in message
    assert "--text-field" in message
    assert texts({"title": "t0", "body": None}, field="title") == ["t0"]
    assert texts({"title": ["a", None]}) == ["a"]
    assert "the field 'text' holds a number" in fail({"text": 3, "body": "a"})


def test_the_chosen_field_is_written_down():
    assert read({"title": "a"})[1].text_field == "title"
    assert read({"text": "a", "title": "b"})[1].text_field == "text"
    assert read({"text": "a", "title": "b"}, field="title")[1].text_field == "title"
    assert read({"a": {"b": "c"}}, default="a.b")[1].text_field == "a.b"
    assert read("plain")[1].text_field is None


def test_nulls_and_missing_fields_are_counted():
    found, counts = read(
        {"t": "a"},
        {"t": None},
        {},
        {"t": []},
        {"t": [None]},
        {"t": ["b", None, "c", None]},
        {"t": " \n"},
        field="t",
    )
    assert [(d.text, d.record) for d in found] == [("a", 0), ("b c", 5), (" \n", 6)]
    assert counts == ReadCounts(
        records=7,
        documents=3,
        empty=1,
        skipped={"null": 2, "missing": 1, "empty list": 1},
        values={"null in list": 2},
        with_text=3,
        text_field="t",
    )
    _, counts = read({"d": [{"t": "a"}, {}, {"t": "b"}]}, field="d[].t")
    assert counts.values == {"missing in list": 1}
    assert counts.skipped == {}


LEAF = st.one_of(st.none(), st.text(max_size=3), st.lists(st.none() | st.text(max_size=3)))


@given(st.lists(st.fixed_dictionaries({}, optional={"t": LEAF, "u": LEAF})), st.booleans())
def test_every_record_is_accounted_for(values, explode):
    values = [{"t": "first"}, *values]
    found, counts = read(*values, field="t", explode=explode)
    assert counts.records == len(values) == counts.with_text + sum(counts.skipped.values())
    assert counts.with_text == len({d.record for d in found})
    if not explode:
        assert counts.records == counts.documents + sum(counts.skipped.values())
    assert counts.documents == len(found)
    assert counts.empty == sum(not d.text.strip() for d in found)


def test_a_missing_field_names_the_nearest():
    message = fail({"answers": {"text": ["a"]}, "id": "1"}, field="answers.txt")
    assert "x.jsonl:1: found no field 'answers.txt'" in message
    assert "Did you mean 'answers.text'?" in message
    assert "answers.text, id" in message
    assert "found no field" in fail({"t": "a"}, field="t.u")
    assert "empty name" in fail({"t": "a"}, field="t..u")
    assert "plain text" in fail("a", field="t")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(3, "a number"), (True, "true or false"), ({"u": "a"}, "an object"), ([1], "a number")],
)
def test_other_types_are_refused(value, kind):
    message = fail({"t": "a"}, {"t": value}, field="t")
    assert f"x.jsonl:2: the field 't' holds {kind}; expected text." in message
    if isinstance(value, dict):
        assert "--text-field t.u" in message


def test_half_a_surrogate_pair_is_refused():
    assert "x.jsonl:1: the text holds \\ud83d" in fail("a\ud83d")


def test_records_of_two_kinds_are_refused():
    assert "x.jsonl:2: found an object" in fail("a", {"text": "b"})
    assert "x.jsonl:2: found a string" in fail({"text": "b"}, "a")


def test_columns_are_kept_as_text():
    value = {"text": ["a", "b"], "n": 3, "ok": True, "tags": ["x", None, "y"], "m": {"c": "z"}}
    keep = ["n", "ok", "tags", "m.c"]
    found, _ = read(value, {"text": "c"}, keep=keep, explode=True)
    columns = {"n": "3", "ok": "true", "tags": "x, y", "m.c": "z"}
    assert [d.columns for d in found] == [columns, columns, dict.fromkeys(keep, "")]
    assert "Did you mean 'tags'" in fail(value, keep=["tag"])
    assert "m.c" in fail(value, keep=["m"])
    assert "(--by, or keep_fields)" in fail("plain", keep=["n"])


def test_a_field_to_keep_may_be_missing_in_the_first_record():
    found, counts = read({"text": "a"}, {"text": "b", "n": 1}, {"text": "c"}, keep=["n"])
    assert [d.columns["n"] for d in found] == ["", "1", ""]
    assert counts.records == 3


def test_the_first_records_tell_which_field_has_the_text():
    first = {"body": None, "meta": {"author": "Ann"}, "id": "a1"}
    then = {"body": "Once upon a time there was", "meta": {"author": "Bob"}, "id": "a2"}
    message = fail(first, then)
    assert "(null here: body)" in message
    assert message.endswith("for example --text-field body")
    assert "body holds null" in fail({"body": None, "id": "a"}, then)
    assert "meta.author, id, body. Did you mean 'body'?" in fail(first, then, field="bdoy")
    assert "Did you mean 'body'?" in fail(first, then, keep=["bdy"])
    assert "Did you mean 'body'?" in fail(first, then, 3, field="bdoy")


def test_squad_shape_divides_into_records(tmp_path: Path):
    path = tmp_path / "squad.json"
    articles = [
        {"title": t, "paragraphs": [{"context": f"{t}{i}"} for i in range(2)]} for t in "ab"
    ]
    path.write_text(json.dumps({"version": "1", "data": articles}))
    field = "data[].paragraphs[].context"
    counts = ReadCounts()
    opened = open_source(str(path), text_field=field)
    found = list(
        documents(
            opened, text_field=field, join=" ", explode=False, keep=["data[].title"], counts=counts
        )
    )
    assert [d.text for d in found] == ["a0 a1", "b0 b1"]
    assert [d.columns["data[].title"] for d in found] == ["a", "b"]
    assert counts.records == 2


@pytest.mark.skipif(not DATA, reason="NEXTFILL_TEST_DATA does not name the folder of real text")
def test_eli5_category():
    opened = open_source(f"{DATA}/eli5_category/eli5-category-test.json.gz")
    for explode, expected in ((False, 5_411), (True, 13_965)):
        counts = ReadCounts()
        options = {"join": " ", "explode": explode, "keep": ["category"], "counts": counts}
        found = list(documents(opened, text_field="answers.text", **options))
        assert len(found) == counts.documents == expected
        assert counts.records == 5_411
        assert all(d.columns["category"] for d in found)


def test_string_paths_are_complete():
    value = {"a": [{"b": "x"}, {"c": ["y"]}], "d": None, "e": 1, "f": {"g": {"h": "z"}}}
    assert string_paths(value) == ["a[].b", "a[].c", "f.g.h"]
    assert string_paths(value, kind=type(None)) == ["d"]


@pytest.mark.parametrize(
    ("first", "field", "later"),
    [
        ({"id": 1}, "text", {"text": "a"}),
        ({"answers": {}}, "answers.text", {"answers": {"text": "a"}}),
        ({"answers": [{}]}, "answers[].text", {"answers": [{"text": "a"}]}),
    ],
)
def test_a_first_record_without_the_field_is_counted_as_any_later_one(first, field, later):
    found, counts = read(first, first, later, {"id": 2}, later, field=field)
    assert [one.record for one in found] == [2, 4]
    assert counts.skipped == {"missing": 3}
    assert counts.records == 5


def test_the_field_is_looked_for_in_the_first_hundred_records():
    late = [{"id": n} for n in range(99)]
    assert read(*late, {"text": "a"}, field="text")[1].skipped == {"missing": 99}
    message = fail(*late, {"id": 99}, {"text": "a"}, field="text")
    assert "found no field 'text'" in message
    assert "Did you mean" not in message


@pytest.mark.parametrize(("alone", "other"), [("prompt", "completion"), ("completion", "prompt")])
def test_half_a_pair_at_first_and_whole_ones_later_are_refused(alone, other):
    message = fail({alone: "a b"}, {alone: "c", other: "d"})
    assert f"x.jsonl:2: found a {other} beside the {alone}" in message
    assert message.endswith(f"or --text-field {alone} alone.")
    assert texts({alone: "a b"}, {alone: "c", other: "d"}, field=alone) == ["a b", "c"]


def test_a_column_of_numbers_is_no_candidate_for_the_text():
    rows = [{"id": str(n), "body": f"Note {n} of old rivers"} for n in range(3)]
    assert texts(*rows) == [row["body"] for row in rows]
    assert "found 2 fields with text" in fail({"id": "1", "body": "a"}, {"id": "b2", "body": "c"})
    assert "found 2 fields with text" in fail({"a": "1", "b": "2"})


def test_a_lone_number_says_what_to_do():
    said = fail({"text": 37})
    assert "holds a number; expected text. No other field has text. Write it as text, or" in said
