"""The encoder of texts to token ids.

gigatoken encodes 30 to 150 MB/s where ``tokenizers`` encodes 1 to 5. It is used only where it is
exact: both encode samples of the very data, and a difference sends everything through
``tokenizers``. Documents with the text of a special token always go through ``tokenizers``,
because the two differ in some flags of such tokens (``single_word``).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nextfill.core.background import beside
from nextfill.core.errors import DataError
from nextfill.data.document import batched
from nextfill.data.store.continuation import continuing
from nextfill.data.store.tokenizer_backend import backend_and_text, backend_fingerprint

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger("nextfill")

Engine = Literal["gigatoken", "tokenizers"]
Encoded = tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]

FIRST_SAMPLE = 200  # documents of the first batch that both engines encode
SAMPLE_EVERY = 1024  # after it, one document in so many: about 3% of the time
SAMPLE_CHARACTERS = 20_000  # of a document: a book would take tokenizers many seconds
SAMPLED_AT_FIRST = 1 << 17  # characters of all of them: 0.1 s
SMALL_CHARACTERS = 1 << 18  # of a batch: below, calling for each text costs less than a batch does
ALONE_DOCUMENTS = 50_000  # calls for each text; more cost more time than awkward's import, 0.11 s
ALONE_CHARACTERS = 1 << 26  # of them, after which encoding on all processors pays for the import
CACHE_BYTES = 192 << 20  # the process may grow so much before gigatoken starts afresh
CACHE_TEXT = 32 << 20  # characters it may read before that, where memory cannot be read
CACHE_LEAST = 8 << 20  # characters it may always read: a start takes 0.1 s
SLICE_CHARACTERS = 1 << 19  # tokenizers holds over 100 bytes a token while it encodes


_MOST_CONTENTS = 16
"""Special tokens that are searched for one by one, which of a few is faster than one pattern."""


class EngineMismatchError(DataError):
    """The two engines agreed at first and differ further on: a store must be written anew."""


class Encoder:
    """Token ids of texts, without special tokens, equal to those of ``tokenizers``.

    Args:
        tokenizer: A transformers tokenizer that has a ``backend_tokenizer``, or that backend.
        engine: ``"tokenizers"`` leaves gigatoken aside.

    Raises:
        DataError: The tokenizer has no fast backend.

    Attributes:
        engine: The engine in use; ``"tokenizers"`` once gigatoken has failed.
        fingerprint: sha256 of the backend's JSON, without truncation and padding, and of whether
            special tokens are split like other text; hex.
        dtype: The smallest unsigned type that holds every id: uint16 or uint32.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> ids, lengths = Encoder(words, engine="tokenizers").encode(["a b", "", "b c a"])
        >>> ids.tolist(), lengths.tolist()
        ([0, 1, 1, 2, 0], [2, 0, 3])
    """

    def __init__(self, tokenizer: Any, engine: Engine = "gigatoken") -> None:
        self._backend, self._json = backend_and_text(tokenizer)
        self.fingerprint = backend_fingerprint(self._backend, self._json)
        self._special = _special_search(self._backend)
        self._gigatoken: Any = None
        self._resident = _resident_bytes()
        self._characters = 0
        self._documents = 0
        self._asked = 0  # characters for gigatoken
        self.engine: Engine = engine
        if engine == "gigatoken":
            self._start_gigatoken()
        self.dtype = np.dtype(np.uint16 if self._largest_id() < 1 << 16 else np.uint32)

    @property
    def backend_text(self) -> tuple[str, bool]:
        """The backend as JSON, and whether it splits special tokens, which that does not say."""
        return self._json, self._backend.encode_special_tokens

    @cached_property
    def of_continuations(self) -> Encoder:
        """The encoder of texts that go on from others, before which no space is put."""
        backend = continuing(self._backend)
        return self if backend is None else Encoder(backend, self.engine)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode texts in one go, a few MB of text at a time.

        Returns:
            The ids of all texts in a row, ``[tokens]`` in ``dtype``, and the number of tokens of
            each text, ``[texts] int64``.

        Raises:
            EngineMismatchError: gigatoken differs from ``tokenizers`` on a later sample.
            DataError: A text cannot be written in UTF-8.
        """
        if self.engine == "gigatoken":
            encoded, agrees = self._encode_checked(texts)
            if not agrees and self._documents:
                raise EngineMismatchError(
                    f"gigatoken and tokenizers gave different ids after {self._documents:,} "
                    "documents that agreed; encode this data with Encoder(tokenizer, "
                    'engine="tokenizers")'
                )
            if agrees:
                self._documents += len(texts)
                return encoded
            self._give_up("gives other ids than tokenizers for a sample of this data")
        self._documents += len(texts)
        return self._encode_slowly(texts)

    def _encode_checked(self, texts: Sequence[str]) -> tuple[Encoded, bool]:
        """Encode texts with gigatoken, and tell whether a sample of them agrees with the other.

        That encodes the sample meanwhile: it does so without Python's lock.
        """
        sample = self._sample(texts)
        if not sample:
            return self._encode_fast(texts), True
        with beside(partial(self._encode_slowly, sample)) as other:
            ids, lengths = self._encode_fast(sample)
            encoded = self._encode_fast(texts)
            other_ids, other_lengths = other.result()
        return encoded, np.array_equal(lengths, other_lengths) and np.array_equal(ids, other_ids)

    def _encode_fast(self, texts: Sequence[str]) -> Encoded:
        special = self._special
        is_slow = np.array([special(text) for text in texts], bool)
        if not is_slow.any():
            return self._with_gigatoken(texts)
        slow, slow_lengths = self._encode_slowly(list(compress(texts, is_slow)))
        fast, fast_lengths = self._with_gigatoken(list(compress(texts, ~is_slow)))
        lengths = np.empty(len(texts), np.int64)
        lengths[is_slow], lengths[~is_slow] = slow_lengths, fast_lengths
        ids = np.empty(len(slow) + len(fast), self.dtype)
        from_slow = np.repeat(is_slow, lengths)
        ids[from_slow], ids[~from_slow] = slow, fast
        return ids, lengths

    def _with_gigatoken(self, texts: Sequence[str]) -> Encoded:
        if not texts:
            return np.empty(0, self.dtype), np.empty(0, np.int64)
        characters = sum(map(len, texts))
        self._asked += characters
        many = self._documents >= ALONE_DOCUMENTS or self._asked >= ALONE_CHARACTERS
        if characters < SMALL_CHARACTERS or not many:
            return self._one_by_one(texts)
        import awkward as ak

        try:
            rows = self._gigatoken.encode_batch(list(texts))
        except TypeError as error:
            raise not_utf8(texts) from error
        lengths = np.asarray(ak.num(rows, axis=1), np.int64)
        ids = np.asarray(ak.flatten(rows, axis=1)).astype(self.dtype)
        self._limit_cache(texts)
        return ids, lengths

    def _one_by_one(self, texts: Sequence[str]) -> Encoded:
        """Encode texts each by itself, without awkward, whose import takes long."""
        try:
            rows = [self._gigatoken.encode(text) for text in texts]
        except TypeError as error:
            raise not_utf8(texts) from error
        self._limit_cache(texts)
        lengths = np.array([len(row) for row in rows], np.int64)
        return np.concatenate(rows).astype(self.dtype), lengths

    def _encode_slowly(self, texts: Sequence[str]) -> Encoded:
        ids = [np.empty(0, self.dtype)]
        lengths: list[int] = []
        for part in batched(texts, SLICE_CHARACTERS):
            try:
                encodings = self._backend.encode_batch_fast(part, add_special_tokens=False)
            except TypeError as error:
                raise not_utf8(part) from error
            rows = [encoding.ids for encoding in encodings]
            lengths += map(len, rows)
            ids += [np.array(row, self.dtype) for row in rows]
        return np.concatenate(ids), np.array(lengths, np.int64)

    def _sample(self, texts: Sequence[str]) -> list[str]:
        """Return those of the texts, cut where they are long, that both engines encode."""
        # After the first batch: one in SAMPLE_EVERY of all documents, wherever the batches end.
        later = slice(-self._documents % SAMPLE_EVERY, None, SAMPLE_EVERY)
        sample = texts[later] if self._documents else texts[:FIRST_SAMPLE]
        cut = [text[:SAMPLE_CHARACTERS] for text in sample]
        return next(batched(cut, SAMPLED_AT_FIRST), [])

    def _largest_id(self) -> int:
        if self._gigatoken is None:
            return max(self._backend.get_vocab(with_added_tokens=True).values(), default=0)
        # As it is, and without a list of all that takes 0.02 s.
        added = max(self._backend.get_added_tokens_decoder(), default=0)
        return max(int(self._gigatoken.vocab_size) - 1, added)

    def _start_gigatoken(self) -> None:
        import gigatoken

        try:
            self._gigatoken = gigatoken.Tokenizer.from_json(self._json)
        except (RuntimeError, ValueError, TypeError) as error:
            self._give_up("cannot hold this tokenizer: " + str(error).splitlines()[0])
        self._characters = 0

    def _limit_cache(self, texts: Sequence[str]) -> None:
        """Start gigatoken afresh when its cache of words has grown too much.

        It keeps every word that it met: 8 bytes per byte of text without repetitions. Growth is
        counted from the beginning, else memory that a start fails to give back adds up.
        """
        self._characters += sum(map(len, texts))
        grown = _resident_bytes() - self._resident
        limited = grown > CACHE_BYTES if self._resident else self._characters > CACHE_TEXT
        if limited and self._characters > CACHE_LEAST:
            self._gigatoken = None  # freed before its successor is made
            self._start_gigatoken()

    def _give_up(self, reason: str) -> None:
        logger.warning("tokenizers encodes this data, more slowly: gigatoken %s", reason)
        self.engine = "tokenizers"
        self._gigatoken = None


def _special_search(backend: Tokenizer) -> Callable[[str], bool]:
    """Return a search for the texts of special tokens."""
    # Not runs of white space: ordinary text is full of them, so the samples check them.
    contents = [token.content for token in backend.get_added_tokens_decoder().values()]
    contents = [content for content in contents if content.strip()]
    if len(contents) > _MOST_CONTENTS:
        pattern = re.compile("|".join(map(re.escape, contents)))
        return lambda text: pattern.search(text) is not None
    return lambda text: any(content in text for content in contents)


def not_utf8(texts: Sequence[str]) -> DataError:
    """Return the error for texts of which UTF-8 cannot hold one."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            around = text[max(0, error.start - 20) : error.end + 20]
            return DataError(
                f"a text holds {text[error.start]!a}, half of a character pair, which UTF-8 cannot "
                f"hold, near {around!a}; repair it with text.encode('utf-16', 'surrogatepass')"
                ".decode('utf-16', 'replace')"
            )
    return DataError(f"expected texts, found {type(texts[0]).__name__}")


def _resident_bytes() -> int:
    """Return the memory of this process, or 0 where the system does not say (macOS)."""
    if sys.platform != "linux":
        return 0
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
