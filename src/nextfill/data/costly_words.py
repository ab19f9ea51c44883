"""The words of a text that a tokenizer splits, and the tokens that one token for each would save.

They are counted in the ids of a store, of chosen documents alone: no text is read for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.progress import Progress
from nextfill.data.parts import Part
from nextfill.data.store.character_classes import MARK, OTHER, classes
from nextfill.data.store.tokenizer_backend import plain_backend
from nextfill.data.store.vocabulary import Vocabulary, read_vocabulary
from nextfill.data.store.word_starts import open_word_starts

Ints = NDArray[np.int64]

MOST_PIECES = 32
"""Tokens of a word at most: what is longer is no word, but a key, an address or a number."""

BATCH_TOKENS = 1 << 20
"""Tokens that are counted at once."""

_SEED = 0x6E6577  # any number: hashes are compared within one count


@dataclass(frozen=True)
class CostlyWord:
    """A word and the tokens that the text would have fewer if it were one.

    Args:
        text: The word, without the space before it.
        count: The number of times that it stands in the text.
        saved: The sum of its tokens less one.
    """

    text: str
    count: int
    saved: int


def costly_words(
    part: Part,
    tokenizer: Any,
    on_progress: Progress = lambda label, done, total: None,
) -> list[CostlyWord]:
    """Return the words of some documents that are split, those that cost most tokens first.

    Of two that cost the same, the first by name. A word has a letter, and neither space nor
    punctuation at its ends; with the space before it and without it is the same word. Words of
    scripts without spaces are left out, because no tokenizer finds them in a line.
    """
    store, backend = part.store, plain_backend(tokenizer)
    vocabulary = read_vocabulary(backend)
    starts = open_word_starts(store, tokenizer, on_progress)
    found: dict[int, tuple[int, ...]] = {}
    counts: Counter[int] = Counter()
    for ids, first in _batches(part, starts):
        for hashed, count, pieces in _split_words(ids, first):
            counts[hashed] += count
            found.setdefault(hashed, pieces)
    saved: Counter[str] = Counter()
    times: Counter[str] = Counter()
    size = _piece_counter(backend)
    for hashed, pieces in found.items():
        text = _text(vocabulary, pieces)
        word = None if text is None else _word_in(text)
        if text is None or word is None:
            continue
        space = " " if text.startswith(" ") else ""
        number = len(pieces) if text.strip() == word else size(space + word)
        if number > 1:
            saved[word] += counts[hashed] * (number - 1)
            times[word] += counts[hashed]
    words = [CostlyWord(word, times[word], number) for word, number in saved.items()]
    return sorted(words, key=lambda one: (-one.saved, one.text))


def _batches(
    part: Part, starts: tuple[NDArray[np.bool_], ...]
) -> Iterator[tuple[Ints, NDArray[np.bool_]]]:
    """Yield the ids of whole documents of a part, and where words begin in them."""
    ids: list[Ints] = []
    first: list[NDArray[np.bool_]] = []
    size = 0
    for document in part.documents.tolist():
        row = part.store.documents[document]
        shard = int(part.store.shard_of(np.int64(document)))  # type: ignore[arg-type]
        span = slice(int(row["offset"]), int(row["offset"]) + int(row["tokens"]))
        ids.append(part.store.shard_tokens[shard][span].astype(np.int64))
        begins = starts[shard][span].copy()
        begins[:1] = True
        first.append(begins)
        size += len(begins)
        if size >= BATCH_TOKENS:
            yield np.concatenate(ids), np.concatenate(first)
            ids, first, size = [], [], 0
    if size:
        yield np.concatenate(ids), np.concatenate(first)


def _split_words(ids: Ints, first: NDArray[np.bool_]) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield a hash, the count and the pieces of each different word of several tokens."""
    begin = np.flatnonzero(first)
    lengths = np.diff(begin, append=len(ids))
    place = np.arange(len(ids)) - np.repeat(begin, lengths)
    numbers = np.random.Generator(np.random.Philox(_SEED))
    factors = numbers.integers(0, 2**64 - 1, MOST_PIECES, np.uint64, endpoint=True) | np.uint64(1)
    mixed = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= factors[np.minimum(place, MOST_PIECES - 1)]
    hashes = np.add.reduceat(mixed, begin) if len(begin) else mixed[:0]
    of_several = np.flatnonzero((lengths > 1) & (lengths <= MOST_PIECES))
    different, at, counts = np.unique(hashes[of_several], return_index=True, return_counts=True)
    for hashed, word, count in zip(
        different.tolist(), of_several[at], counts.tolist(), strict=True
    ):
        start = begin[word]
        yield hashed, count, tuple(ids[start : start + lengths[word]].tolist())


def _text(vocabulary: Vocabulary, pieces: tuple[int, ...]) -> str | None:
    """Return the text of a word's pieces, None where it is no whole characters."""
    bounds, written = vocabulary.bounds, vocabulary.written
    data = b"".join(written[bounds[one] : bounds[one + 1]].tobytes() for one in pieces)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _word_in(text: str) -> str | None:
    """Return the word within a text, without punctuation at its ends; None if there is none.

    Example:
        >>> _word_in(' "tensor",'), _word_in(" 12"), _word_in("a b")
        ('tensor', None, None)
    """
    kept = [at for at, letter in enumerate(text) if letter.isalnum()]
    word = text[kept[0] : kept[-1] + 1] if kept else ""
    if not any(letter.isalpha() for letter in word) or any(letter.isspace() for letter in word):
        return None
    kinds = classes(np.array([ord(letter) for letter in word], np.uint32))
    return word if np.isin(kinds, (OTHER, MARK)).all() else None


def _piece_counter(backend: Any) -> Callable[[str], int]:
    def size(text: str) -> int:
        return len(backend.encode(text, add_special_tokens=False).ids)

    return size
