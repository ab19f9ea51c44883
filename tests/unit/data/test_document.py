"""Words are counted as Python splits them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nextfill.data.document import count_words

SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())


@given(st.text(st.sampled_from("ab.\x00\x7f\x80é" + SPACES)))
def test_words_are_as_many_as_a_split_gives(text: str) -> None:
    assert count_words(text) == len(text.split())
    plain = text.encode("ascii", "ignore").decode()
    assert count_words(plain) == len(plain.split())


def test_every_character_of_ascii_is_a_space_or_none() -> None:
    for code in range(128):
        text = f"a{chr(code)}b"
        assert count_words(text) == len(text.split()), code
