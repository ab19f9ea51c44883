"""The tables of a vocabulary, entry by entry and all at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from nextfill.data.store import vocabulary as module
from nextfill.data.store.vocabulary import Vocabulary, bytes_by_character, read_vocabulary
from tests.properties import examples

UNKNOWN = {"unk_token": "[UNK]"}


def rows(vocabulary: Vocabulary) -> Iterator[tuple[bytes, bool, bool, bool]]:
    data, bounds = vocabulary.written.tobytes(), vocabulary.bounds.tolist()
    for at in range(len(bounds) - 1):
        marks = vocabulary.opens[at], vocabulary.closes[at], vocabulary.alone[at]
        yield data[bounds[at] : bounds[at + 1]], *map(bool, marks)


def of_bytes(vocabulary: dict[str, int], **settings: str) -> Tokenizer:
    made = Tokenizer(models.BPE(vocabulary, [], **settings))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


entries = st.text(st.sampled_from(sorted(bytes_by_character())), max_size=6)


@given(
    st.dictionaries(entries, st.integers(0, 40), min_size=1),
    st.booleans(),
    st.booleans(),
)
@examples(200)
def test_all_bytes_at_once_are_those_of_each(
    vocabulary: dict[str, int], has_unknown: bool, is_plain: bool
) -> None:
    vocabulary = {one: at for at, one in {at: one for one, at in vocabulary.items()}.items()}
    settings = {"unk_token": min(vocabulary)} if has_unknown else {}
    backend = of_bytes(vocabulary if is_plain else {**vocabulary, "\u65e5": 41}, **settings)
    backend.add_special_tokens(["<|end|>"])
    found = list(rows(read_vocabulary(backend)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_all_of_bytes", lambda tokens: None)
        assert found == list(rows(read_vocabulary(backend)))


def test_ids_left_out_have_no_bytes_and_the_unknown_token_has_a_mark() -> None:
    backend = of_bytes({"a": 0, "\u0120b": 3, "[UNK]": 2, "\u0120": 5}, **UNKNOWN)
    backend.add_special_tokens(["<s>"])
    assert list(rows(read_vocabulary(backend))) == [
        (b"a", False, False, False),
        (b"", False, False, False),
        (b"?", False, False, False),
        (b" b", True, False, False),
        (b"", True, True, True),  # <s> takes the first number after as many as there are
        (b" ", True, False, False),
    ]


def test_the_number_of_an_unknown_token_is_found_in_every_model() -> None:
    words = {"a": 0, "[UNK]": 1}
    for model in (
        models.WordLevel(words, **UNKNOWN),
        models.WordPiece(words, **UNKNOWN),
        models.BPE(words, [], **UNKNOWN),
        models.Unigram([("a", -1.0), ("[UNK]", -2.0)], unk_id=1),
    ):
        found = read_vocabulary(Tokenizer(model))
        assert found.written[found.bounds[1] : found.bounds[2]].tobytes() == b"?"


def test_an_empty_vocabulary_is_empty() -> None:
    found = read_vocabulary(Tokenizer(models.BPE({}, [])))
    assert (len(found.written), found.bounds.tolist(), len(found.opens)) == (0, [0], 0)
    assert found.written.dtype == np.uint8
