"""The encoder gives the ids of tokenizers, with gigatoken wherever that is exact."""

from __future__ import annotations

import gzip
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

import nextfill
from nextfill.core.errors import DataError
from nextfill.data.store import encoder as tokenize
from nextfill.data.store.encoder import Encoder, EngineMismatchError
from tests.properties import examples

TEXTS = [
    "The quick brown fox",
    "jumps over the lazy dog.",
    "",
    " \n\n ",
    "naïve café 你好 🎉",
    "zz z",
]


@pytest.fixture(autouse=True, scope="module", params=["in batches", "one by one"])
def _small(request: pytest.FixtureRequest) -> Iterator[None]:
    """Few texts are encoded one by one, many in a batch."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in batches":
            for limit in ("SMALL_CHARACTERS", "ALONE_DOCUMENTS", "ALONE_CHARACTERS"):
                patch.setattr(tokenize, limit, 0)
        yield


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.add_special_tokens(["<|end|>", AddedToken("<mask>", lstrip=True, special=True)])
    # gigatoken takes this one apart from its neighbours where tokenizers does not.
    tokenizer.add_tokens([AddedToken("zz", single_word=True, normalized=False)])
    return tokenizer


BPE = byte_level_bpe()
ENCODER = Encoder(BPE)


def assert_equal_to_tokenizers(encoder: Encoder, backend: Tokenizer, texts: list[str]) -> None:
    ids, lengths = encoder.encode(texts)
    expected = [e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=False)]
    assert lengths.tolist() == [len(row) for row in expected]
    assert [row.tolist() for row in np.split(ids, np.cumsum(lengths)[:-1])] == expected


@given(
    st.lists(
        st.lists(
            st.sampled_from(["<|end|>", "<mask>", "zz", " ", "a", "\n", "fox", "é", "\r\n\t", "\0"])
            | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        ).map("".join),
        min_size=1,
        max_size=8,
    )
)
@examples(150)
def test_ids_equal_tokenizers(texts: list[str]) -> None:
    encoder = Encoder(BPE, engine="tokenizers")
    encoder.engine = "gigatoken"
    encoder._gigatoken = ENCODER._gigatoken
    encoder._documents = 1  # the samples are out of the way: every document counts here
    ids, lengths = encoder._encode_fast(texts)
    expected = [e.ids for e in BPE.encode_batch_fast(texts, add_special_tokens=False)]
    assert ids.tolist() == list(chain(*expected))
    assert lengths.tolist() == [len(row) for row in expected]


def test_gigatoken_alone_would_differ() -> None:
    # If this fails, gigatoken has learnt single_word and the special route may go.
    ids, _ = ENCODER._with_gigatoken(["azzb"])
    assert ids.tolist() != BPE.encode("azzb", add_special_tokens=False).ids


def test_engine_is_gigatoken_and_types() -> None:
    encoder = Encoder(BPE)
    ids, lengths = encoder.encode(TEXTS)
    assert encoder.engine == "gigatoken"
    assert (ids.dtype, lengths.dtype) == (np.uint16, np.int64)
    none, no_lengths = encoder.encode([])
    assert (len(none), len(no_lengths)) == (0, 0)
    assert_equal_to_tokenizers(encoder, BPE, ["", ""])


def test_large_vocabulary_is_uint32() -> None:
    def of_size(size: int) -> Tokenizer:
        return Tokenizer(models.WordLevel({str(i): i for i in range(size)}, "0"))

    assert Encoder(of_size(1 << 16), engine="tokenizers").dtype == np.uint16
    large = Encoder(of_size((1 << 16) + 1), engine="tokenizers")
    assert large.encode(["65536"])[0].tolist() == [65536]


@pytest.mark.parametrize(("largest", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
@pytest.mark.parametrize("is_added", [False, True])
def test_ids_that_are_left_out_count_for_the_type(
    largest: int, dtype: type, is_added: bool
) -> None:
    """gigatoken says how many ids there are, and its number is that of all, added ones too."""
    description = json.loads(BPE.to_str())
    if is_added:
        vocabulary, [added, *_] = description["model"]["vocab"], description["added_tokens"]
        vocabulary |= {f"<{number}>": number for number in range(len(vocabulary), largest)}
        description["added_tokens"] = [{**added, "id": largest, "content": "<|last|>"}]
    else:
        description["model"]["vocab"]["~~"] = largest
    backend = Tokenizer.from_str(json.dumps(description))
    assert max(backend.get_vocab().values()) == largest
    for engine in ("gigatoken", "tokenizers"):
        encoder = Encoder(backend, engine)
        assert encoder.engine == engine
        assert encoder.dtype == dtype


def test_unsupported_tokenizer_falls_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    backend = Tokenizer(models.WordLevel({"a": 0, "?": 1}, "?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with caplog.at_level(logging.WARNING, "nextfill"):
        encoder = Encoder(backend)
    assert encoder.engine == "tokenizers"
    assert "WordLevel" in caplog.text
    assert_equal_to_tokenizers(encoder, backend, ["a b a", ""])


class WrongAfter:
    """Stands in for gigatoken and goes wrong after some documents."""

    def __init__(self, documents: int) -> None:
        self.left = documents

    def encode_batch(self, texts: list[str]) -> object:
        rows = ENCODER._gigatoken.encode_batch(texts)
        self.left -= len(texts)
        return rows if self.left >= 0 else rows + 1

    def encode(self, text: str) -> object:
        ids = ENCODER._gigatoken.encode(text)
        self.left -= 1
        return ids if self.left >= 0 else ids + 1


def test_mismatch_in_the_first_sample_falls_back(caplog: pytest.LogCaptureFixture) -> None:
    encoder = Encoder(BPE)
    encoder._gigatoken = WrongAfter(0)
    with caplog.at_level(logging.WARNING, "nextfill"):
        assert_equal_to_tokenizers(encoder, BPE, TEXTS)
    assert encoder.engine == "tokenizers"
    assert "other ids" in caplog.text


def test_mismatch_later_on_is_an_error() -> None:
    encoder = Encoder(BPE)
    encoder._gigatoken = WrongAfter(700)
    encoder.encode(["fox"] * 500)  # besides the 200 of the sample
    with pytest.raises(EngineMismatchError, match="after 500 documents"):
        encoder.encode(["fox"] * 1000)


@pytest.mark.parametrize("batch", [1, 100, 1024, 1500])
def test_later_samples_come_once_in_1024_documents(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(BPE)
    encoder.encode(["fox"])
    encoder._documents = 1024
    seen = []

    def remember(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        seen.extend(texts)
        return ENCODER._encode_slowly(texts)

    monkeypatch.setattr(encoder, "_encode_slowly", remember)
    numbers = [str(number) for number in range(1024, 4096)]
    for first in range(0, len(numbers), batch):
        encoder.encode(numbers[first : first + batch])
    assert seen == ["1024", "2048", "3072"]


def test_truncation_and_padding_left_in_the_backend_do_not_matter() -> None:
    left = Tokenizer.from_str(BPE.to_str())
    left.enable_truncation(2)
    left.enable_padding(length=50)
    encoder = Encoder(left, engine="tokenizers")
    assert encoder.fingerprint == Encoder(BPE).fingerprint
    assert encoder.encode(TEXTS)[1].tolist() == ENCODER.encode(TEXTS)[1].tolist()
    assert left.truncation is not None, "the caller's tokenizer was changed"


def test_fingerprint_tells_tokenizers_apart() -> None:
    other = Tokenizer.from_str(BPE.to_str())
    other.add_tokens(["fox fox"])
    assert Encoder(other).fingerprint != Encoder(BPE).fingerprint


def test_split_special_tokens_is_an_input_of_the_ids() -> None:
    class Wrapped:
        """Stands in for a transformers tokenizer, whose calls leave the flag in the backend."""

        def __init__(self, split: bool, left: bool) -> None:
            self.backend_tokenizer = Tokenizer.from_str(BPE.to_str())
            self.backend_tokenizer.encode_special_tokens = left
            self.split_special_tokens = split

    for engine in ("gigatoken", "tokenizers"):
        plain, split = (
            Encoder(Wrapped(split=split, left=not split), engine) for split in (False, True)
        )
        assert plain.encode(["a<|end|>"])[1].tolist() == [2]
        assert split.encode(["a<|end|>"])[1].tolist() == [8]
        assert plain.fingerprint == ENCODER.fingerprint != split.fingerprint
        assert Encoder(split._backend, engine).fingerprint == split.fingerprint


def test_gigatoken_starts_afresh_when_its_cache_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize, "CACHE_LEAST", 100)
    monkeypatch.setattr(tokenize, "CACHE_BYTES", -1)
    encoder = Encoder(BPE)
    first = encoder._gigatoken
    encoder.encode(["fox"])
    assert encoder._gigatoken is first
    encoder.encode(TEXTS * 10)
    assert encoder._gigatoken is not first
    assert_equal_to_tokenizers(encoder, BPE, TEXTS)


@pytest.mark.parametrize("engine", ["gigatoken", "tokenizers"])
def test_half_a_character_pair_is_named(engine: tokenize.Engine) -> None:
    with pytest.raises(DataError, match=r"ud800.*near.*abc"):
        Encoder(BPE, engine=engine).encode(["fine", "abc\ud800"])


def test_slow_tokenizer_is_refused() -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        Encoder(object())


DATA = os.environ.get("NEXTFILL_TEST_DATA")


@pytest.mark.skipif(not DATA, reason="NEXTFILL_TEST_DATA names no folder with tokenizers and text")
@pytest.mark.parametrize("name", ["gpt2", pytest.param("roberta", marks=pytest.mark.trial)])
def test_every_document_of_eli5_category(name: str) -> None:
    folder = Path(DATA or "")
    with gzip.open(folder / "eli5_category" / "eli5-category-test.json.gz") as file:
        texts = [" ".join(record["answers"]["text"]) for record in json.load(file)]
    backend = Tokenizer.from_file(str(folder / "tokenizers" / name / "tokenizer.json"))
    encoder = Encoder(backend)
    assert_equal_to_tokenizers(encoder, backend, texts)
    assert encoder.engine == "gigatoken"


def test_awkward_is_imported_once_there_is_much_to_encode() -> None:
    """Its import takes longer than 50,000 texts do one by one, or 64 MB on one processor."""
    file = Path(nextfill.__file__).parent / "bundled" / "base-causal" / "tokenizer.json"
    program = (
        "import sys; from tokenizers import Tokenizer\n"
        "from nextfill.data.store.encoder import Encoder\n"
        "encoder = Encoder(Tokenizer.from_file(sys.argv[1]))\n"
        "long = ['a word ' * 100] * 1000\n"
        "for texts in (['a', 'b'], long, ['a'] * 50_000, long):\n"
        "    _, lengths = encoder.encode(texts)\n"
        "    print(encoder.engine, len(lengths), 'awkward' in sys.modules)\n"
    )
    told = subprocess.check_output([sys.executable, "-c", program, str(file)], text=True)
    assert told.split("\n") == [
        "gigatoken 2 False",
        "gigatoken 1000 False",
        "gigatoken 50000 False",  # of few characters
        "gigatoken 1000 True",
        "",
    ]
