"""The letters of a token as they are compared: in lower case, without accents and punctuation."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

from nextfill.data.tokens.scripts import MARK, OTHER, SPACE, classes


class Folded(NamedTuple):
    """A token's fragments, and of each whether a word begins with it in any case.

    ``parts_before``: what is no letter stands before the first of them; ``parts_after``: after the
    last.
    """

    fragments: list[tuple[bytes, bool]]
    parts_before: bool
    parts_after: bool


def fold(written: bytes) -> Folded:
    """Take apart what a token writes."""
    fragments: list[tuple[bytes, bool]] = []
    parted = parts_before = False  # whether the next letter begins a word
    for character in written.decode("utf-8", "surrogateescape"):
        half = "\udc80" <= character <= "\udcff"  # a byte of a character that is not whole
        own = character >= "\udce0" if half else _is_own_word(character)
        folded = character.encode("utf-8", "surrogateescape") if half else _letters(character)
        if folded:
            if parted or own or not fragments:
                parts_before |= parted and not fragments
                fragments.append((folded, own or (parted and bool(fragments))))
            else:
                text, begins = fragments[-1]
                fragments[-1] = (text + folded, begins)
            parted = own and not half
        elif not unicodedata.category(character).startswith("M"):
            parted = True
    return Folded(fragments, parts_before or (parted and not fragments), parted)


@cache
def _is_own_word(character: str) -> bool:
    if character < "\u0e00":
        return False
    kind = int(classes(np.array([ord(character)], np.uint32))[0])
    return kind not in (OTHER, SPACE, MARK)


@cache
def _letters(character: str) -> bytes:
    """Return a letter or digit in lower case and without accents; nothing of what is neither."""
    if not character.isalnum():
        return b""
    plain = unicodedata.normalize("NFKD", character.casefold())
    return "".join(c for c in plain if not unicodedata.category(c).startswith("M")).encode()
