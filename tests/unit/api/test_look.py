"""A look at data: the first records, the text in them, what they become, and nothing written."""

from __future__ import annotations

import itertools
import json
import os
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

import nextfill
from nextfill.core.errors import ConfigError
from nextfill.data.first_records import MOST_RECORDS, beginning_of
from nextfill.data.records.sources import open_source


@pytest.fixture
def look(tiny_tokenizer):
    """Look with the tiny tokenizer; nothing may be written into the cache."""

    def run(**settings):
        seen = nextfill.look(**{"tokenizer": str(tiny_tokenizer), "block_size": 64, **settings})
        cache = Path(os.environ["NEXTFILL_CACHE"])
        assert not cache.exists() or not list(cache.iterdir())
        json.dumps(seen.to_json())
        assert seen.name in repr(seen)
        assert "<script" not in seen._repr_html_()
        return seen

    return run


def write_jsonl(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def forms(folder: Path, texts: list[str]) -> dict[str, object]:
    frame = pd.DataFrame({"n": range(len(texts)), "body": texts})
    frame.to_parquet(folder / "a.parquet")
    frame.to_csv(folder / "a.csv", index=False)
    rows = frame.to_dict("records")
    write_jsonl(folder / "a.jsonl", rows)
    return {
        "parquet": folder / "a.parquet",
        "csv": folder / "a.csv",
        "jsonl": folder / "a.jsonl",
        "frame": frame,
        "table": pa.Table.from_pandas(frame),
        "list": rows,
        "iterator": iter(rows),
    }


@pytest.mark.parametrize("objective", ["causal", "masked"])
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "frame", "table", "list", "iterator"])
def test_figures_of_whole_data_are_those_of_a_preparation(
    kind, objective, look, tmp_path, paragraphs, masked_tokenizer
):
    settings = {"tokenizer": str(masked_tokenizer), "objective": objective, "text_field": "body"}
    seen = look(data=forms(tmp_path, paragraphs(40))[kind], **settings)
    made = nextfill.prepare(data=tmp_path / "a.jsonl", block_size=64, **settings)
    assert seen.is_whole
    assert (seen.num_blocks, seen.num_documents) == (made.blocks, made.ledger["documents"])
    assert seen.num_tokens == made.ledger["tokens"]
    assert (
        seen.held_out == f"{made.ledger['held_out_documents']} of 40 documents, 10% of the records"
    )
    assert seen.records[0] == {"n": seen.records[0]["n"], "body": paragraphs(40)[0]}
    assert seen.documents[0] == paragraphs(40)[0]
    assert bool(seen.example.hidden) == (objective == "masked")
    assert seen.problem is None


@pytest.mark.parametrize("is_live", [False, True], ids=["named", "live"])
def test_a_masked_model_shows_masks_without_an_objective(
    is_live, tiny_masked, tmp_path, paragraphs
):
    data = {"data": write_jsonl(tmp_path / "a.jsonl", ({"text": one} for one in paragraphs(40)))}
    data["model"] = str(tiny_masked)
    made = nextfill.prepare(**data, block_size=64)
    if is_live:
        data["model"] = AutoModelForMaskedLM.from_pretrained(tiny_masked)
        data["tokenizer"] = AutoTokenizer.from_pretrained(tiny_masked)
    seen = nextfill.look(**data, block_size=64, mask_rate=0.5)
    assert (seen.objective, seen.num_blocks) == ("masked", made.blocks)
    assert len(seen.example.hidden) > 20


def test_masks_of_a_causal_model_are_refused(tiny_model):
    with pytest.raises(ConfigError, match="masks are for masked models"):
        nextfill.look(data=["A text."], model=str(tiny_model), mask_rate=0.5)


def test_plain_text_and_a_folder_with_counts_by_file(look, tmp_path, paragraphs):
    texts = paragraphs(12)
    (tmp_path / "b.txt").write_text("\n\n".join(texts[:8]), "utf-8")
    (tmp_path / "a.txt").write_text("\n\n".join(texts[8:]), "utf-8")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    seen = look(data=tmp_path, txt="paragraph")
    assert seen.records[0] == texts[8]
    assert seen.text_field is None
    told = 'each paragraph is a document, by txt="paragraph"'
    assert seen.reason == f"the records are plain text, and {told}"
    assert seen.files == {str(tmp_path / "a.txt"): 4, str(tmp_path / "b.txt"): 8}
    assert seen.left_out == {"no text format (.png)": 1}
    assert seen.left_out_names == {"no text format (.png)": ["c.png"]}
    assert re.search(r"no text format \(\.png\) +1 +c\.png", seen.text())


def test_no_more_is_read_than_it_needs(look):
    endless = (f"Text {n}" for n in itertools.count())
    seen = look(data=endless, records=2)
    assert (seen.num_records, seen.is_whole, len(seen.records)) == (MOST_RECORDS, False, 2)
    assert next(endless) == f"Text {MOST_RECORDS + 1}"
    assert seen.held_out == "10% of the records"


def test_a_file_is_not_read_to_its_end(look, tmp_path, paragraphs):
    path = write_jsonl(tmp_path / "a.jsonl", ({"text": one} for one in paragraphs(1500)))
    with path.open("ab") as file:
        file.write(b"this is no JSON")
    seen = look(data=path)
    assert (seen.problem, seen.num_records) == (None, MOST_RECORDS)


def test_a_few_long_texts_are_enough(look):
    seen = look(data=[f"{n} " + "word " * 60_000 for n in range(9)], records=1)
    assert (seen.num_records, seen.is_whole) == (4, False)


def test_to_peek_no_file_is_read_for_a_fingerprint(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)
    peeked = {open_source(str(path), peek=True).fingerprint for path in tmp_path.iterdir()}
    read = {open_source(str(path)).fingerprint for path in tmp_path.iterdir()}
    assert (len(peeked), len(read)) == (1, 2)


@pytest.mark.parametrize(
    ("records", "settings", "problem"),
    [
        ([{"id": "a", "body": "longer"}], {}, 'for example text_field="body"'),
        ([{"body": "longer"}], {"text_field": "bdy"}, "Did you mean 'body'?"),
        ([{"text": 3}], {}, "holds a number"),
        ([{"text": "a"}, {"text": 3}], {}, "record 1): the field 'text' holds a number"),
        (["one", "two"], {"test_size": 0.1}, "leaves no held-out document"),
        ([{"text": ""}], {}, "holds no text"),
    ],
)
def test_where_a_preparation_stops_the_records_are_shown_with_its_error(
    records, settings, problem, look
):
    seen = look(data=records, **settings)
    assert problem in seen.problem
    assert "--" not in seen.problem
    assert len(seen.records) == len(records)
    with pytest.raises(nextfill.DataError) as caught:
        nextfill.prepare(data=records, **settings)
    own = re.sub(r"\d+ (record|text)s? from Python", "a list", str(caught.value))
    assert seen.problem == own


def test_a_problem_comes_first_and_nothing_speaks_against_it(look):
    seen = look(data=[{"body": "longer"}] * 3, text_field="bdy")
    _, blank, problem, *rest = str(seen).splitlines()
    assert (blank, problem) == ("", f"problem: {seen.problem}")
    assert "problem" not in "".join(rest)
    assert "text: none was read at the path named with text_field=" in rest
    assert seen._repr_html_().index("problem: ") < seen._repr_html_().index("Record 0")


def test_damage_after_the_first_record_is_the_problem(look, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n{"text": \n')
    seen = look(data=path)
    assert seen.records == [{"text": "one"}, {"text": "two"}]
    assert f"{path}:3: not JSON" in seen.problem


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"data": "no such.txt"}, "there is no such file"),
        ({"data": []}, "without a record"),
        ({"data": ["a"], "tokenizer": "/no/such"}, "/no/such"),
        ({"data": ["a"], "packing": "best"}, "packing"),
        ({"data": ["a"], "records": 0}, "records"),
        ({"data": ["a"], "eval_data": "no such.txt"}, "there is no such file"),
    ],
)
def test_other_errors_are_errors(settings, words, look):
    with pytest.raises(nextfill.NextfillError, match=words):
        look(**settings)


def test_the_field_that_is_taken_comes_first_with_its_reason(look):
    rows = [{"answers": {"text": ["Yes.", "No."], "id": ["x", "y"]}, "long": "z" * 99}] * 9
    seen = look(data=rows, text_field="answers.text", test_size=0.5)
    assert [(one.path, one.is_taken) for one in seen.fields] == [
        ("answers.text", True),
        ("long", False),
        ("answers.id", False),
    ]
    assert seen.reason == "it was named with text_field="
    assert seen.documents[0] == "Yes. No."
    assert 'answers:\n    text: ["Yes.", "No."]' in seen.text()


def test_several_sources_are_looked_at_one_by_one(look, tmp_path, paragraphs):
    first = write_jsonl(tmp_path / "a.jsonl", ({"text": one} for one in paragraphs(20)))
    other = write_jsonl(tmp_path / "b.jsonl", ({"body": one} for one in paragraphs(9, seed=1)))
    config = nextfill.DataConfig
    seen = look(data=[config(source=str(first)), config(source=str(other), test_size=2)])
    assert [one.num_documents for one in (seen, *seen.others)] == [20, 9]
    assert str(other) in seen.text()


def test_what_is_held_out_where_the_data_say_so(look, text_file):
    assert look(data=["a b"] * 5, eval_data=text_file).held_out == f"all of {text_file}"
    seen = look(data="builtin:stdlib-docs", split="train[:5]")
    assert seen.held_out == "the split test of builtin:stdlib-docs"


def test_beginnings_of_live_data_of_every_kind():
    import datasets

    rows = datasets.Dataset.from_dict({"text": ["a"] * 2000})
    for value in (rows, rows.to_pandas(), rows.to_pandas()["text"], rows.data.table, ["a"] * 2000):
        assert len(beginning_of(value, "data")) == MOST_RECORDS + 1
    assert len(beginning_of(rows.to_iterable_dataset(), "data")) == MOST_RECORDS + 1


def test_bytes_of_a_character_are_spelled_and_not_shown_as_damage(look, tmp_path):
    (tmp_path / "zoe.txt").write_text("Zoë loved crème brûlée and 雨.\n\n" * 30, "utf-8")
    seen = look(data=tmp_path / "zoe.txt", tokenizer="builtin:base-causal", txt="paragraph")
    assert "\ufffd" not in seen.text()
    assert any("<E9>" in token for token in seen.example.tokens)
    assert "".join(seen.example.tokens).count("Zo") > 1


@pytest.mark.parametrize(
    ("files", "txt", "words"),
    [
        ({"a.txt": "One.", "b.txt": "Two."}, None, "each file is a document; to make each"),
        (
            {"a.txt": "One.\n\nTwo."},
            None,
            "each paragraph is a document, as of a single .txt",
        ),
        ({"a.txt": "One.\n\nTwo."}, "line", 'each line is a document, by txt="line"'),
        ({"a.txt": "One.", "b.txt": " \n\n"}, None, "documents: 2, 1 of white space alone, of all"),
    ],
)
def test_what_a_document_is_in_plain_text_is_said(look, tmp_path, files, txt, words):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    data = tmp_path if len(files) > 1 else tmp_path / "a.txt"
    assert words in str(look(data=data, txt=txt))
