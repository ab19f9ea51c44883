"""The text that no token is scored for, which the figures per byte or word must not be over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nextfill.data.tokens.store import TokenStore
from nextfill.infer.evaluation.scores import DocumentScores

REPLACEMENT = "\ufffd"
"""What a decoder puts where the bytes of a character are incomplete."""

MOST_BYTES_OF_A_CHARACTER = 4
LOOK_AHEAD = 8
"""Tokens within which the text goes on after the first, or after its character."""


def without_first(
    scores: DocumentScores, store: TokenStore, decode: Callable[[Sequence[int]], str]
) -> DocumentScores:
    """Take the text of each document's first token out of the denominators.

    Args:
        scores: Of documents whose first token has no context, and so is not scored.
        store: Their tokens.
        decode: Turns ids into text, to measure that token.
    """
    unscored = [_size_of_first(store.tokens(int(number)), decode) for number in scores.document]
    size, characters, words = np.array(unscored, np.int64).reshape(-1, 3).T
    return replace(
        scores,
        bytes=scores.bytes - size,
        characters=scores.characters - characters,
        words=scores.words - words,
    )


def _size_of_first(
    ids: NDArray[np.unsignedinteger], decode: Callable[[Sequence[int]], str]
) -> tuple[int, int, int]:
    """Measure what a document's first token stands for, in bytes, characters and words.

    A character of several tokens leaves whole with the first of them; a word that the second token
    goes on with is kept.
    """
    most = min(len(ids), MOST_BYTES_OF_A_CHARACTER)
    pieces = (decode(ids[:count].tolist()) for count in range(1, most + 1))
    first = next((piece for piece in pieces if REPLACEMENT not in piece), None)
    if first is None:  # the text itself holds that character, or the vocabulary lacks the first
        first = decode(ids[:1].tolist())
    rest = decode(ids[:LOOK_AHEAD].tolist())[len(first) :]
    goes_on = bool(first and rest) and not first[-1].isspace() and not rest[0].isspace()
    return len(first.encode()), len(first), len(first.split()) - goes_on
