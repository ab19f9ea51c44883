from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.data.corpora.near_duplicates import (
    MAX_SHARE,
    MAX_SHARE_ACROSS,
    NUM_WORDS,
    NearDuplicates,
    ShingleHasher,
    keep_apart,
)

WORDS = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=30)
TEXTS = st.lists(WORDS.map(" ".join), max_size=12)
STORY = "the old lighthouse keeper climbed the stairs each night to light the lamp for the ships"


def plain_shingles(text: str, num_words: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {
        tuple(words[start : start + num_words])
        for start in range(max(1, len(words) - num_words + 1))
    }


@given(WORDS, WORDS, st.integers(1, 10))
def test_share_equals_a_count_over_word_tuples(
    first: list[str], second: list[str], num_words: int
) -> None:
    seen = NearDuplicates(num_words)
    seen.add(" ".join(first))
    known = plain_shingles(" ".join(first), num_words)
    asked = plain_shingles(" ".join(second), num_words)
    assert seen.share(" ".join(second)) == len(asked & known) / len(asked)


@given(WORDS.map(" ".join))
def test_a_text_repeats_itself_whatever_its_spacing_case_and_punctuation(text: str) -> None:
    seen = NearDuplicates()
    assert seen.add_if_new(text)
    assert not seen.add_if_new(f"\n\t{text.replace(' ', ',  ').upper()}.")


@given(TEXTS)
def test_what_was_not_added_leaves_no_trace(texts: list[str]) -> None:
    every = NearDuplicates(num_words=2)
    only_kept = NearDuplicates(num_words=2)
    for text in [text for text in texts if every.add_if_new(text)]:
        assert only_kept.add_if_new(text)
    assert all(every.share(text) == only_kept.share(text) for text in texts)


@given(TEXTS, TEXTS)
def test_kept_texts_keep_apart(train: list[str], test: list[str]) -> None:
    keep_train, keep_test = keep_apart(train, test)
    assert (len(keep_train), len(keep_test)) == (len(train), len(test))
    trained = NearDuplicates()
    for text, keep in zip(train, keep_train, strict=True):
        assert not keep or trained.add_if_new(text)
    held_out = NearDuplicates()
    for text, keep in zip(test, keep_test, strict=True):
        assert not keep or trained.share(text) <= MAX_SHARE_ACROSS
        assert not keep or held_out.add_if_new(text)


def test_training_gives_way_to_a_held_out_copy() -> None:
    assert keep_apart([STORY, "quite another text"], [STORY]) == ([False, True], [True])


def test_a_held_out_text_inside_a_long_training_text_is_dropped() -> None:
    filler = " ".join(f"w{number}" for number in range(200))
    assert keep_apart([f"{filler} {STORY}"], [STORY]) == ([True], [False])


def test_the_share_is_a_limit_that_may_be_reached() -> None:
    seen = NearDuplicates(num_words=1)
    seen.add("a b c d")
    assert MAX_SHARE == 0.5
    assert seen.add_if_new("a b x y")
    assert not seen.add_if_new("a b c z")


def test_order_of_words_matters() -> None:
    assert set(ShingleHasher(2)("a b").tolist()) != set(ShingleHasher(2)("b a").tolist())


def test_texts_without_words_are_compared_by_their_characters() -> None:
    seen = NearDuplicates()
    assert [seen.add_if_new(text) for text in ["", " \n", "+ -", "+\t-", "- +"]] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_hashes_are_the_same_in_another_process() -> None:
    code = "from nextfill.data.corpora.near_duplicates import ShingleHasher as S; "
    code += f"print(S()({STORY!r}).tolist())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert other.strip() == str(ShingleHasher()(STORY).tolist())
    assert len(ShingleHasher()(STORY)) == len(STORY.split()) - NUM_WORDS + 1


@pytest.mark.parametrize(("num_words", "max_share"), [(0, 0.5), (8, 1.0), (8, -0.1)])
def test_senseless_settings_are_refused(num_words: int, max_share: float) -> None:
    with pytest.raises(ValueError, match=r"at least 1 word|the share lies"):
        NearDuplicates(num_words, max_share)
