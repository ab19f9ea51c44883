"""Inspection of tokenizers: figures against those counted by hand, and words one by one."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

import nextfill
from nextfill.config import DataConfig
from nextfill.core.json_text import to_json
from nextfill.data.document import Document
from nextfill.data.store.encoder import Encoder
from nextfill.tokenizers.inspect import (
    WORD,
    WordCosts,
    WordCounter,
    change,
    inspect_texts,
    piece_text,
)
from nextfill.tokenizers.texts import Texts, texts_to_inspect
from nextfill.tokenizers.train import INPUTS, KINDS, to_transformers
from nextfill.tokenizers.trainers import learn_bpe, learn_wordpiece


def nothing(label: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def texts(tmp_path, paragraphs):
    path = tmp_path / "notes.txt"
    made = [*paragraphs(30), "naïve <|endoftext|> 😀 here"]
    path.write_text("\n\n".join(made), encoding="utf-8")
    return texts_to_inspect(DataConfig(source=str(path)), 0, nothing), made


def look(tokenizers, texts: Texts, examples: int = 5):
    return inspect_texts(tokenizers, texts, examples=examples, on_progress=nothing)


def test_figures_are_those_counted_by_hand(texts, tiny_tokenizer):
    read, made = texts
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    found = look([("tiny", tokenizer)], read)
    one = found.tokenizers[0]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in made]
    tokens = sum(map(len, ids))
    assert one.tokens == tokens
    assert found.documents == len(made)
    assert found.bytes == sum(len(text.encode()) for text in made)
    assert found.characters == sum(map(len, made))
    assert found.words == sum(len(text.split()) for text in made)
    assert one.bytes_per_token == found.bytes / tokens
    assert one.characters_per_token == found.characters / tokens
    assert one.tokens_per_word == tokens / found.words
    special = set(tokenizer.all_special_ids)
    used = {token for row in ids for token in row}
    assert one.used == len(used - special)
    assert one.used + one.unused == len(tokenizer) - len(special)
    assert (one.special, one.unknown, one.changed) == (1, 0, 0)
    assert one.change is None
    assert one.kind == "BPE"
    assert one.special_tokens == {"<|endoftext|>": 0, "<|pad|>": 1}
    lengths = [len(long.token) for long in one.longest_tokens]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == max(len(tokenizer.decode([token])) for token in used - special)
    assert one.longest_tokens[0].count == sum(row.count(one.longest_tokens[0].id) for row in ids)


def test_what_wordpiece_loses_is_told(texts):
    read, made = texts
    kind = KINDS["wordpiece"]
    core = learn_wordpiece(
        made[:-1], vocab_size=400, min_frequency=2, special_tokens=kind.special_tokens
    )
    lossy = to_transformers(core, kind.roles, kind.single, kind.pair, model_input_names=INPUTS)
    found = look([("pieces", lossy)], read)
    one = found.tokenizers[0]
    assert one.kind == "WordPiece"
    assert one.unknown >= 2
    assert {"naïve", "😀"} <= {word.word for word in one.unknown_words}
    same = sum(
        lossy.decode(lossy(text, add_special_tokens=False)["input_ids"]) == text for text in made
    )
    assert one.changed == len(made) - same > 0
    assert one.change is not None
    assert "does not give back every text" in repr(found)


def test_the_first_change_is_told_and_a_written_unknown_is_unknown(tmp_path):
    kind = KINDS["wordpiece"]
    learn = {"vocab_size": 60, "min_frequency": 1, "special_tokens": kind.special_tokens}
    made = learn_wordpiece(["the mill"] * 3, **learn)
    tokenizer = to_transformers(made, kind.roles, kind.single, kind.pair, model_input_names=INPUTS)
    path = tmp_path / "lines.txt"
    path.write_text("the mill\nthe mill \nthe zoo\nthe [UNK]\n[MASK] mill", encoding="utf-8")
    read = texts_to_inspect(DataConfig(source=str(path), txt="line"), 0, nothing)
    (one,) = look([("pieces", tokenizer)], read).tokenizers
    assert one.changed == 2
    assert one.change == change(Document("the mill ", 1), "the mill")
    assert (one.unknown, one.special) == (2, 1)


def test_side_by_side_on_the_same_text(texts, tiny_tokenizer):
    tiny = AutoTokenizer.from_pretrained(tiny_tokenizer)
    found = look([("one", tiny), ("one", tiny)], texts[0])
    first, second = found.tokenizers
    assert first == second  # two of the same name are two columns
    assert "Words split worst by one" in repr(found)
    assert json.loads(to_json(found.to_json()))["tokenizers"][1]["tokens"] == first.tokens


def test_live_objects_are_taken_on_either_side(tiny_tokenizer, paragraphs):
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    found = nextfill.inspect_tokenizer(tokenizer, tiny_tokenizer, data=paragraphs(10), examples=0)
    live, folder = found.tokenizers
    assert live.tokens == folder.tokens
    assert live.split_words == live.longest_tokens == ()
    assert live.tokenizer == f"live:{type(tokenizer).__name__}"


def test_control_characters_do_not_reach_the_terminal(tmp_path, tiny_tokenizer):
    hostile = "evil\x1b[2Jword <script>alert(1)</script>"
    found = nextfill.inspect_tokenizer(tiny_tokenizer, data=[hostile, "plain"])
    assert "\x1b" not in repr(found)
    assert "<script>" not in found._repr_html_()
    assert not math.isnan(found.tokenizers[0].whole_words)


@pytest.mark.parametrize(
    ("text", "decoded", "shown"),
    [
        ("a" * 50 + "B" + "c" * 50, "a" * 50 + "b" + "c" * 50, ("a" * 20 + "B" + "c" * 19)),
        ("short", "shor", "short"),
        ("two\r\nlines", "two\nlines", "two\r\nlines"),
    ],
)
def test_a_change_is_shown_where_it_is(text, decoded, shown):
    assert change(Document(text, 4), decoded).text == shown
    assert change(Document(text, 4), decoded).record == 4


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
    words = WordCosts(Encoder(core, "tokenizers"), core, core.token_to_id("[UNK]"), most)
    tally = WordCounter([words], held)
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
