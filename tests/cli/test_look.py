"""`nextfill look`: what a person and a script get, from files and from standard input."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import nextfill
from nextfill.cli.main import main


@pytest.fixture
def looked(capsys, here, tiny_tokenizer):
    """Run a look that must succeed, and return what it printed."""

    def run(*words: object) -> SimpleNamespace:
        status = main(["look", "--tokenizer", str(tiny_tokenizer), *map(str, words)])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed

    return run


def write_rows(path: Path, count: int) -> Path:
    rows = [{"id": f"q{n}", "answers": {"text": [f"Answer {n}.", "Or not."]}} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_person_reads_records_fields_documents_and_blocks(looked, here):
    path = write_rows(here / "a.jsonl", 40)
    printed = looked("--data", path, "--text-field", "answers.text", "--block-size", "32").out
    for words in (
        f"A look at {path}",
        "Record 2, ",
        'text: ["Answer 0.", "Or not."]',
        "text: answers.text, because it was named with --text-field",
        "documents: 40, of all 40 records",
        "of 32 tokens, to train a causal model",
        "held out: 4 of 40 documents, 10% of the records",
    ):
        assert words in printed
    assert "problem" not in printed
    assert [one.name for one in here.iterdir()] == ["a.jsonl"]


def test_without_a_field_it_says_which_flag_to_type(looked, here):
    path = write_rows(here / "a.jsonl", 4)
    assert "--text-field answers.text\n" in looked("--data", path).out


def test_json_is_the_result_of_the_function(looked, here, tiny_tokenizer):
    path = write_rows(here / "a.jsonl", 40)
    printed = looked("--data", path, "--text-field", "answers.text", "--json", "--quiet")
    seen = nextfill.look(data=path, text_field="answers.text", tokenizer=str(tiny_tokenizer))
    plain = json.loads(json.dumps(seen.to_json()))
    assert json.loads(printed.out) == {**plain, "reason": "it was named with --text-field"}


class Endless(io.RawIOBase):
    """A pipe that never ends."""

    def __init__(self, line: bytes) -> None:
        self.line, self.given = line, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        assert self.given < 1 << 26, "read on for ever"
        start = self.given % len(self.line)
        buffer[:] = (self.line * (len(buffer) // len(self.line) + 2))[start : start + len(buffer)]
        self.given += len(buffer)
        return len(buffer)


def test_a_pipe_without_an_end(looked, monkeypatch):
    stream = io.TextIOWrapper(io.BufferedReader(Endless(b'{"text": "a line"}\n')))
    monkeypatch.setattr("sys.stdin", stream)
    found = json.loads(looked("--data", "-", "--json").out)
    assert (found["name"], found["num_records"], found["is_whole"]) == (
        "standard input",
        1000,
        False,
    )
    assert found["records"][0] == {"text": "a line"}


def test_a_pipe_cut_within_a_few_huge_records_ends_with_a_whole_one(looked, monkeypatch):
    line = json.dumps({"text": "short", "image": "x" * 7_000_000}).encode() + b"\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Endless(line))))
    found = json.loads(looked("--data", "-", "--text-field", "text", "--json").out)
    assert not found["is_whole"]
    assert found["problem"] is None
    assert len(found["records"]) == 2


def test_a_control_character_reaches_no_terminal(looked, here):
    (here / "a.jsonl").write_text(json.dumps({"text": "a\x1b[2J", "k\x1b[2J": 1}) + "\n")
    assert "\x1b" not in looked("--data", "a.jsonl").out


def test_mistakes(fails, here):
    assert "there is no such file" in fails("look", "--data", "a.jsonl")
    assert "Did you mean '--records'?" in fails("look", "--data", "a.jsonl", "--record", "3")


def test_every_file_is_in_the_table_or_counted(looked, here):
    folder = here / "many"
    folder.mkdir()
    for number in range(17):
        (folder / f"{number:02}.txt").write_text(f"text {number}")
    printed = looked("--data", folder).out
    assert re.search(r"\.\.\. 5 more +5\n", printed)
    assert "not looked at" not in printed
    (folder / "01x.txt").write_bytes(b"no \0 text")
    printed = looked("--data", folder).out
    assert re.search(r"00\.txt +1\n.*01\.txt +1\n\W+16 more, not looked at", printed)


def test_one_of_a_kind_has_no_plural(looked, here):
    (here / "one.jsonl").write_text('{"text": "Once upon a time"}\n')
    assert "documents: 1, of the only record\n" in looked("--data", here / "one.jsonl").out
    empty = nextfill.look(data=[{"text": ""}, {"text": ""}], quiet=True)
    assert ": holds no text: of 2 records" in empty.problem
    blank = nextfill.look(data=[{"text": " "}, {"text": ""}], quiet=True)
    assert "document with any text" in blank.problem


def test_full_shows_records_and_the_first_document_whole(looked, here):
    long = " ".join(f"word{n}" for n in range(900)) + "\x1b[2J the end"
    rows = [{"id": f"q{n}", "parts": [{"text": long}, {"text": f"last {n}"}]} for n in range(30)]
    path = here / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    words = ("--data", path, "--text-field", "parts.text")
    assert "the end" not in looked(*words).out
    printed = looked(*words, "--full", "--records", "2").out
    assert printed.count("the end") == 2 + 1  # the records and the first document
    assert '"text": "last 1"' in printed
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) > len(long)


def test_a_column_of_numbers_is_told_as_the_reason(looked, here):
    (here / "a.csv").write_text("id,body\n1,Some words.\n2,More words.\n3,Others.\n", "utf-8")
    printed = looked("--data", here / "a.csv").out
    assert "text: body, because the others hold numbers alone" in printed
    assert "problem" not in printed
