"""What is said where a run is evaluated on other text than its own."""

from __future__ import annotations

import pytest

import nextfill
from tests.cli.evaluated.asking import command


@pytest.fixture(scope="module")
def novel(tiny_model, tmp_path_factory):
    """A novel of four chapters, a run over it and another text."""
    folder = tmp_path_factory.mktemp("novel")
    (folder / "chapters").mkdir()
    for number in range(4):
        text = "".join(f"Leaf {n} of chapter {number} lies.\n\n" for n in range(30))
        (folder / "chapters" / f"{number}.txt").write_text(text)
    (folder / "other.txt").write_text("".join(f"A stone {n} sinks.\n\n" for n in range(9)))
    small = {"max_steps": 1, "batch_size": 1, "block_size": 16, "model": str(tiny_model)}
    nextfill.train(data=folder / "chapters", out=folder / "run", **small)
    return folder


def test_text_of_eval_data_is_scored_whole_and_said_so(novel):
    status, _, err = command("evaluate", novel / "run", "--eval-data", novel / "other.txt")
    assert status == 0, err
    said = " ".join(err.split())
    assert f"scoring {novel / 'run'} on all of {novel / 'other.txt'}" in said
    assert "what is held out" not in said


def test_the_held_out_ends_of_the_training_data_are_not_told_with_other_text(novel, caplog):
    note = "the ends of its 4 documents are held out"
    assert command("evaluate", novel / "run", "--data", novel / "other.txt", "--no-base")[0] == 0
    assert note not in caplog.text
    assert command("evaluate", novel / "run", "--no-base")[0] == 0
    assert note in caplog.text
