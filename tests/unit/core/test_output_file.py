"""Texts written as they come, as whole lines, into a file that was not there."""

from __future__ import annotations

import json
import resource

import pytest

from nextfill.core.errors import ConfigError, NextfillError
from nextfill.core.output_file import check_new_file, write_results
from nextfill.filling.blanks import Blanks
from nextfill.filling.fill import Filled, answer_lines
from nextfill.generation.generate import text_lines
from nextfill.generation.prompts import name_prompts

PROMPTS = name_prompts(["a", "b\n", "c"])


def results():
    for prompt in PROMPTS:
        yield [{"generated_text": prompt.text + end} for end in ("1", "2\u2028")]


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def test_a_line_for_each_continuation(tmp_path):
    path = tmp_path / "out.jsonl"
    made = write_results(path, PROMPTS, results(), text_lines)
    first = next(made)
    assert read(path) == [
        {"record": 0, "sample": sample, "prompt": "a", **item} for sample, item in enumerate(first)
    ]
    assert [first, *made] == list(results())
    assert [line["generated_text"] for line in read(path)] == [
        item["generated_text"] for entry in results() for item in entry
    ]


def test_what_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("precious")
    with pytest.raises(NextfillError, match="there already"):
        check_new_file(str(path))
    with pytest.raises(NextfillError, match="File exists"):
        list(write_results(path, PROMPTS, results(), text_lines))
    assert path.read_text() == "precious"
    with pytest.raises(NextfillError, match="no folder"):
        check_new_file(str(tmp_path / "no" / "out.jsonl"))
    with pytest.raises(ConfigError, match="cannot be used as a path"):
        check_new_file("a\0b.jsonl")


def test_an_interruption_tells_what_is_there(tmp_path):
    def interrupted():
        made = results()
        yield next(made)
        yield next(made)
        raise KeyboardInterrupt

    path = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt, match="holds 2 of 3 prompts"):
        list(write_results(path, PROMPTS, interrupted(), text_lines))
    assert len(read(path)) == 4


def test_a_full_disk_leaves_whole_lines_and_their_number(tmp_path):
    path = tmp_path / "out.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))  # the second prompt breaks off
    try:
        with pytest.raises(NextfillError, match=r"too large\. It holds 1 of 3 prompts"):
            list(write_results(path, PROMPTS, results(), text_lines))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(read(path)) == 2
    assert path.read_bytes().endswith(b"}\n")


def test_an_error_before_the_first_line_leaves_no_file(tmp_path):
    def broken():
        raise ConnectionResetError("of the model, not of the file")
        yield

    path = tmp_path / "out.jsonl"
    with pytest.raises(ConnectionResetError):
        list(write_results(path, PROMPTS, broken(), text_lines))
    assert not path.exists()


def test_a_line_for_each_answer_of_each_blank(tmp_path):
    path = tmp_path / "out.jsonl"
    answers = [{"score": 0.5, "token": n, "token_str": "x", "sequence": "x"} for n in (1, 2)]
    blanks = Blanks("a", ("", "", ""), (), (), ())
    assert list(
        write_results(
            path, PROMPTS[:1], iter([Filled(blanks, (answers, answers[:1]))]), answer_lines
        )
    )
    assert read(path) == [
        {"record": 0, "blank": blank, "answer": number, "prompt": "a", **answers[number]}
        for blank, number in ((0, 0), (0, 1), (1, 0))
    ]
