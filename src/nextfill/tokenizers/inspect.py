"""Inspection of tokenizers on a text: its tokens, and the words they split."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.progress import Progress
from nextfill.data.document import Document
from nextfill.data.store.encoded_batch import batches
from nextfill.data.store.encoder import Encoder, Engine, EngineMismatchError
from nextfill.data.store.vocabulary import bytes_by_character
from nextfill.data.word_counts import count_words
from nextfill.tokenizers.inspection_result import (
    Change,
    LongToken,
    SplitWord,
    TokenizerFigures,
    TokenizerInspection,
    UnknownWord,
)
from nextfill.tokenizers.texts import Texts

AROUND = 20
"""Characters shown before and after a change."""

# Between white space and punctuation; an apostrophe within belongs to the word.
_PUNCTUATION = r"!-&(-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2018\u201a-\u2027\u3001-\u303f\uff01-\uff0f"
WORD = re.compile(rf"[^\s'\u2019{_PUNCTUATION}](?:[^\s{_PUNCTUATION}]*[^\s'\u2019{_PUNCTUATION}])?")

MOST_WORDS = 1 << 20
"""Different words in memory at once."""

_BEFORE = "a"
"""Text before a word while it is encoded, as words within a text have."""


def inspect_texts(
    tokenizers: Sequence[tuple[str, Any]], texts: Texts, *, examples: int, on_progress: Progress
) -> TokenizerInspection:
    """Read texts once and measure how each tokenizer encodes them."""
    try:
        return _inspect(tokenizers, texts, examples, on_progress, "gigatoken")
    except EngineMismatchError:  # rare: the two engines differ only later in the text
        return _inspect(tokenizers, texts, examples, on_progress, "tokenizers")


def _inspect(
    tokenizers: Sequence[tuple[str, Any]],
    texts: Texts,
    examples: int,
    on_progress: Progress,
    engine: Engine,
) -> TokenizerInspection:
    inspectors = [_Inspector(name, one, engine, examples) for name, one in tokenizers]
    counter = WordCounter([one.words for one in inspectors])
    totals = dict.fromkeys(("documents", "bytes", "characters", "words"), 0)
    for batch in batches(texts.documents()):
        totals["documents"] += len(batch)
        totals["characters"] += sum(len(document.text) for document in batch)
        written = [document.text.encode() for document in batch]
        totals["words"] += int(count_words(written).sum())
        totals["bytes"] += sum(map(len, written))
        for one in inspectors:
            one.add(batch)
        for document in batch:
            counter.add(document.text)
        on_progress(f"inspecting {texts.source.name}", totals["bytes"], 0)
    counter.end()
    figures = tuple(one.figures(totals, examples) for one in inspectors)
    return TokenizerInspection(source=texts.source.name, **totals, tokenizers=figures)


class _Inspector:
    """The counts of one tokenizer over the text so far."""

    def __init__(self, name: str, tokenizer: Any, engine: Engine, examples: int) -> None:
        self._name = name
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._encoder = Encoder(tokenizer, engine)
        size = max(self._backend.get_vocab(with_added_tokens=True).values()) + 1
        self._counts = np.zeros(size, np.int64)
        self._unknown: int | None = _unknown_id(tokenizer)
        self._changed = 0
        self._change: Change | None = None
        self.words = WordCosts(self._encoder, self._backend, self._unknown, examples)

    def add(self, batch: Sequence[Document]) -> None:
        ids, lengths = self._encoder.encode([document.text for document in batch])
        self._counts += np.bincount(ids, minlength=len(self._counts))
        ends = [0, *np.cumsum(lengths).tolist()]
        rows = [ids[start:end].tolist() for start, end in pairwise(ends)]
        for document, row in zip(batch, rows, strict=True):
            decoded = self._tokenizer.decode(row, skip_special_tokens=False) if row else ""
            if decoded != document.text:
                self._changed += 1
                self._change = self._change or change(document, decoded)

    def figures(self, totals: Mapping[str, int], examples: int) -> TokenizerFigures:
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        special = _special_tokens(self._tokenizer)
        plain = np.array(sorted(set(vocabulary.values()) - set(special.values())), np.int64)
        tokens, used = int(self._counts.sum()), int(np.count_nonzero(self._counts[plain]))
        others = [token for token in special.values() if token != self._unknown]
        words = self.words
        return TokenizerFigures(
            tokenizer=self._name,
            kind=type(self._backend.model).__name__,
            vocab_size=len(vocabulary),
            special_tokens=special,
            special_roles=_roles(self._tokenizer),
            tokens=tokens,
            bytes_per_token=_ratio(totals["bytes"], tokens),
            characters_per_token=_ratio(totals["characters"], tokens),
            tokens_per_word=_ratio(tokens, totals["words"]),
            whole_words=_ratio(words.num_whole, words.num_words),
            words_alone=words.num_words,
            used=used,
            unused=len(plain) - used,
            special=int(self._counts[others].sum()),
            unknown=0 if self._unknown is None else int(self._counts[self._unknown]),
            unknown_words=words.unknown_words(),
            split_words=words.split_words(),
            longest_tokens=self._longest(plain[self._counts[plain] > 0], examples),
            changed=self._changed,
            change=self._change,
        )

    def _longest(self, ids: NDArray[np.int64], examples: int) -> tuple[LongToken, ...]:
        texts = [(piece_text(self._backend, int(token)), int(token)) for token in ids]
        texts.sort(key=lambda item: (-len(item[0]), item[1]))
        return tuple(
            LongToken(text, token, int(self._counts[token])) for text, token in texts[:examples]
        )


def change(document: Document, decoded: str) -> Change:
    """Return the first difference between a text and its decoded tokens.

    Example:
        >>> change(Document("The CAT sat.", record=3), "the cat sat.")
        Change(record=3, text='The CAT sat.', decoded='the cat sat.')
    """
    pairs = enumerate(zip(document.text, decoded, strict=False))
    shorter = min(len(document.text), len(decoded))
    at = next((place for place, (a, b) in pairs if a != b), shorter)
    start, end = max(0, at - AROUND), at + AROUND
    return Change(document.record, document.text[start:end], decoded[start:end])


def _ratio(value: int, by: int) -> float:
    return value / by if by else math.nan


def _unknown_id(tokenizer: Any) -> int | None:
    """Return the id of the unknown token, None if the model itself uses none.

    GPT-2's and RoBERTa's tokenizers have a token of that name and write any text without it.
    """
    backend = tokenizer.backend_tokenizer
    is_unigram = type(backend.model).__name__ == "Unigram"  # has the id of its own, not the token
    token = tokenizer.unk_token if is_unigram else getattr(backend.model, "unk_token", None)
    return None if token is None else backend.token_to_id(token)


def _roles(tokenizer: Any) -> dict[str, str]:
    roles = tokenizer.special_tokens_map
    return {role: token for role, token in roles.items() if isinstance(token, str)}


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    pairs = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return dict(sorted(pairs, key=lambda pair: pair[1]))


class WordCosts:
    """Counts of a text's words by their tokens, with ``most`` examples of the worst.

    ``backend`` is the encoder's tokenizer, and ``unknown`` the id of its unknown token, if any.
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
        """Add words with their counts; a word may come again, in later text."""
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
        """Remove the tokens before the word; if both are joined, encode the word alone."""
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


class WordCounter:
    """Counts of words across batches, passed on before they fill the memory.

    Args:
        receivers: Receivers of each word with its count; of a rare word of a huge text repeatedly.
        most: Different words in memory at once.
    """

    def __init__(self, receivers: Sequence[WordCosts], most: int = MOST_WORDS) -> None:
        self._receivers = receivers
        self._most = most
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Count the words of a text."""
        self._counts.update(WORD.findall(text))
        if len(self._counts) > self._most:
            frequent = Counter(dict(self._counts.most_common(self._most // 2)))
            self._pass_on(self._counts - frequent)
            self._counts = frequent

    def end(self) -> None:
        """Pass on the rest."""
        self._pass_on(self._counts)
        self._counts = Counter()

    def _pass_on(self, counts: Counter[str]) -> None:
        for receiver in self._receivers:
            receiver.add(counts)


def piece_text(backend: Any, token: int) -> str:
    r"""Return a token as text, with the bytes of an incomplete character as \xe2."""
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
