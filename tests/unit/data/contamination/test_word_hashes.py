"""Two texts that differ in nothing but how they are written share their words."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.store.tokenizer_backend import plain_backend
from nextfill.data.store.vocabulary import read_vocabulary

BERT_UNKNOWN, UNKNOWN = "[UNK]", "<unk>"
TEXT = (
    "The river carries old stones past seven quiet mills, while autumn light falls on wet slate "
    "roofs; and somebody counts barrels of cider near an open gate, where geese argue about rain. "
    'He said: "It isn\'t mine!" Nobody knew (or cared) what 1,234 of them had meant.'
)


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(made, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))


def word_piece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token=BERT_UNKNOWN))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return trained(made, trainers.WordPieceTrainer(vocab_size=500, special_tokens=[BERT_UNKNOWN]))


def metaspace() -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return trained(made, trainers.BpeTrainer(vocab_size=500, special_tokens=[UNKNOWN]))


def trained(made: Tokenizer, trainer: object) -> Tokenizer:
    trainer.show_progress = False
    made.train_from_iterator([TEXT, TEXT.upper(), TEXT.lower()] * 3, trainer)
    return made


@pytest.fixture(scope="module", params=[byte_level, word_piece, metaspace])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return request.param()


def numbers(tokenizer: Tokenizer, *texts: str) -> list[list[int]]:
    """The words of texts as numbers."""
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    lengths = np.array([len(one) for one in ids], np.int64)
    folded = FoldedVocabulary.of(read_vocabulary(plain_backend(tokenizer)))
    found = folded.words(np.array([i for one in ids for i in one], np.int64), lengths)
    return [found.number[found.document == at].tolist() for at in range(len(texts))]


WRITTEN = {
    "lower case": str.lower,
    "capitals": str.upper,
    "two spaces": lambda text: text.replace(" ", "  "),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "lines of 60": lambda text: "\n".join(textwrap.wrap(text, 60)),
    "lines of 45, carriage returns": lambda text: "\r\n".join(textwrap.wrap(text, 45)),
    "punctuation apart": lambda text: text.replace(",", " ,").replace(".", " ."),
    "without commas": lambda text: text.replace(", ", " "),
    "around it": lambda text: f"  \n{text}\n\n",
}


@pytest.mark.parametrize("written", WRITTEN)
def test_how_a_text_is_written_changes_no_word(tokenizer: Tokenizer, written: str) -> None:
    other = WRITTEN[written](TEXT)
    if isinstance(tokenizer.pre_tokenizer, pre_tokenizers.Metaspace):
        for space in ("\r\n", "\n", "\u00a0"):  # not in this vocabulary, and so unknown words
            other = other.replace(space, " ")
    first, second = numbers(tokenizer, TEXT, other)
    plain = "".join(c if c.isalnum() or c.isspace() else " " for c in TEXT.replace("1,2", "1 2"))
    assert len(first) == len(plain.split())
    assert first == second


def test_accents_and_scripts_without_spaces() -> None:
    made = byte_level()
    composed = "\u00c9t\u00e9 caf\u00e9"
    first, second, plain = numbers(made, composed, "e\u0301te\u0301 cafe\u0301", "ete cafe")
    assert len(first) == 2
    assert second == plain
    first, second = numbers(
        made, "\u65e5\u672c\u8a9e\u306e\u6587", "\u65e5\u672c\u8a9e\u306e\u66f8"
    )
    assert len(first) == len(second) == 5  # a character is a word
    assert first[:4] == second[:4]
    assert first[4] != second[4]


@given(st.lists(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Zs", "Po"])), max_size=4))
def test_words_are_those_of_the_text(texts: list[str]) -> None:
    """By hand: runs of letters and digits of the ASCII part, in lower case."""
    texts = [text.encode("ascii", "ignore").decode() for text in texts]
    made = byte_level_cached()
    expected = [
        "".join(c if c.isalnum() else " " for c in text.casefold()).split() for text in texts
    ]
    found = numbers(made, *texts)
    assert [len(one) for one in found] == [len(one) for one in expected]
    known: dict[str, int] = {}
    for one, same in zip(found, expected, strict=True):
        for number, word in zip(one, same, strict=True):
            assert known.setdefault(word, number) == number
    assert len(set(known.values())) == len(known)


_MADE: list[Tokenizer] = []


def byte_level_cached() -> Tokenizer:
    if not _MADE:
        _MADE.append(byte_level())
    return _MADE[0]


def test_an_accent_apart_is_no_letter() -> None:
    assert unicodedata.category("\u0301") == "Mn"
    first, second = numbers(byte_level_cached(), "a\u0301", "a")
    assert first == second


def test_tokens_of_several_words_and_none() -> None:
    """A token may write words and parts of words, whose neighbours go on from it."""
    pieces = ["Wo", "rd-by-wo", "rd", " ", "\u65e5\u672c", "\u0301", "a.b", "c", "", "!", "?x"]
    made = Tokenizer(models.WordLevel({piece: at for at, piece in enumerate(pieces)}, "!"))
    vocabulary = read_vocabulary(plain_backend(made))
    # As if they were bytes, and not words by themselves.
    open_ = np.zeros(len(pieces), np.bool_)
    folded = FoldedVocabulary.of(replace(vocabulary, opens=open_, alone=open_, closes=open_))
    ids = [0, 1, 2, 3, 0, 5, 8, 2, 4, 7, 6, 7, 9, 2, 10, 7]
    text = "".join(pieces[at] for at in ids)
    assert text == "Word-by-word Wo\u0301rd\u65e5\u672cca.bc!rd?xc"
    plain = ["word", "by", "word", "word", "\u65e5", "\u672c", "ca", "bc", "rd", "xc"]
    found = folded.words(np.array([*ids, *ids], np.int64), np.array([len(ids), 0, len(ids)]))
    assert found.per_document.tolist() == [len(plain), 0, len(plain)]
    known = dict(zip(plain, found.number.tolist(), strict=False))
    assert found.number.tolist() == [known[word] for word in [*plain, *plain]]
    assert len(set(known.values())) == len(known)
