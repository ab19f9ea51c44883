"""How a tokenizer splits words: counted word by word, whatever the size of the text."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store.encoder import Encoder
from nextfill.data.store.vocabulary import bytes_by_character
from nextfill.tokenizers.inspection import SplitWord, UnknownWord

# What stands between white space and punctuation; an apostrophe within belongs to the word.
_PUNCTUATION = r"!-&(-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2018\u201a-\u2027\u3001-\u303f\uff01-\uff0f"
WORD = re.compile(rf"[^\s'\u2019{_PUNCTUATION}](?:[^\s{_PUNCTUATION}]*[^\s'\u2019{_PUNCTUATION}])?")

MOST_WORDS = 1 << 20
"""Different words that are held in memory at once."""

_BEFORE = "a"
"""Stands before a word while it is encoded, because words do within a text."""


class Words:
    """Counts the words of a text, and what each costs.

    Args:
        encoder: Encodes words.
        backend: The same tokenizer, to name its tokens.
        unknown: Id of its unknown token; None if it has none.
        most: Examples to keep.
    """

    def __init__(self, encoder: Encoder, backend: Any, unknown: int | None, most: int) -> None:
        self._encoder = encoder
        self._backend = backend
        self._unknown = unknown
        self._most = most
        self._before = encoder.encode([_BEFORE])[0]
        self._split: list[tuple[int, str, int, tuple[int, ...]]] = []
        self._not_known: Counter[str] = Counter()
        self.num_words = self.num_whole = 0

    def add(self, counts: Counter[str]) -> None:
        """Take words with their counts; a word may come again, in later text."""
        words = list(counts)
        ids, lengths = self._encoder.encode([f"{_BEFORE} {word}" for word in words])
        ends = np.cumsum(lengths)
        worst = []
        for word, start, end in zip(words, (ends - lengths).tolist(), ends.tolist(), strict=True):
            pieces = self._without_before(ids[start:end], word)
            count = counts[word]
            not_known = self._unknown is not None and bool((pieces == self._unknown).any())
            self.num_words += count
            self.num_whole += count * (len(pieces) == 1 and not not_known)
            if len(pieces) > 1:
                worst.append((count * (len(pieces) - 1), word, count, tuple(pieces.tolist())))
            if not_known:
                self._not_known[word] += count
        if len(self._not_known) > MOST_WORDS:
            self._not_known = Counter(dict(self._not_known.most_common(MOST_WORDS // 2)))
        self._split = heapq.nlargest(self._most, self._split + worst, key=_cost_first)

    def _without_before(self, ids: NDArray[np.unsignedinteger], word: str) -> NDArray[Any]:
        """Take off what stands before the word; a tokenizer that joins both gets the word alone."""
        size = len(self._before)
        if np.array_equal(ids[:size], self._before):
            return ids[size:]
        return self._encoder.encode([word])[0]

    def split_words(self) -> tuple[SplitWord, ...]:
        """Return the words that cost most tokens beyond one, the worst first."""
        return tuple(
            SplitWord(word, count, tuple(piece_text(self._backend, i) for i in pieces), cost)
            for cost, word, count, pieces in self._split
        )

    def unknown_words(self) -> tuple[UnknownWord, ...]:
        """Return the most frequent words that hold an unknown token."""
        ordered = sorted(self._not_known.items(), key=lambda item: (-item[1], item[0]))
        return tuple(UnknownWord(word, count) for word, count in ordered[: self._most])


class Tally:
    """Counts words across batches, and hands them on before they fill the memory.

    Args:
        takers: Are given each word once, with its count; rare words of a huge text again and again.
        most: Different words held at once.
    """

    def __init__(self, takers: Sequence[Words], most: int = MOST_WORDS) -> None:
        self._takers = takers
        self._most = most
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Count the words of a text."""
        self._counts.update(WORD.findall(text))
        if len(self._counts) > self._most:  # the frequent half goes on being counted
            kept = Counter(dict(self._counts.most_common(self._most // 2)))
            self._hand_on(self._counts - kept)
            self._counts = kept

    def end(self) -> None:
        """Hand on the rest."""
        self._hand_on(self._counts)
        self._counts = Counter()

    def _hand_on(self, counts: Counter[str]) -> None:
        for taker in self._takers:
            taker.add(counts)


def piece_text(backend: Any, token: int) -> str:
    r"""Return a token as text, with the bytes of a part of a character as \xe2."""
    text = str(backend.decode([token], skip_special_tokens=False))
    if text and "\ufffd" not in text:
        return text
    entry = str(backend.id_to_token(token))
    of_bytes = bytes_by_character()
    if not all(character in of_bytes for character in entry):
        return entry
    return bytes(of_bytes[character] for character in entry).decode(errors="backslashreplace")


def _cost_first(item: tuple[int, str, int, tuple[int, ...]]) -> tuple[int, list[int]]:
    return item[0], [-ord(character) for character in item[1]]  # ties in the words' order
