"""Trainers of byte-level BPE and WordPiece vocabularies, in a background thread.

`tokenizers` returns to Python only at the end, and reads the texts from threads of its own, where
Python hears no signals; in the background it leaves Ctrl-C and progress to the main thread.

The WordPiece trainer of `tokenizers` numbers the characters that go on a word in the order of a
hash table, which differs from run to run and breaks ties between pairs. So they are counted here
first, and passed to it in their own order.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

NUM_BYTES = 256

PREFIX = "##"
"""Prefix of a piece that goes on a word."""

MOST_CHARACTERS = 0.5
"""Largest share of single characters in the vocabulary; the rarest are left out."""

LEAST_COVERED = 0.99
"""Smallest share of the text's characters in the vocabulary."""

POLL_S = 0.1

_WORD = re.compile(r"[^ \n]+")  # both end a word for BERT, so that each word is split alone
_MOST_WORDS = 1 << 20
"""Different words in memory at once."""


def learn_bpe(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int,
    special_tokens: Sequence[str | AddedToken],
    on_progress: Callable[[int, bool], None] = lambda num_characters, ended: None,
) -> Tokenizer:
    """Learn a byte-level BPE vocabulary, with GPT-2's rule for where words begin and end.

    Source:
        Sennrich et al. 2016, "Neural machine translation of rare words with subword units"; on
        bytes as in Radford et al. 2019, "Language models are unsupervised multitask learners".

    Example:
        >>> tokenizer = learn_bpe(["low lower lowest"] * 2, vocab_size=260, min_frequency=2,
        ...                       special_tokens=["<|endoftext|>"])
        >>> tokenizer.encode("lowlow").tokens
        ['low', 'low']
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    train_in_background(
        lambda feed: tokenizer.train_from_iterator(feed, trainer), texts, on_progress
    )
    return tokenizer


@dataclass(frozen=True)
class Alphabet:
    """The single characters of a vocabulary, those also within words, and their share of a text."""

    characters: tuple[str, ...]
    inner: tuple[str, ...]
    covered: float


def learn_wordpiece(
    texts: Iterable[str],
    *,
    vocab_size: int,
    min_frequency: int,
    special_tokens: Sequence[str],
    lowercase: bool = False,
    unknown: str = "[UNK]",
    on_progress: Callable[[int, bool], None] = lambda num_characters, ended: None,
    on_characters: Callable[[int], None] = lambda num_characters: None,
) -> Tokenizer:
    """Learn a WordPiece vocabulary, with BERT's rules for words and characters.

    Source:
        Schuster and Nakajima 2012, "Japanese and Korean voice search"; pieces are merged by their
        frequency, as `tokenizers` does it for BERT, not by likelihood.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    words = pre_tokenizers.BertPreTokenizer()
    counts, inner = _count_characters(texts, normalizer, words, on_characters)
    room = int(MOST_CHARACTERS * vocab_size) - len(special_tokens)
    alphabet = choose_alphabet(counts, inner, room=room)
    if alphabet.covered < LEAST_COVERED:
        size = int((len(counts) + len(inner) + len(special_tokens)) / MOST_CHARACTERS) + 1
        raise ConfigError(
            [
                f"--vocab-size {vocab_size} is too small for the {len(counts):,} different "
                f"characters of the text: give {size} or more, or --kind bpe, which writes any "
                "text with bytes."
            ]
        )
    trained = Tokenizer(models.WordPiece(unk_token=unknown))
    trained.normalizer, trained.pre_tokenizer = normalizer, words
    ordered = [*special_tokens, *(PREFIX + character for character in alphabet.inner)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=ordered,
        initial_alphabet=list(alphabet.characters),
        limit_alphabet=len(alphabet.characters),
        show_progress=False,
    )
    train_in_background(lambda feed: trained.train_from_iterator(feed, trainer), texts, on_progress)
    # Anew from the vocabulary, because the trainer makes special tokens of all of `ordered`.
    vocabulary = trained.get_vocab(with_added_tokens=False)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, words
    tokenizer.decoder = decoders.WordPiece(prefix=PREFIX)
    tokenizer.add_special_tokens(list(special_tokens))
    return tokenizer


def choose_alphabet(counts: Counter[str], inner: set[str], *, room: int) -> Alphabet:
    """Choose the characters of a vocabulary, the most frequent first, up to ``room`` entries.

    Example:
        >>> choose_alphabet(Counter("aaabbc"), {"b"}, room=3)
        Alphabet(characters=('a', 'b'), inner=('b',), covered=0.8333333333333334)
    """
    chosen: list[str] = []
    for character in sorted(counts, key=lambda one: (-counts[one], one)):
        room -= 1 + (character in inner)
        if room < 0:
            break
        chosen.append(character)
    covered = sum(counts[character] for character in chosen) / max(1, counts.total())
    return Alphabet(tuple(sorted(chosen)), tuple(sorted(inner.intersection(chosen))), covered)


def _count_characters(
    texts: Iterable[str], normalizer: Any, words: Any, on_characters: Callable[[int], None]
) -> tuple[Counter[str], set[str]]:
    """Count the characters of words, and return with them the set of those within words."""
    counts: Counter[str] = Counter()
    inner: set[str] = set()
    distinct: Counter[str] = Counter()
    done = reported = 0

    def count_distinct() -> None:
        for text, times in distinct.items():
            for word, _ in words.pre_tokenize_str(normalizer.normalize_str(text)):
                inner.update(word[1:])
                for character in word:
                    counts[character] += times
        distinct.clear()

    for text in texts:
        distinct.update(_WORD.findall(text))
        if len(distinct) > _MOST_WORDS:
            count_distinct()
        done += len(text)
        if done - reported >= 1 << 20:
            reported = done
            on_characters(done)
    count_distinct()
    return counts, inner


class _Cancelled(Exception):  # noqa: N818 - ends an interrupted training
    pass


class _Feed:
    """Texts for the trainer, with a count of their characters, until it is cancelled."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.num_characters = 0
        self.ended = False
        self.cancelled = False

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if self.cancelled:
                raise _Cancelled
            yield text
            self.num_characters += len(text)
        self.ended = True


def train_in_background(
    train: Callable[[Iterator[str]], None],
    texts: Iterable[str],
    on_progress: Callable[[int, bool], None] = lambda num_characters, ended: None,
) -> None:
    """Train in a background thread until the end or an interrupt, and raise its errors here."""
    feed = _Feed(texts)
    future: Future[None] = Future()

    def work() -> None:
        try:
            train(iter(feed))
        except BaseException as error:  # noqa: BLE001 - raised again by `future.result`
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name="tokenizer training", daemon=True).start()
    try:
        while not future.done():
            on_progress(feed.num_characters, feed.ended)
            with suppress(TimeoutError):  # one of the training's own is raised below
                future.result(timeout=POLL_S)
        future.result()
    finally:
        feed.cancelled = True
