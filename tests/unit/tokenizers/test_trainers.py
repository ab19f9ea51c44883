"""BPE and WordPiece: what they learn, that it repeats, and training in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from nextfill.core.errors import ConfigError, DataError
from nextfill.tokenizers.trainers import (
    PREFIX,
    choose_alphabet,
    learn_bpe,
    learn_wordpiece,
    train_in_background,
)

UNKNOWN = "[UNK]"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

LEARN = """
import sys, hashlib, random
from nextfill.tokenizers.trainers import learn_bpe, learn_wordpiece
rng = random.Random(0)  # words of few letters, so that many pairs are as frequent as one another
texts = [" ".join("".join(rng.choices("abcdefgh", k=5)) for _ in range(20)) for _ in range(600)]
for learn, special in ((learn_bpe, ["<e>"]), (learn_wordpiece, ["[UNK]"])):
    made = learn(texts, vocab_size=700, min_frequency=2, special_tokens=special)
    print(hashlib.sha256(made.to_str().encode()).hexdigest())
"""


def test_the_same_whatever_the_number_of_threads():
    found = set()
    for threads in ("1", "2", "5", "5"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", LEARN]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert len(set(found.pop().split())) == 2


@pytest.fixture(scope="module")
def bpe(paragraphs):
    texts = [*paragraphs(80), "Ünïcode — 日本語 😀 नमस्ते\r\n" * 5]
    return learn_bpe(texts, vocab_size=500, min_frequency=2, special_tokens=["<e>"])


@given(
    st.text(max_size=60)
    | st.text(st.sampled_from("the river\r\n\t\x00\x1b\u200d\ufeff\u0301😀👩日एअعب "), max_size=60)
)
def test_bytes_come_back_as_they_were(bpe, text):
    ids = bpe.encode(text, add_special_tokens=False).ids
    assert bpe.decode(ids, skip_special_tokens=False) == text


def test_bpe_is_that_of_the_library(paragraphs):
    texts = paragraphs(80)
    ours = learn_bpe(texts, vocab_size=500, min_frequency=3, special_tokens=["<e>"])
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        min_frequency=3,
        special_tokens=["<e>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    plain.train_from_iterator(texts, trainer)
    assert ours.get_vocab() == plain.get_vocab()
    assert ours.get_vocab_size() < 500 or all(ours.token_to_id(byte) for byte in alphabet)


def wordpiece(texts, *, size=300, least=1, lowercase=False):
    return learn_wordpiece(
        texts,
        vocab_size=size,
        min_frequency=least,
        special_tokens=SPECIAL,
        lowercase=lowercase,
    )


@pytest.mark.parametrize("lowercase", [False, True])
def test_wordpiece_has_the_characters_of_the_library_and_as_many_pieces(paragraphs, lowercase):
    texts = [*paragraphs(80), "日本語 ¿Qué? naïve\x00 a\x1cb c\u200dd ΑΣ e\u0301"]
    ours = wordpiece(texts, size=180, least=2, lowercase=lowercase)
    plain = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    plain.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=180, min_frequency=2, special_tokens=SPECIAL, show_progress=False
    )
    plain.train_from_iterator(texts, trainer)

    def single(vocabulary):
        return {token for token in vocabulary if len(token.removeprefix(PREFIX)) == 1}

    assert single(ours.get_vocab()) == single(plain.get_vocab())
    assert ours.get_vocab_size() == plain.get_vocab_size() == 180
    # The library breaks ties by chance, so the pieces are as good and need not be the same.
    lengths = [len(one.encode(" ".join(texts)).ids) for one in (ours, plain)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.01)


def test_wordpiece_marks_what_goes_on_a_word_and_what_it_cannot_write():
    made = wordpiece(["low lowlow lowest"] * 3, size=40, least=2)
    assert made.encode("lowestlow").tokens[0] == "lowest"
    assert made.encode("lowestlow").tokens[1].startswith(PREFIX)
    assert made.encode("low zebra").tokens == ["low", "[UNK]"]
    assert made.decode(made.encode("lowest low").ids) == "lowest low"
    assert [made.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3, 4]
    assert len(made.get_added_tokens_decoder()) == len(SPECIAL)  # no piece is a special token


def test_lowercase_takes_accents_away_too():
    made = wordpiece(["Café CAFÉ"] * 3, lowercase=True)
    assert made.encode("CAFÉ").tokens == ["cafe"]


def test_rare_characters_give_way_to_pieces():
    rare = "".join(chr(0x4E00 + n) for n in range(300))
    made = wordpiece(["the river " * 5000, rare], size=120)
    characters = [token for token in made.get_vocab() if len(token.removeprefix(PREFIX)) == 1]
    assert len(characters) <= 60
    assert made.encode("the").tokens == ["the"]


def test_a_vocabulary_without_room_for_the_characters():
    with pytest.raises(
        ConfigError, match=r"too small for the 26 different characters.*give 113 or"
    ):
        wordpiece(["abcdefghijklmnopqrstuvwxyz"] * 2, size=60)
    wordpiece(["abcdefghijklmnopqrstuvwxyz"] * 2, size=113)


@given(
    st.dictionaries(st.characters(), st.integers(1, 50), max_size=12),
    st.data(),
    st.integers(0, 20),
)
def test_the_alphabet_fits_and_holds_the_most_frequent(counts, data, room):
    inside = data.draw(st.sets(st.sampled_from(sorted(counts)))) if counts else set()
    found = choose_alphabet(Counter(counts), inside, room=room)
    assert len(found.characters) + len(found.inner) <= room
    left_out = set(counts) - set(found.characters)
    if left_out and found.characters:
        most = max(counts[character] for character in left_out)
        assert all(counts[character] >= most for character in found.characters)


def wait_until(there):
    """Wait for something, however busy the machine is; give up after a while."""
    until_s = time.monotonic() + 30
    while not there() and time.monotonic() < until_s:
        time.sleep(0.01)


def test_the_texts_come_through_and_are_told_of():
    taken, told = [], []

    def train(feed):
        taken.extend(feed)
        wait_until(lambda: told and told[-1][1])  # choosing pieces

    train_in_background(train, ["one", "three"], lambda done, ended: told.append((done, ended)))
    assert taken == ["one", "three"]
    assert told[-1] == (8, True)
    assert told == sorted(told)


def test_what_goes_wrong_with_the_texts_is_raised_as_it_was():
    def texts():
        yield "one"
        raise DataError("line 2 is damaged")

    with pytest.raises(DataError, match="line 2 is damaged"):
        train_in_background(lambda feed: list(feed) and None, texts())


def test_a_timeout_of_the_training_itself_is_raised():
    def train(feed):
        raise TimeoutError("the Hub")

    with pytest.raises(TimeoutError, match="the Hub"):
        train_in_background(train, [])


def test_an_interruption_is_heard_at_once_and_ends_the_texts():
    taken = []

    def texts():
        for number in range(2000):
            time.sleep(0.01)
            taken.append(number)
            yield "text"

    began_s = time.monotonic()
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        train_in_background(lambda feed: list(feed) and None, texts())
    assert time.monotonic() - began_s < 5
    wait_until(lambda: all(t.name != "tokenizer training" for t in threading.enumerate()))
    assert len(taken) < 1000, "the training went on taking texts"
