"""Words: where they begin and end, and that counting them in parts changes no total."""

from __future__ import annotations

from collections import Counter

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.data.store.encoder import Encoder
from nextfill.tokenizers.bpe import learn_bpe
from nextfill.tokenizers.word_splits import WORD, Tally, Words, piece_text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The mill, again.", ["The", "mill", "again"]),
        (
            "don't 'quote' o\u2019clock' rock 'n' roll",
            ["don't", "quote", "o\u2019clock", "rock", "n", "roll"],
        ),
        ("a-b_c/d (e) [f] {g} <h>", ["a", "b", "c", "d", "e", "f", "g", "h"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया।"]),
        ("日本語。次", ["日本語", "次"]),
        ("😀 👩\u200d👩 3.14 €5", ["😀", "👩\u200d👩", "3", "14", "€5"]),
        ("'' ... \n\t", []),
        ("x", ["x"]),
    ],
)
def test_where_words_begin_and_end(text, words):
    assert WORD.findall(text) == words


UNKNOWN = "[UNK]"


@pytest.fixture(scope="module")
def known():
    core = Tokenizer(models.WordPiece({"[UNK]": 0, "mill": 1, "##s": 2, "a": 3}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return core


def counted(core, texts, *, most=10, held=1 << 20):
    words = Words(Encoder(core, "tokenizers"), core, core.token_to_id("[UNK]"), most)
    tally = Tally([words], held)
    for text in texts:
        tally.add(text)
    tally.end()
    return words


def test_costs_are_counted_by_hand(known):
    words = counted(known, ["mills mill mills", "mill a zebra"])
    assert (words.num_words, words.num_whole) == (6, 3)  # an unknown word is not one token
    (split,) = words.split_words()
    assert (split.word, split.count, split.extra_tokens) == ("mills", 2, 2)
    assert split.pieces == ("mill", "##s")
    assert [(one.word, one.count) for one in words.unknown_words()] == [("zebra", 1)]


def test_counting_in_parts_changes_no_total(paragraphs):
    texts = paragraphs(100)
    core = learn_bpe(texts, vocab_size=300, min_frequency=2, special_tokens=["<e>"])
    whole, parts = (counted(core, texts, held=held) for held in (1 << 20, 12))
    every = Counter(word for text in texts for word in WORD.findall(text))
    assert whole.num_words == parts.num_words == every.total()
    assert whole.num_whole == parts.num_whole
    costs = [one.extra_tokens for one in whole.split_words()]
    assert costs == sorted(costs, reverse=True)
    assert all(every[one.word] == one.count for one in whole.split_words())


def test_a_word_stands_after_a_space(paragraphs):
    core = learn_bpe(["the mill mill mill"] * 9, vocab_size=400, min_frequency=2, special_tokens=[])
    assert core.encode("mill").tokens != ["mill"]
    assert counted(core, ["mill"]).num_whole == 1


def test_parts_of_characters_are_shown_as_bytes():
    core = learn_bpe(["x"], vocab_size=256, min_frequency=2, special_tokens=[])
    ids = core.encode(" é\n日").ids
    assert [piece_text(core, token) for token in ids] == [
        " ",
        r"\xc3",
        r"\xa9",
        "\n",
        r"\xe6",
        r"\x97",
        r"\xa5",
    ]
