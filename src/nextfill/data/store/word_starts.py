"""Word starts: the tokens at which words begin, found in the ids of a store and kept in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from nextfill.core.checksums import ALGORITHM
from nextfill.core.progress import Progress
from nextfill.core.shared_cache import write_for_group
from nextfill.data.store.character_classes import BREAK, JOIN, MARK, classes, decisions
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.tokenizer_backend import plain_backend
from nextfill.data.store.vocabulary import Vocabulary, read_vocabulary

logger = logging.getLogger("nextfill")

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FILE = "word-starts.bin"
"""File in a shard's folder: one bit a token, the first in the highest bit of the first byte; then
the 16 bytes of the XXH3 of those bits and of the tokens' checksum."""

BATCH_TOKENS = 1 << 18

WINDOW = 1 << 13
"""Characters that are pre-tokenized at once: longer lists of words are slower, 2.9 MB/s at 1 << 18
against 4.1, and that of a book takes 50 times the memory of its text."""

LAST_WORDS = 16
"""Pre-tokens at the end of a window, which may change with the text after it."""

_NO_CHARACTER = re.compile("[\udc80-\udcff]")
_FIRST_SCRIPT_BYTE = 0xE0
"""Lowest first byte of scripts without spaces, and of their marks other than U+0300 to U+036F."""


def open_word_starts(
    store: TokenStore,
    tokenizer: Any,
    on_progress: Progress = lambda label, done, total: None,
) -> tuple[Bools, ...]:
    """Return the word starts of a store, found once and kept in its shards' folders.

    Where they cannot be kept (a read-only cache, a full disk) they are found again each time. Two
    processes may do so at once: both write the same.

    Args:
        store: The store, also a joined one.
        tokenizer: Its tokenizer, with a fast backend, or a `TokenizerFacts`, which is loaded only
            if a shard lacks its word starts.
        on_progress: Called with a label, the tokens done, and the tokens of all such shards.

    Returns:
        Of each shard, ``[tokens] bool``.

    Raises:
        DataError: The tokenizer has no fast backend.
    """
    starts = {shard: _read(store, shard) for shard in range(store.num_shards)}
    if missing := [shard for shard, known in starts.items() if known is None]:
        new = _find(store, missing, tokenizer, on_progress)
        _write(store, new)
        starts |= new
    return tuple(known for known in starts.values() if known is not None)


def _find(
    store: TokenStore, shards: Sequence[int], tokenizer: Any, on_progress: Progress
) -> dict[int, Bools]:
    finder = WordStartFinder(read_vocabulary(plain_backend(tokenizer)))
    total = sum(int(store.meta["shards"][shard]["tokens"]) for shard in shards)
    starts, done = {}, 0
    for shard in shards:
        parts = []
        for ids, lengths in _batches(store, shard):
            parts.append(finder.find(ids, lengths))
            done += len(ids)
            on_progress("finding words", done, total)
        starts[shard] = np.concatenate(parts)
    return starts


def _batches(
    store: TokenStore, shard: int
) -> Iterator[tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]]:
    """Yield the ids of whole documents and the number of tokens of each."""
    first, last = store.shard_bounds[shard : shard + 2]
    # Where each begins, and not its tokens: those of a joined store stand in two rows.
    starts = np.asarray(store.documents["offset"][first:last], np.int64)
    ends = np.append(starts[1:], len(store.shard_tokens[shard]))
    done = tokens = 0
    while done < len(ends):
        stop = max(int(np.searchsorted(ends, tokens + BATCH_TOKENS, side="right")), done + 1)
        lengths = np.diff(ends[done:stop], prepend=tokens)
        yield store.shard_tokens[shard][tokens : ends[stop - 1]], lengths
        done, tokens = stop, int(ends[stop - 1])


def _read(store: TokenStore, shard: int) -> Bools | None:
    """Read the word starts of a shard; None if the file is missing or damaged."""
    count = int(store.meta["shards"][shard]["tokens"])
    if count == 0:
        return np.empty(0, np.bool_)
    file = store.folder(shard) / FILE
    try:
        content = file.read_bytes()
    except OSError:
        return None
    num_bytes = -(-count // 8)
    bits, checksum = content[:num_bytes], content[num_bytes:]
    if checksum != _checksum(store, shard, bits):
        logger.warning("%s is damaged; where words begin is worked out again", file)
        return None
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).view(np.bool_)


def _write(store: TokenStore, starts_of: Mapping[int, Bools]) -> None:
    """Write the word starts of shards beside their tokens, if that is possible."""
    for shard, starts in starts_of.items():
        file = store.folder(shard) / FILE
        bits = np.packbits(starts).tobytes()
        try:
            with write_for_group(file, durable=True) as beside:
                beside.write_bytes(bits + _checksum(store, shard, bits))
        except OSError as error:
            logger.warning(
                "where words begin cannot be kept in %s, and is worked out again each time: %s",
                file.parent,
                error.strerror or error,
            )
            return


def _checksum(store: TokenStore, shard: int, bits: bytes) -> bytes:
    files = store.meta["shards"][shard]["files"]
    of_tokens = str(files["tokens.bin"][ALGORITHM]).encode()
    return xxhash.xxh3_128_digest(of_tokens + bits)


@dataclass(frozen=True)
class WordStartFinder:
    r"""The finder of word starts in the ids of a vocabulary.

    A word is a pre-token of the tokenizer: between white space, for BERT's and byte-level BPE with
    punctuation apart, for SentencePiece with the punctuation that touches it. In scripts without
    spaces (Han, hiragana, katakana, Thai, Lao, Khmer, Burmese, Tibetan, ...) a word is a character
    with its marks, but a run of katakana (with its long-vowel mark) is one word; a token of several
    such characters is one unit. A document's first token begins a word. A token that begins within
    a character or a word begins none, so a character of several tokens is always whole.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> core = Tokenizer(models.WordPiece({"[UNK]": 0, "mill": 1, "##s": 2, "a": 3}))
        >>> finder = WordStartFinder(read_vocabulary(core))
        >>> finder.find(np.array([1, 2, 3, 1]), lengths=np.array([4])).tolist()
        [True, False, True, True]
    """

    vocabulary: Vocabulary

    def find(self, token_ids: NDArray[np.integer[Any]], lengths: Ints) -> Bools:
        """Mark the tokens at which a word begins, each document by itself.

        Args:
            token_ids: The ids of whole documents, one after the other, ``[tokens]``.
            lengths: Tokens of each document, ``[documents]``.

        Returns:
            ``[tokens] bool``.
        """
        vocabulary = self.vocabulary
        ids = token_ids.astype(np.int64)
        if vocabulary.whole or not len(ids):
            return np.ones(len(ids), np.bool_)
        opened = vocabulary.alone[ids]
        opened[1:] |= opened[:-1]  # nothing goes on across an added token
        opened[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
        starts: Bools = vocabulary.opens[ids] | opened
        starts[1:] |= vocabulary.closes[ids[:-1]]
        size = vocabulary.bounds[ids + 1] - vocabulary.bounds[ids]
        written = self._written(ids, size)
        if vocabulary.pre_tokenizer is None and not (written >= _FIRST_SCRIPT_BYTE).any():
            return starts
        text = _Text.of(written, sections=(np.cumsum(size) - size)[opened])
        if vocabulary.pre_tokenizer is not None:
            starts = _by_pre_tokens(vocabulary.pre_tokenizer, text, size)
        _follow_scripts(starts, text, size)
        starts |= opened
        return starts

    def _written(self, ids: Ints, size: Ints) -> NDArray[np.uint8]:
        """Return the bytes of all ids in a row, ``[bytes]``."""
        shift = np.repeat(self.vocabulary.bounds[ids] - (np.cumsum(size) - size), size)
        written: NDArray[np.uint8] = self.vocabulary.written[np.arange(len(shift)) + shift]
        return written


@dataclass(frozen=True)
class _Text:
    """The text of ids, in independent sections.

    Args:
        sections: Texts; a byte outside any character is half a surrogate pair.
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
    """Mark the tokens that hold the first byte of a pre-token."""
    ends = [_pre_token_ends(pre_tokenizer, section) for section in text.sections]
    counts = [len(section) for section in ends]
    character = np.fromiter(chain.from_iterable(ends), np.int64)
    character += np.repeat(text.first, counts)
    byte = text.starts[character[character < len(text.starts)]]
    holding = np.searchsorted(np.cumsum(size) - size, byte, side="right") - 1
    starts = np.zeros(len(size), np.bool_)
    starts[holding] = True
    return starts


def _pre_token_ends(pre_tokenizer: Any, text: str) -> list[int]:
    """Return the ends of pre-tokens, in characters.

    Long texts are cut into windows. The next one begins where a pre-token did, with a letter: from
    there a regular expression finds the same pre-tokens, even with a space put before it.
    """
    if not text.isascii():
        text = _NO_CHARACTER.sub("\ufffd", text)
    if len(text) <= WINDOW:
        return _ends(pre_tokenizer, text)
    all_ends: list[int] = []
    start, window = 0, WINDOW
    while len(text) - start > window:
        ends = _ends(pre_tokenizer, text[start : start + window])
        cut = len(ends) - LAST_WORDS
        while cut > 0 and not _may_begin(text, start + ends[cut - 1]):
            cut -= 1
        if cut <= 0:
            window *= 2
            continue
        all_ends += [start + end for end in ends[:cut]]
        start, window = all_ends[-1], WINDOW
    return all_ends + [start + end for end in _ends(pre_tokenizer, text[start:])]


def _ends(pre_tokenizer: Any, text: str) -> list[int]:
    return [end for _, (_, end) in pre_tokenizer.pre_tokenize_str(text)]


def _may_begin(text: str, place: int) -> bool:
    return text[place + (text[place] == " ")].isalpha()


def _follow_scripts(starts: Bools, text: _Text, size: Ints) -> None:
    """Correct word starts in place by the classes of characters, for scripts without spaces."""
    if not len(text.points) or int(text.points.max()) < 0x0E00:
        return
    first_byte = np.cumsum(size) - size
    is_start = np.zeros(text.num_bytes + 1, np.bool_)
    is_start[text.starts] = True
    kind = classes(text.points)
    below = np.arange(len(kind))
    is_mark = kind == MARK
    is_mark[text.first[text.first < len(kind)]] = False  # no character is before it
    below[is_mark] = 0
    base = kind[np.maximum.accumulate(below)]
    decided = np.zeros(len(kind), np.int8)
    decided[1:] = decisions(base[:-1], kind[1:])
    token = np.flatnonzero((size > 0) & is_start[first_byte])
    decision = decided[np.searchsorted(text.starts, first_byte[token])]
    starts[token[decision == BREAK]] = True
    starts[token[decision == JOIN]] = False
