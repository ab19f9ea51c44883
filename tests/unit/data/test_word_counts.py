"""Words are counted as Python splits them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nextfill.data.word_counts import count_words

SPACES = "".join(chr(code) for code in range(0x110000) if chr(code).isspace())
TEXTS = st.text(
    st.sampled_from("ab.\x00\x7f\x80é€日\U0001f98a\u200b" + SPACES) | st.characters(codec="utf-8")
)


def split(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


@given(st.lists(TEXTS, max_size=6))
def test_words_are_as_many_as_a_split_gives(texts: list[str]) -> None:
    assert count_words([text.encode() for text in texts]).tolist() == split(texts)
    plain = [text.encode("ascii", "ignore").decode() for text in texts]
    assert count_words([text.encode() for text in plain]).tolist() == split(plain)


def test_every_character_is_a_space_or_none() -> None:
    codes = [code for code in range(0x20000) if not 0xD800 <= code < 0xE000]
    texts = [f"a{chr(code)}b" for code in codes] + [chr(code) for code in codes]
    assert count_words([text.encode() for text in texts]).tolist() == split(texts)
