"""Trainers of byte-level BPE and WordPiece vocabularies, in a thread of their own."""

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
"""Begins a piece that goes on a word."""

MOST_CHARACTERS = 0.5
"""Share of the vocabulary that single characters may take, the rarest left out."""

LEAST_COVERED = 0.99
"""Share of the text's characters that the vocabulary has to hold."""

_WORD = re.compile(r"[^ \n]+")  # both end a word for BERT, so that words can be taken one by one
_MOST_WORDS = 1 << 20
"""Different words that are held in memory at once."""

POLL_S = 0.1


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
    train_watched(lambda feed: tokenizer.train_from_iterator(feed, trainer), texts, on_progress)
    return tokenizer


@dataclass(frozen=True)
class Alphabet:
    """The single characters of a vocabulary.

    Args:
        characters: Those that may begin a word, in the order of Unicode.
        going_on: Those of them that also stand within words.
        covered: Share of the text's characters that are among them.
    """

    characters: tuple[str, ...]
    going_on: tuple[str, ...]
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
    counted = _count_characters(texts, normalizer, words, on_characters)
    room = int(MOST_CHARACTERS * vocab_size) - len(special_tokens)
    alphabet = choose_alphabet(*counted, room=room)
    if alphabet.covered < LEAST_COVERED:
        raise _too_small(vocab_size, len(special_tokens), *counted)
    trained = Tokenizer(models.WordPiece(unk_token=unknown))
    trained.normalizer, trained.pre_tokenizer = normalizer, words
    ordered = [*special_tokens, *(PREFIX + character for character in alphabet.going_on)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=ordered,
        initial_alphabet=list(alphabet.characters),
        limit_alphabet=len(alphabet.characters),
        show_progress=False,
    )
    train_watched(lambda feed: trained.train_from_iterator(feed, trainer), texts, on_progress)
    # Anew from the vocabulary, because the trainer makes special tokens of all it was handed.
    vocabulary = trained.get_vocab(with_added_tokens=False)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, words
    tokenizer.decoder = decoders.WordPiece(prefix=PREFIX)
    tokenizer.add_special_tokens(list(special_tokens))
    return tokenizer


def choose_alphabet(counts: Counter[str], going_on: set[str], *, room: int) -> Alphabet:
    """Choose the characters of a vocabulary, the most frequent first.

    Example:
        >>> choose_alphabet(Counter("aaabbc"), {"b"}, room=3)
        Alphabet(characters=('a', 'b'), going_on=('b',), covered=0.8333333333333334)
    """
    chosen: list[str] = []
    for character in sorted(counts, key=lambda one: (-counts[one], one)):
        room -= 1 + (character in going_on)
        if room < 0:
            break
        chosen.append(character)
    covered = sum(counts[character] for character in chosen) / max(1, counts.total())
    inside = sorted(going_on.intersection(chosen))
    return Alphabet(tuple(sorted(chosen)), tuple(inside), covered)


def _count_characters(
    texts: Iterable[str], normalizer: Any, words: Any, on_characters: Callable[[int], None]
) -> tuple[Counter[str], set[str]]:
    """Count the characters of words, and find those that stand within words."""
    counts: Counter[str] = Counter()
    going_on: set[str] = set()
    distinct: Counter[str] = Counter()
    done = told = 0

    def take_apart() -> None:
        for text, times in distinct.items():
            for word, _ in words.pre_tokenize_str(normalizer.normalize_str(text)):
                going_on.update(word[1:])
                for character in word:
                    counts[character] += times
        distinct.clear()

    for text in texts:
        distinct.update(_WORD.findall(text))
        if len(distinct) > _MOST_WORDS:
            take_apart()
        done += len(text)
        if done - told >= 1 << 20:
            told = done
            on_characters(done)
    take_apart()
    return counts, going_on


def _too_small(
    vocab_size: int, num_special: int, counts: Counter[str], going_on: set[str]
) -> ConfigError:
    size = int((len(counts) + len(going_on) + num_special) / MOST_CHARACTERS) + 1
    return ConfigError(
        [
            f"--vocab-size {vocab_size} is too small for the {len(counts):,} different characters "
            f"of the text: give {size} or more, or --kind bpe, which writes any text with bytes."
        ]
    )


class _Unwanted(Exception):  # noqa: N818 - ends a training that nobody waits for any more
    pass


class _Feed:
    """Texts on their way to the trainer, counted, and cut off when nobody waits any more."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.num_characters = 0
        self.ended = False
        self.unwanted = False

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if self.unwanted:
                raise _Unwanted
            yield text
            self.num_characters += len(text)
        self.ended = True


def train_watched(
    train: Callable[[Iterator[str]], None],
    texts: Iterable[str],
    on_progress: Callable[[int, bool], None] = lambda num_characters, ended: None,
) -> None:
    """Train in the background until it is done or interrupted."""
    feed = _Feed(texts)
    future: Future[None] = Future()

    def work() -> None:
        try:
            train(iter(feed))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
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
        feed.unwanted = True
