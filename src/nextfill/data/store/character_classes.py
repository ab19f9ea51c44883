"""Classes of characters, and the word boundaries between them in scripts without spaces."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

OTHER, SPACE, MARK, IDEOGRAPH, HIRAGANA, KATAKANA, LONG = range(7)
"""Classes of characters: ``IDEOGRAPH`` for letters of all scripts without spaces but the two kana,
``MARK`` for a mark on the character before it, ``LONG`` for the long vowel's mark in katakana."""

BREAK, FOLLOW, JOIN = 1, 0, -1
"""Decisions: a word begins here; the tokenizer decides; no word begins here."""

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
    result: NDArray[np.uint8] = _table()[np.minimum(code_points, _LAST)]
    return result


def class_of(character: str) -> int:
    """Return the class of one character, without the table of all that `classes` makes first.

    Example:
        >>> class_of(" "), class_of("\u65e5")
        (1, 3)
    """
    point = min(ord(character), _LAST)
    listed = ((MARK, _MARKS), (LONG, _LONG), (KATAKANA, _KATAKANA), (HIRAGANA, _HIRAGANA))
    if point < 0x3001 and character.isspace():
        return SPACE
    for number, ranges in listed:
        if any(low <= point <= high for low, high in ranges):
            return number
    if any(low <= point <= high for low, high in _IDEOGRAPHS):
        return IDEOGRAPH if point >= 0x20000 else _of_category(character)
    return OTHER


def _of_category(character: str) -> int:
    """Return the class of a character of a script without spaces."""
    category = unicodedata.category(character)
    if category.startswith("M"):
        return MARK
    # Digits and punctuation of these scripts are no letters: the tokenizer decides.
    return OTHER if category.startswith(_NO_LETTERS) else IDEOGRAPH


def decisions(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Decide whether a word begins between two characters.

    Args:
        before: Class of the first, for a mark that of the character below it, ``[n]``.
        after: Class of the second, ``[n]``.

    Returns:
        ``BREAK``, ``FOLLOW`` or ``JOIN``, ``[n] int8``.
    """
    return _rules()[before, after]


@cache
def _table() -> NDArray[np.uint8]:
    """Make the table of every code point's class: a megabyte, in some 50 ms."""
    table = np.zeros(_LAST + 1, np.uint8)
    for low, high in _IDEOGRAPHS:
        for point in range(low, min(high, 0x1FFFF) + 1):
            table[point] = _of_category(chr(point))
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
    """Make the table of decisions, by the classes before and after."""
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
