"""A text without colours is read as it is, with numbers behind a few of its words."""

from __future__ import annotations

import re

from nextfill.cli.word_marks import LONGEST_WORD, marked_text, marks_legend
from nextfill.evaluation.token_view import ScoredToken


def tokens(*pairs):
    return [ScoredToken(text, *numbers) for text, *numbers in pairs]


def test_a_tenth_of_the_words_is_marked_the_dearest_first():
    many = [(f" word{at}", float(at % 17)) for at in range(40)]
    text = marked_text(tokens(*many), compared=False)
    assert re.findall(r"(\w+) \[(.*?)\]", text) == [
        ("word15", "15.0"),
        ("word16", "16.0"),
        ("word32", "15.0"),
        ("word33", "16.0"),
    ]
    assert re.sub(r" \[.*?\]", "", text) == "".join(word for word, _ in many)


def test_the_tokens_of_a_word_are_added_up_and_white_space_stays():
    text = marked_text(
        tokens(("The", None), (" sto", 4.0), ("rm", 2.0), ("\n", 9.0)), compared=False
    )
    assert text == "The storm [6.0]\n"
    assert marked_text(tokens(("cheap", 1.0), (" words", 2.0)), compared=False) == "cheap words"


def test_changes_of_either_sign_are_marked():
    words = tokens((" a", 1.0, 1.1), (" b", 1.0, 9.0), *[(" c", 2.0, 2.0)] * 10, (" d", 6.0, 2.0))
    text = marked_text(words, compared=True)
    assert " b [-8.0] c" in text
    assert "[-0.1]" not in text
    assert "dearer" in marks_legend("the base")
    assert "the base" in marks_legend("the base")


def test_a_text_without_spaces_has_more_than_one_word():
    text = marked_text(tokens(*[("猫", 1.0)] * 100, ("犬", 30.0)), compared=False)
    assert "犬 [" in text
    assert text.count("[") == 1
    first = text.partition(" [")[0]
    assert len(first) > LONGEST_WORD


def test_control_characters_are_not_sent_to_the_terminal():
    assert "\x1b" not in marked_text(tokens(("\x1b[2J", 9.0)), compared=False)


def test_nothing_to_show_is_nothing():
    assert marked_text([], compared=False) == ""
