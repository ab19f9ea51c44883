"""Where words begin: one bit a token, worked out from the ids of a store and kept beside them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from nextfill.core.checksums import ALGORITHM
from nextfill.core.shared_cache import write_for_group
from nextfill.data.store.encoder import plain_backend
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.vocabulary import read_pieces
from nextfill.data.store.word_boundaries import WordBoundaries

logger = logging.getLogger("nextfill")

Bools = NDArray[np.bool_]
Progress = Callable[[str, int, int], None]

FILE = "word-starts.bin"
"""Of a shard, in its folder: one bit a token, the first in the highest bit of the first byte; then
the 16 bytes of the XXH3 of those bits and the checksum of the tokens that they belong to."""

BATCH_TOKENS = 1 << 18


def word_starts(tokenizer: Any) -> Callable[[NDArray[np.integer[Any]]], Bools]:
    r"""Return what tells of a document's tokens whether a word begins there.

    A word is what the tokenizer's own pre-tokenizer makes of the text: between white space, for
    BERT's and byte-level BPE with punctuation apart, for SentencePiece with the punctuation that
    touches it. In scripts that are written without spaces (Han, hiragana, katakana, Thai, Lao,
    Khmer, Burmese, Tibetan, ...) a word is a character with its marks, but a run of katakana (with
    its long-vowel mark) is one word; a token that holds several such characters is one unit. A
    document's first token begins a word. So a character that is split over several tokens is
    always whole: a token that starts in the middle of a character or of a word begins none.

    Args:
        tokenizer: A transformers tokenizer with a fast backend, or that backend.

    Returns:
        A function from the ids of one whole document without special tokens around it,
        ``[tokens]``, to ``[tokens] bool``.

    Raises:
        DataError: The tokenizer has no fast backend.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "mill": 1, "##s": 2, "a": 3}))
        >>> word_starts(pieces)(np.array([1, 2, 3, 1])).tolist()
        [True, False, True, True]
    """
    boundaries = WordBoundaries(read_pieces(plain_backend(tokenizer)))
    return lambda ids: boundaries.find(ids, np.array([len(ids)], np.int64))


def open_word_starts(
    store: TokenStore,
    tokenizer: Any,
    on_progress: Progress = lambda label, done, total: None,
) -> tuple[Bools, ...]:
    """Return where the words of a store begin, worked out once and kept in its shards' folders.

    Where they cannot be kept (a cache that may only be read, a full disk) they are worked out
    again each time. Two processes may do so at once: both write the same.

    Args:
        store: The store, also a joined one.
        tokenizer: The tokenizer that made it, as `word_starts` takes it, or a `TokenizerFacts`,
            which is loaded only if something is to be worked out.
        on_progress: Told of tokens done, of all tokens that are to be done.

    Returns:
        Of each shard, ``[tokens] bool``.

    Raises:
        DataError: The tokenizer has no fast backend.
    """
    read = {shard: _read(store, shard) for shard in range(store.num_shards)}
    kept = {shard: starts for shard, starts in read.items() if starts is not None}
    if lacking := sorted(read.keys() - kept.keys()):
        found = _find(store, lacking, tokenizer, on_progress)
        _keep(store, found)
        kept |= found
    return tuple(kept[shard] for shard in sorted(kept))


def _find(
    store: TokenStore, shards: Sequence[int], tokenizer: Any, on_progress: Progress
) -> dict[int, Bools]:
    boundaries = WordBoundaries(read_pieces(plain_backend(tokenizer)))
    total = sum(len(store.shard_tokens[shard]) for shard in shards)
    found, done = {}, 0
    for shard in shards:
        parts = []
        for ids, lengths in _batches(store, shard):
            parts.append(boundaries.find(ids, lengths))
            done += len(ids)
            on_progress("finding words", done, total)
        found[shard] = np.concatenate(parts)
    return found


def _batches(
    store: TokenStore, shard: int
) -> Iterator[tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]]:
    """Yield the ids of whole documents and the number of tokens of each."""
    first, last = store.shard_bounds[shard : shard + 2]
    ends = np.cumsum(store.documents["tokens"][first:last], dtype=np.int64)
    done = tokens = 0
    while done < len(ends):
        stop = max(int(np.searchsorted(ends, tokens + BATCH_TOKENS, side="right")), done + 1)
        lengths = np.diff(ends[done:stop], prepend=tokens)
        yield store.shard_tokens[shard][tokens : ends[stop - 1]], lengths
        done, tokens = stop, int(ends[stop - 1])


def _read(store: TokenStore, shard: int) -> Bools | None:
    """Read what is kept of a shard; None if that is nothing, or not what was written there."""
    count = int(store.meta["shards"][shard]["tokens"])
    if count == 0:
        return np.empty(0, np.bool_)
    file = store.folder(shard) / FILE
    try:
        content = file.read_bytes()
    except OSError:
        return None
    bits, checksum = content[: _num_bytes(count)], content[_num_bytes(count) :]
    if checksum != _checksum(store, shard, bits):
        logger.warning("%s is damaged; where words begin is worked out again", file)
        return None
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).view(np.bool_)


def _keep(store: TokenStore, found: Mapping[int, Bools]) -> None:
    for shard, starts in found.items():
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


def _num_bytes(num_tokens: int) -> int:
    return -(-num_tokens // 8)
