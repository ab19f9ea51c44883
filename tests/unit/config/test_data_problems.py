"""What cannot hold whatever the data are is refused before any of them is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError, NextfillError
from nextfill.data.records.file_readers import READERS


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file in which reading any line fails."""

    def read(*_: object) -> None:
        raise AssertionError("data were read")

    monkeypatch.setitem(READERS, "txt", read)
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\n")
    return path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--test-size 2.5", "--test-size: found 2.5, which is neither a share, below 1, nor a nu"),
        (
            "--validation-size 10.1",
            "a number of records. Type a share, such as 0.1, or a whole num",
        ),
        ("--warmup-steps 2.5", "a number of steps. Type a share, such as 0.1, or a whole number, "),
        ("--test-size 0.1 --eval-data b.txt", "Give --eval-data or --test-size, not both"),
        ("--test-size 3 --eval-split test", "Give --eval-split or --test-size, not both"),
        ("--window-rows 4", "--window-rows 4 is for text end to end: give --packing concat"),
        ("--set evaluation.held-out=b.txt", "[evaluation.held-out]: expected a name of letters"),
        ("--explode --context-field q", "--explode makes a document of each text"),
        ("--split train[:5", "--split 'train[:5' cannot be read"),
        ("--split trian", "There is no split 'trian'"),
    ],
)
def test_it_is_refused_at_once(unread, words, told, capsys, tmp_path):
    line = ["train", "--data", str(unread), "--out", str(tmp_path / "run"), *words.split()]
    assert main([*line, "--quiet"]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_each_of_several_sources(unread):
    sources = [
        nextfill.DataConfig(source=str(unread)),
        nextfill.DataConfig(source=str(unread), test_size=3.5),
    ]
    with pytest.raises(ConfigError, match=r"table 2: test_size: found 3.5, which is neither"):
        nextfill.prepare(data=sources)


@pytest.mark.parametrize("size", [2, 2.0, 0.5, "2", "0.5"])
def test_sizes_that_may_hold_are_read(unread, size):
    with pytest.raises((AssertionError, NextfillError)) as stopped:
        nextfill.prepare(data=str(unread), test_size=size)
    assert "data were read" in str(stopped.value)
