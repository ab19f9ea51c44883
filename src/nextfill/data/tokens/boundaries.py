"""Find where words begin in the ids of many documents at once; `words` says what a word is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.tokens.pieces import Pieces
from nextfill.data.tokens.scripts import BREAK, JOIN, MARK, classes, decisions

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

WINDOW = 1 << 13
"""Characters that are pre-tokenized at once: long lists of words are slower, 2.9 MB/s at 1 << 18
against 4.1, and that of a book takes 50 times its text."""

LAST_WORDS = 16
"""Pre-tokens at the end of a window, which may be different ones once the text goes on."""

_NO_CHARACTER = re.compile("[\udc80-\udcff]")
_FIRST_SCRIPT_BYTE = 0xE0
"""Scripts without spaces, and the marks that they use, but for U+0300 to U+036F, begin with this
byte or a higher one."""


@dataclass(frozen=True)
class WordBoundaries:
    """Finds where words begin.

    Args:
        pieces: What the ids write.
    """

    pieces: Pieces

    def find(self, token_ids: NDArray[np.integer[Any]], lengths: Ints) -> Bools:
        """Say at which tokens a word begins; each document is seen alone.

        Args:
            token_ids: The ids of whole documents, one after the other, ``[tokens]``.
            lengths: Tokens of each document, ``[documents]``.

        Returns:
            ``[tokens] bool``.
        """
        pieces = self.pieces
        ids = token_ids.astype(np.int64)
        if pieces.whole or not len(ids):
            return np.ones(len(ids), np.bool_)
        opened = pieces.alone[ids]
        opened[1:] |= opened[:-1]  # nothing goes on across an added token
        opened[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        starts: Bools = pieces.opens[ids] | opened
        starts[1:] |= pieces.closes[ids[:-1]]
        size = pieces.bounds[ids + 1] - pieces.bounds[ids]
        written = self._written(ids, size)
        if pieces.pre_tokenizer is None and not (written >= _FIRST_SCRIPT_BYTE).any():
            return starts
        text = _Text.of(written, sections=(np.cumsum(size) - size)[opened])
        if pieces.pre_tokenizer is not None:
            starts = _by_pre_tokens(pieces.pre_tokenizer, text, size)
        _follow_scripts(starts, text, size)
        starts |= opened
        return starts

    def _written(self, ids: Ints, size: Ints) -> NDArray[np.uint8]:
        """Return the bytes that the ids write, ``[bytes]``."""
        ends = np.cumsum(size)
        shift = np.repeat(self.pieces.bounds[ids] - (ends - size), size)
        written: NDArray[np.uint8] = self.pieces.written[np.arange(len(shift)) + shift]
        return written


@dataclass(frozen=True)
class _Text:
    """What ids write, in sections that are seen alone.

    Args:
        sections: Texts; a byte that belongs to no character is half a surrogate pair.
        first: The first character of each section, ``[sections] int64``.
        points: The code points of all, ``[characters] uint32``.
        starts: The first byte of each character, ``[characters] int64``.
        num_bytes: Bytes in all.
    """

    sections: list[str]
    first: Ints
    points: NDArray[np.uint32]
    starts: Ints
    num_bytes: int

    @classmethod
    def of(cls, written: NDArray[np.uint8], sections: Ints) -> _Text:
        """Decode bytes.

        Args:
            written: The bytes, ``[bytes]``.
            sections: The first byte of each section, ascending, ``[sections]``.
        """
        data = written.tobytes()
        ends = [*sections[1:].tolist(), len(data)]
        texts = [
            data[start:end].decode("utf-8", "surrogateescape")
            for start, end in zip(sections.tolist(), ends, strict=True)
        ]
        sizes = np.array([len(text) for text in texts], np.int64)
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
        width = np.ones(len(points), np.int64)
        for larger in (0x80, 0x800, 0x10000):
            width += points >= larger
        width[(points >= 0xDC80) & (points <= 0xDCFF)] = 1
        return cls(texts, np.cumsum(sizes) - sizes, points, np.cumsum(width) - width, len(data))


def _by_pre_tokens(pre_tokenizer: Any, text: _Text, size: Ints) -> Bools:
    """Say which tokens hold the first byte of a pre-token."""
    ends: list[int] = []
    counts = []
    for section in text.sections:
        found = _pre_token_ends(pre_tokenizer, section)
        ends += found
        counts.append(len(found))
    character = np.array(ends, np.int64) + np.repeat(text.first, counts)
    byte = text.starts[character[character < len(text.starts)]]
    holding = np.searchsorted(np.cumsum(size) - size, byte, side="right") - 1
    starts = np.zeros(len(size), np.bool_)
    starts[holding] = True
    return starts


def _pre_token_ends(pre_tokenizer: Any, text: str) -> list[int]:
    """Return where pre-tokens end, in characters.

    Long texts are taken in windows. The next one begins where a pre-token did, with a letter: from
    there a regular expression finds what it would have found, also if a space is put before it.
    """
    if not text.isascii():
        text = _NO_CHARACTER.sub("\ufffd", text)
    if len(text) <= WINDOW:
        return _ends(pre_tokenizer, text)
    found: list[int] = []
    start, window = 0, WINDOW
    while len(text) - start > window:
        ends = _ends(pre_tokenizer, text[start : start + window])
        cut = len(ends) - LAST_WORDS
        while cut > 0 and not _may_begin(text, start + ends[cut - 1]):
            cut -= 1
        if cut <= 0:
            window *= 2
            continue
        found += [start + end for end in ends[:cut]]
        start, window = found[-1], WINDOW
    return found + [start + end for end in _ends(pre_tokenizer, text[start:])]


def _ends(pre_tokenizer: Any, text: str) -> list[int]:
    return [end for _, (_, end) in pre_tokenizer.pre_tokenize_str(text)]


def _may_begin(text: str, place: int) -> bool:
    return text[place + (text[place] == " ")].isalpha()


def _follow_scripts(starts: Bools, text: _Text, size: Ints) -> None:
    """Correct in place what begins in a script without spaces, character by character."""
    if not len(text.points) or int(text.points.max()) < 0x0E00:
        return
    first_byte = np.cumsum(size) - size
    is_start = np.zeros(text.num_bytes + 1, np.bool_)
    is_start[text.starts] = True
    kind = classes(text.points)
    written_on = np.arange(len(kind))
    goes_on = kind == MARK
    goes_on[text.first[text.first < len(kind)]] = False  # nothing is before it
    written_on[goes_on] = 0
    base = kind[np.maximum.accumulate(written_on)]
    decided = np.zeros(len(kind), np.int8)
    decided[1:] = decisions(base[:-1], kind[1:])
    asked = np.flatnonzero((size > 0) & is_start[first_byte])
    decision = decided[np.searchsorted(text.starts, first_byte[asked])]
    starts[asked[decision == BREAK]] = True
    starts[asked[decision == JOIN]] = False
