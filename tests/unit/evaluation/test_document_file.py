"""What each document costs, as lines of a file, and the words that its tokens spell."""

from __future__ import annotations

import json
import resource
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from nextfill.core.errors import NextfillError
from nextfill.evaluation.document_file import word_splitter, word_texts, write_documents
from nextfill.evaluation.scores import DocumentScores, ScoredGroup, TokenScores

UNKNOWN = "[UNK]"
TEXT = "It's a small world, isn't it? (We are 3 of 12.)"


def group(*documents: int) -> ScoredGroup:
    """Return scores of documents of three rows each, which cost 0, 1 and 2 nats."""
    size, numbers = len(documents), np.array(documents)
    sizes = [np.full(size, of) for of in (3, 10, 9, 2, 1)]
    scores = DocumentScores(numbers, np.full(size, 3.0), *sizes)
    nats = np.tile(np.array([0, 1, 2], np.float32), size)
    places = np.tile(np.arange(3), size)
    return ScoredGroup(scores, TokenScores(np.repeat(numbers, 3), places, nats, nats == 0))


STORE = SimpleNamespace(documents={"record": np.array([0, 2, 2, 7])}, record_name=lambda record: "")
LINE = {"nats": 3.0, "targets": 3, "bytes": 10, "characters": 9, "words": 2}


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def test_a_line_for_each_document_as_soon_as_its_group_is_done(tmp_path):
    path = tmp_path / "scores.jsonl"
    groups = [group(0, 2), group(3)]
    made = write_documents(path, STORE, iter(groups))
    assert next(made) is groups[0]
    assert read(path) == [{"record": 0, **LINE}, {"record": 2, **LINE}]
    assert [*made] == groups[1:]
    assert read(path)[2:] == [{"record": 7, **LINE}]


def test_words_are_given_the_tokens_of_their_document(tmp_path):
    path = tmp_path / "scores.jsonl"

    def words(document, nats):
        return [{"of": document, "nats": nats.tolist()}]

    list(write_documents(path, STORE, iter([group(1, 3)]), words))
    assert [line["words_scored"] for line in read(path)] == [
        [{"of": 1, "nats": [0.0, 1.0, 2.0]}],
        [{"of": 3, "nats": [0.0, 1.0, 2.0]}],
    ]


def test_a_cost_that_is_no_number_is_null(tmp_path):
    path = tmp_path / "scores.jsonl"
    broken = group(0)
    broken.scores.nats[0] = np.nan
    list(write_documents(path, STORE, iter([broken])))
    assert read(path)[0]["nats"] is None


def test_what_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text("precious")
    with pytest.raises(NextfillError, match="File exists"):
        list(write_documents(path, STORE, iter([group(0)])))
    assert path.read_text() == "precious"


def test_an_interruption_keeps_and_tells_what_is_there(tmp_path):
    def interrupted(count):
        yield from [group(0, 1), group(2)][:count]
        raise KeyboardInterrupt

    path = tmp_path / "scores.jsonl"
    with pytest.raises(KeyboardInterrupt, match="holds 3 documents"):
        list(write_documents(path, STORE, interrupted(2)))
    assert len(read(path)) == 3
    with pytest.raises(KeyboardInterrupt):
        list(write_documents(tmp_path / "none.jsonl", STORE, interrupted(0)))
    assert not (tmp_path / "none.jsonl").exists()


def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path):
    path = tmp_path / "scores.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))  # the second line breaks off
    try:
        with pytest.raises(NextfillError, match=r"too large\. It holds 1 document\."):
            list(write_documents(path, STORE, iter([group(0), group(1)])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read(path) == [{"record": 0, **LINE}]
    assert path.read_text("utf-8").endswith("}\n")


def test_words_take_their_tokens_from_the_document_s_place_in_its_shard():
    pieces = ["?", "I", "t", "'s", " so"]
    ids = np.array([1, 2, 3, 4])
    store = SimpleNamespace(
        documents=[{"offset": 0}, {"offset": 2}],
        shard_of=lambda numbers: np.zeros(len(numbers), int),
        tokens=lambda document: ids,
    )
    starts = np.array([True, True, False, False, True, True])  # the document's first is not marked
    words = word_splitter(store, (starts,), lambda ids: "".join(pieces[i] for i in ids))
    assert words(1, np.array([1.0, 2.0, 4.0, 8.0])) == [
        {"word": "It", "nats": 3.0, "tokens": 2},
        {"word": "'s", "nats": 4.0, "tokens": 1},
        {"word": " so", "nats": 8.0, "tokens": 1},
    ]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=80, special_tokens=[UNKNOWN])


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(
        vocab_size=60, special_tokens=[UNKNOWN], unk_token=UNKNOWN
    )


@pytest.fixture(scope="module", params=[byte_level, wordpiece, unigram])
def tokenizer(request):
    """One of each kind of decoder."""
    made, trainer = request.param()
    trainer.show_progress = False
    made.train_from_iterator([TEXT] * 3, trainer)
    return made


def words_by_the_library(tokenizer, text):
    """Return a text's words, and what they joined have to be."""

    def decode(ids):
        return tokenizer.decode(ids, skip_special_tokens=False)

    encoding = tokenizer.encode(text)
    number = encoding.word_ids
    first = [at for at in range(len(number)) if at == 0 or number[at] != number[at - 1]]
    words = word_texts(encoding.ids, first, decode) if first else []
    assert len(words) == len(first)
    return words, decode(encoding.ids)


@given(text=st.one_of(st.text(alphabet="it's a wé?🙂世 \n"), st.text()))
def test_words_joined_give_the_text_that_the_tokens_spell(tokenizer, text):
    words, whole = words_by_the_library(tokenizer, text)
    assert "".join(words) == whole


def test_words_are_what_the_tokenizer_calls_them(tokenizer):
    words, _ = words_by_the_library(tokenizer, "It's a world, it is")
    assert words in (
        ["It", "'s", " a", " world", ",", " it", " is"],
        ["It", " '", " s", " a", " world", ",", " it", " is"],
        ["It's", " a", " world,", " it", " is"],
    )


def test_a_decoder_that_looks_back_still_gives_the_text():
    """Here a mark takes away the space before it."""

    def decode(ids):
        return " ".join("ab."[i] for i in ids).replace(" .", ".")

    assert word_texts([0, 1, 2, 0], [0, 1, 2, 3], decode) == ["a", " b", ".", " a"]

    def upside_down(ids):
        return "".join("ab."[i] for i in reversed(ids))

    assert "".join(word_texts([0, 1, 2, 0], [0, 1, 2, 3], upside_down)) == "a.ba"


@given(text=st.text(alphabet="aé世🙂 ", max_size=60))
def test_tokens_alone_give_the_text_and_a_character_to_the_first_of_its_tokens(tokenizer, text):
    def decode(ids):
        return tokenizer.decode(ids, skip_special_tokens=False)

    ids = tokenizer.encode(text).ids
    pieces = word_texts(ids, range(len(ids)), decode) if ids else []
    assert "".join(pieces) == decode(ids)
    for at, piece in enumerate(pieces):
        for character in piece:  # no half of one: it is in the whole text as well
            assert character != "\ufffd" or character in decode(ids), at


def test_characters_of_several_tokens_cost_no_more_than_time_in_proportion():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {c: n for n, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    decoded = 0

    def decode(ids):
        nonlocal decoded
        decoded += len(ids)
        return made.decode(ids)

    counts = []
    for times in (100, 800):
        ids = made.encode("a 世界 🙂 " * times).ids
        decoded = 0
        pieces = word_texts(ids, range(len(ids)), decode)
        assert pieces[:9] == ["a", " ", "世", "", "", "界", "", "", " "]
        counts.append(decoded / len(ids))
    assert counts[1] < 1.1 * counts[0]
