"""Exact and near duplicates among texts, at linear cost.

A text counts by its words (letters and digits, case folded), so that white space, line breaks and
punctuation do not make a copy look new. Every run of `num_words` words, a shingle, is hashed to
64 bits; a text is a near duplicate when more than a given share of its distinct shingles is in
texts kept before. An exact duplicate is the case of all of them.

Source: shingles after Broder, "On the resemblance and containment of documents" (1997); the measure
is containment, not resemblance, because a short copy within a long text is a copy too. Where he
samples the shingles we keep them all: 10 MB of text have about a million.

The numbers were chosen on the built-in corpora (18.3 MB of docstrings), by the share of held-out
bytes in 13-word sequences that are also in training, the usual contamination figure:

======================  =====  =====  =========  =======  =======
words, within, across   raw    exact  8 .5 .5*  8 .5 .2  5 .5 .2
======================  =====  =====  =========  =======  =======
stdlib-docs             3.4%   3.2%   0.7%       0.05%    0.00%
torch-docs              7.0%   6.8%   4.9%       1.9%     1.2%
package-docs            54.9%  37.9%  15.5%      3.2%     1.3%
======================  =====  =====  =========  =======  =======

The star: training compared with held-out and earlier training text at once, and without the last
step of `keep_apart`. Shorter shingles cost about a tenth more of the text for one or two points.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUM_WORDS = 8
MAX_SHARE = 0.5
# Across the two sides less is allowed: there a repetition flatters a figure, within a side it only
# wastes a little training time.
MAX_SHARE_ACROSS = 0.2
# Name of this module's rule, for the fingerprints of its results.
RULE = f"dedup 1 {NUM_WORDS} {MAX_SHARE} {MAX_SHARE_ACROSS}"

_WORD = re.compile(r"\w+")
# Words are hashed first, so any odd multiplier keeps their order apart; this is Knuth's (MMIX).
_MULTIPLIER = np.uint64(6364136223846793005)


class ShingleHasher:
    r"""The 64-bit hashes of texts' shingles, the same on every machine.

    Args:
        num_words: Words in a shingle, at least 1.

    Example:
        >>> hasher = ShingleHasher(num_words=3)
        >>> hasher("One, two, three, four.").shape
        (2,)
        >>> bool((hasher("one two\nthree") == hasher("One two three!")).all())
        True
    """

    def __init__(self, num_words: int = NUM_WORDS) -> None:
        if num_words < 1:
            raise ValueError(f"a shingle has at least 1 word, not {num_words}")
        self.num_words = num_words
        self._hashes = _WordHashes()

    def __call__(self, text: str) -> NDArray[np.uint64]:
        """Hash a text's shingles in order, ``[max(1, words - num_words + 1)] uint64``.

        A text shorter than one shingle is one shingle.
        """
        # A text without a word ("+++ ---") is compared by its characters, white space apart.
        words = _WORD.findall(text.casefold()) or text.split()
        width = max(1, min(self.num_words, len(words)))
        hashes = np.array([self._hashes[word] for word in words or [""]], dtype=np.uint64)
        count = len(hashes) - width + 1
        total = np.zeros(count, dtype=np.uint64)
        for offset in range(width):
            # Arithmetic modulo 2**64, which unsigned NumPy arrays do without a warning.
            total = total * _MULTIPLIER + hashes[offset : offset + count]
        return total


class _WordHashes(dict[str, int]):
    """The 64-bit hash of each word that was asked for; a look-up calls no function."""

    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self[word] = int.from_bytes(digest, "little")
        return self[word]


class NearDuplicates:
    """A memory of texts, which measures how much of another one it has seen.

    Args:
        num_words: Words in a shingle.
        max_share: Largest share of seen shingles in a new text.

    Example:
        >>> seen = NearDuplicates(num_words=2)
        >>> seen.add_if_new("the quick brown fox jumps")
        True
        >>> seen.add_if_new("A quick brown fox jumps.")
        False
        >>> seen.share("the quick red fox")
        0.3333333333333333
    """

    def __init__(self, num_words: int = NUM_WORDS, max_share: float = MAX_SHARE) -> None:
        if not 0 <= max_share < 1:
            raise ValueError(f"the share lies between 0 and below 1, not at {max_share}")
        self.max_share = max_share
        self._shingles = ShingleHasher(num_words)
        self._seen: set[int] = set()

    def share(self, text: str) -> float:
        """Return the share of a text's distinct shingles that were seen, from 0 to 1."""
        return self._share(self._distinct(text))

    def add(self, text: str) -> None:
        """Remember a text."""
        self._seen |= self._distinct(text)

    def add_if_new(self, text: str) -> bool:
        """Remember a text unless it is a near duplicate; return whether it was new."""
        shingles = self._distinct(text)
        if self._share(shingles) > self.max_share:
            return False
        self._seen |= shingles
        return True

    def _distinct(self, text: str) -> set[int]:
        return set(self._shingles(text).tolist())

    def _share(self, shingles: set[int]) -> float:
        return len(shingles & self._seen) / len(shingles)


def keep_apart(train: Sequence[str], test: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Choose the texts to keep so that neither side repeats itself or the other.

    Held-out texts come first: each is kept unless it repeats an earlier held-out one. A training
    text is kept unless it repeats held-out text or earlier training text. So training gives way:
    if the held-out side did, a family of copies would always be in training, and only the unusual
    texts would be left to measure on (on package-docs 463 kB of 1.3 MB, this way 818 kB).
    Containment has a direction, though: a long training text may contain a short held-out one, or
    many may contain a part each. So a last step drops a held-out text too much of which is left
    in training; it bounds, text by text, the share seen before.

    Example:
        >>> keep_apart(["to be or not to be", "a rose is a rose"], ["To be, or not to be?"])
        ([False, True], [True])
    """
    held_out = NearDuplicates()
    new = [held_out.add_if_new(text) for text in test]
    trained = NearDuplicates()
    keep_train = [
        held_out.share(text) <= MAX_SHARE_ACROSS and trained.add_if_new(text) for text in train
    ]
    keep_test = [
        is_new and trained.share(text) <= MAX_SHARE_ACROSS
        for is_new, text in zip(new, test, strict=True)
    ]
    return keep_train, keep_test
