"""Words that were typed in another form than they are read in: each is shown as it is typed."""

from __future__ import annotations

import json
import shlex

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import DataError


def told(capsys, *words: str) -> str:
    assert main([*words]) == 2
    return capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    "words", [["train"], ["cache", "list"], ["cache"], []], ids=["one", "two", "group", "none"]
)
def test_help_before_a_command_is_its_help(words, capsys):
    assert main(["help", *words]) == 0
    shown = capsys.readouterr().out
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out == shown


def test_our_flags_are_read_with_underscores_too(capsys):
    words = ["fill", "builtin:base-masked", "The ___ is cold.", "--quiet", "--json"]
    assert main([*words, "--top-k", "2"]) == 0
    shown = capsys.readouterr().out
    assert len(json.loads(shown)) == 2
    for form in (["--top_k", "2"], ["--top_k=2"]):
        assert main([*words, *form]) == 0
        assert capsys.readouterr().out == shown
    assert "There is no flag --top_kk" in told(capsys, *words, "--top_kk", "2")


@pytest.fixture
def chapters(here):
    for name in ("chapter 1.txt", "chapter 2.txt", "notes.txt"):
        (here / name).write_text("A text.")
    return ["chapter 1.txt", "chapter 2.txt"]


def test_the_pattern_of_several_files_begins_as_they_do(chapters, capsys):
    said = told(capsys, "look", "--data", *chapters)
    assert "Of a pattern without quotes a shell makes several names." in said
    assert "Type: --data 'chapter *.txt', or name the folder: --data ." in said


def test_of_several_files_in_curly_quotes_the_command_is_one_that_is_taken(here, capsys):
    for name in ("one1.txt", "one2.txt"):
        (here / name).write_text("A text.")
    said = told(capsys, "look", "--data", "\u201cone1.txt\u201d", "\u201cone2.txt\u201d")
    assert "quotes of a word processor" in said
    assert said.count("Type: ") == 1
    assert "Type: --data 'one*.txt'" in said


def test_a_text_in_the_place_of_the_model(capsys):
    text = "Marguerite opened the ___ because"
    said = told(capsys, "fill", text)
    assert "stands where a model is wanted" in said
    assert shlex.split(said.partition("Type: ")[2])[-3:] == ["fill", "MODEL", text]


def test_a_text_whose_spaces_had_no_quotes(capsys):
    words = ["fill", "builtin:base-masked", "Marguerite", "opened", "the", "___"]
    said = told(capsys, *words)
    assert "A text with spaces wants quotes, and here are 4 words." in said
    assert shlex.split(said.partition("Type: ")[2])[-1] == "Marguerite opened the ___"


@pytest.mark.parametrize("begin", ["", "# settings\n---\n"])
def test_yaml_in_the_place_of_a_recipe(begin, here, capsys):
    for name in ("mine.yaml", "mine.toml"):
        (here / name).write_text(f"{begin}training:\n  epochs: 3\n")
    assert "YAML, and recipes are TOML (.toml)" in told(capsys, "train", "mine.yaml")
    assert "It looks like YAML, and recipes are TOML" in told(capsys, "train", "mine.toml")
    (here / "mine.toml").write_text("[training]\nepochs: 3\n")
    assert "It looks like YAML" not in told(capsys, "train", "mine.toml")


def test_a_data_set_that_is_gone_is_named_as_python_types_it():
    with pytest.raises(DataError) as error:
        list(nextfill.read_records("eli5"))
    assert str(error.value).endswith(
        "Give data='dany0407/eli5_category', and text_field='answers.text' where a text is read."
    )


def test_a_look_at_a_context_that_is_not_there_blames_no_text(here, capsys):
    rows = [{"instruction": f"a {n}?", "output": f"yes {n}."} for n in range(3)]
    (here / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["--data", "a.jsonl", "--context-field", "instructions", "--text-field", "output"]
    main(["look", *words])
    shown = " ".join(capsys.readouterr().out.split())
    assert "text: none was read, as the path named with --context-field is not there" in shown
