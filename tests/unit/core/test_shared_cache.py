"""What is remembered is believed only while it is whole and about the same thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nextfill.core.checksums import is_whole, sealed
from nextfill.core.shared_cache import recall, remember

FACTS = {"fingerprint": "ab12", "bos_token_id": None, "eos_token_id": 50256, "shares": [0.1, 1e-9]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "below" / "facts.json"
    remember(path, ["x", 1], FACTS)
    return path


def test_facts_come_back(file: Path) -> None:
    assert recall(file, ("x", 1)) == FACTS
    assert recall(file, ["x", 2]) is None
    assert recall(file.with_name("other.json"), ["x", 1]) is None


def test_no_single_bit_can_change_unseen(file: Path) -> None:
    whole = file.read_bytes()
    for at in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        file.write_bytes(damaged)
        assert recall(file, ["x", 1]) in (None, FACTS)  # white space in JSON may be another


@pytest.mark.parametrize("content", ["", "null", "[]", "7", "{}", "[" * 200_000, "\0" * 40_000])
def test_what_is_no_memory_is_none(file: Path, content: str) -> None:
    file.write_text(content)
    assert recall(file, ["x", 1]) is None


def test_a_place_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remember(tmp_path / "file" / "facts.json", "x", 1)


def test_a_seal_is_of_the_values_and_not_of_how_they_are_written() -> None:
    values = {"b": [1, "é\udcff"], "a": {"c": 1.5}}
    again = json.loads(json.dumps(sealed(values), indent=1))
    assert is_whole(again)
    assert is_whole(dict(reversed(again.items())))
    assert not is_whole({**again, "a": {"c": 1.25}})
    assert not is_whole(values)
