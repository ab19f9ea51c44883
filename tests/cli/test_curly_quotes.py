"""A command pasted from a word processor is shown with a shell's own quotes."""

from __future__ import annotations

import shlex

import pytest

from nextfill.cli.main import main


def typed(words: list[str], capsys) -> list[str]:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "quotes of a word processor" in error
    return shlex.split(error.partition("Type: ")[2])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "“my", "folder”"], ["--data", "my folder"]),
        (["--data", "“notes.txt”", "--seed", "1"], ["--data", "notes.txt", "--seed", "1"]),
        (["--data=“my", "own", "folder”"], ["--data=my own folder"]),
        (["--data", "‘my", "folder’"], ["--data", "my folder"]),  # noqa: RUF001
        (["--data", "„my", "folder“"], ["--data", "my folder"]),
        (["--data", "”my", "folder”"], ["--data", "my folder"]),
        (["--data", "«my", "folder»"], ["--data", "my folder"]),
        (["--data", "“a", "b”", "--out", "“c", "d”"], ["--data", "a b", "--out", "c d"]),
        (["--set", "data.source=“my", "folder”"], ["--set", "data.source=my folder"]),
        (["--split", "‘train[:5000]’"], ["--split", "train[:5000]"]),  # noqa: RUF001
    ],
)
@pytest.mark.parametrize("command", ["train", "look"])
def test_the_command_is_shown_with_straight_quotes(command, words, expected, capsys):
    if "--out" in words and command != "train":
        pytest.skip("a look writes nothing")
    found = typed([command, *words], capsys)
    assert found[found.index(command) + 1 :] == expected


@pytest.mark.parametrize("half", ["“notes", "notes”", "‘notes", "notes’", "«notes"])  # noqa: RUF001
def test_half_of_a_pair_is_taken_from_a_name_that_is_there(half, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["look", "--data", half, "--join", "notes”"]
    assert main(words) == 2
    assert "quotes of a word processor" not in capsys.readouterr().err
    (tmp_path / "notes").mkdir()
    assert typed(words, capsys)[-4:] == ["--data", "notes", "--join", "notes”"]
    (tmp_path / half).mkdir()
    assert main(words) == 2
    assert "quotes of a word processor" not in capsys.readouterr().err


def test_a_prompt_in_such_quotes_is_shown_as_well(capsys):
    words = ["generate", "some/model", "“Once", "upon", "a", "time”", "--top-k", "5"]
    found = typed(words, capsys)
    assert found[-4:] == ["some/model", "Once upon a time", "--top-k", "5"]


def test_a_name_that_is_there_is_shown_without_them(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert typed(["evaluate", "“run”"], capsys)[-2:] == ["evaluate", "run"]


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "builtin:base-causal", "“Hello”", "--max-new-tokens", "1"],
        ["generate", "builtin:base-causal", "She said “no” twice", "--max-new-tokens", "1"],
        ["generate", "builtin:base-causal", "“No”, she said.", "--max-new-tokens", "1"],
        ["generate", "builtin:base-causal", "“Two words”", "--max-new-tokens", "1"],
    ],
)
def test_quotes_of_a_text_itself_stay(words, capsys):
    assert main(words) == 0
    assert "word processor" not in capsys.readouterr().err


def test_a_file_of_such_a_name_is_taken(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "“notes”").write_text("One note.\n\nAnother note.\n\nA third.\n")
    assert main(["look", "--data", "“notes”", "--format", "txt"]) == 0


@pytest.mark.parametrize(
    ("line", "quote"),
    [("source = “notes”", "“"), ("source = ‘notes’", "‘"), ("“source” = 1", "“")],  # noqa: RUF001
)
def test_a_recipe_in_such_quotes_says_so(line, quote, capsys, tmp_path):
    recipe = tmp_path / "job.toml"
    recipe.write_text(f'[data]  # “a comment”\ntext_field = "“text”"\n{line}\n')
    assert main(["train", str(recipe)]) == 2
    error = capsys.readouterr().err
    assert f"Line 3 has the quotes of a word processor ({quote}): write straight ones" in error


def test_a_broken_recipe_with_such_quotes_in_its_texts_says_nothing_of_them(capsys, tmp_path):
    recipe = tmp_path / "job.toml"
    recipe.write_text('[data]\ntext_field = "“text”"\nsource = \n')
    assert main(["train", str(recipe)]) == 2
    assert "word processor" not in capsys.readouterr().err
