"""Word boundaries in the ids of many documents at once, in scripts without spaces as well."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store.vocabulary import Pieces

OTHER, SPACE, MARK, IDEOGRAPH, HIRAGANA, KATAKANA, LONG = range(7)
"""Classes of characters; ``IDEOGRAPH`` stands for the letters of all scripts without spaces but
the two kana, ``MARK`` for what is written on the character before it, ``LONG`` for the mark of a
long vowel in katakana."""

BREAK, FOLLOW, JOIN = 1, 0, -1
"""A word begins here; the tokenizer decides; none begins here."""

_IDEOGRAPHS = (
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF)),  # Thai and Lao, Tibetan
    *((0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0x116D0, 0x116FF)),  # Burmese
    *((0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xAA80, 0xAADF)),  # Khmer, Tai
    *((0x1B00, 0x1B7F), (0xA980, 0xA9DF), (0x11700, 0x1174F)),  # Balinese, Javanese, Ahom
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x16FE0, 0x18DFF)),  # Han, Tangut
    *((0x1B170, 0x1B2FF), (0x20000, 0x3FFFF)),  # Nushu, Han
    *((0x3100, 0x312F), (0x31A0, 0x31BF), (0xA000, 0xA48F)),  # Bopomofo, Yi
)
_HIRAGANA = ((0x3041, 0x3096), (0x309D, 0x309F), (0x1B001, 0x1B11F), (0x1B132, 0x1B152))
_KATAKANA = (
    *((0x30A1, 0x30FA), (0x30FD, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF6F), (0xFF71, 0xFF9D)),
    *((0x1AFF0, 0x1B000), (0x1B120, 0x1B122), (0x1B155, 0x1B155), (0x1B164, 0x1B167)),
)
_LONG = ((0x30FC, 0x30FC), (0xFF70, 0xFF70))
_MARKS = (
    *((0x0300, 0x036F), (0x3099, 0x309A), (0xFF9E, 0xFF9F)),
    *((0x200C, 0x200D), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF)),  # joiners, variants
)
_NO_LETTERS = ("Nd", "No", "P", "Z", "Cf")
_LAST = 0xE01F0


def classes(code_points: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    r"""Return the class of each character.

    Args:
        code_points: The characters, ``[n]``.

    Returns:
        ``[n] uint8``.

    Example:
        >>> text = "a \u65e5\u3042\u30ab\u30fc\u3099"
        >>> classes(np.array([ord(character) for character in text], np.uint32)).tolist()
        [0, 1, 3, 4, 5, 6, 2]
    """
    found: NDArray[np.uint8] = _table()[np.minimum(code_points, _LAST)]
    return found


def decisions(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Say whether a word begins between two characters.

    Args:
        before: Class of the one before, which for a mark is that of the character that it is
            written on, ``[n]``.
        after: Class of the one after, ``[n]``.

    Returns:
        ``BREAK``, ``FOLLOW`` or ``JOIN``, ``[n] int8``.
    """
    return _rules()[before, after]


@cache
def _table() -> NDArray[np.uint8]:
    """Return the class of every code point; a megabyte, made in some 50 ms."""
    table = np.zeros(_LAST + 1, np.uint8)
    for low, high in _IDEOGRAPHS:
        # Digits and punctuation of these scripts are no letters: the tokenizer decides.
        for point in range(low, min(high, 0x1FFFF) + 1):
            category = unicodedata.category(chr(point))
            if category.startswith("M"):
                table[point] = MARK
            elif not category.startswith(_NO_LETTERS):
                table[point] = IDEOGRAPH
        table[max(low, 0x20000) : high + 1] = IDEOGRAPH
    listed = {HIRAGANA: _HIRAGANA, KATAKANA: _KATAKANA, LONG: _LONG, MARK: _MARKS}
    for number, ranges in listed.items():
        for low, high in ranges:
            table[low : high + 1] = number
    for point in range(0x3001):
        if chr(point).isspace():
            table[point] = SPACE
    return table


@cache
def _rules() -> NDArray[np.int8]:
    rules = np.full((7, 7), FOLLOW, np.int8)
    letters = [IDEOGRAPH, HIRAGANA, KATAKANA, LONG]
    rules[letters] = BREAK
    rules[:, letters] = BREAK
    rules[SPACE, letters] = FOLLOW  # the space that a tokenizer writes before a word
    rules[letters, SPACE] = FOLLOW
    rules[letters, MARK] = JOIN
    rules[[[KATAKANA], [LONG]], [KATAKANA, LONG]] = JOIN
    rules[HIRAGANA, LONG] = JOIN
    return rules


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
        """Decode bytes."""
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
