"""Words that get tokens of their own in a tokenizer, without any change to the tokens of others.

Where a tokenizer cuts a text into words first, a new word is an entry of its vocabulary, with the
space before it as in every other entry; and a word that has an entry is that entry, whole
(``ignore_merges``). An Unigram vocabulary gets an entry that is a little likelier than the pieces
together. Elsewhere, and for a word that the tokenizer cuts in two, it is an added token that stands
for whole words alone (``single_word``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.libraries import library_errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LIKELIER = 0.01
"""Nats by which an Unigram entry is likelier than its pieces, so that it is taken for them."""

MOST_CHARACTERS = 100
"""Characters of a word at most; WordPiece takes longer ones for unknown."""


@dataclass(frozen=True)
class NewToken:
    """A token that a tokenizer gets.

    Args:
        id: Its id in the new tokenizer.
        text: The text that it stands for, with the space before it where that is part of it.
        pieces: The ids that this text had before, one at least.
    """

    id: int
    text: str
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Extension:
    """A tokenizer with new words.

    Args:
        tokenizer: A copy of the first one, with them.
        words: The words that got tokens.
        tokens: Their tokens: two for a word that is one with the space before it and one without.
        already: Words that were single tokens before.
    """

    tokenizer: Any
    words: tuple[str, ...]
    tokens: tuple[NewToken, ...]
    already: tuple[str, ...]


def check_words(words: Sequence[str], tokenizer: Any, named: str) -> list[str]:
    """Return words in their order, each once; refuse what is no word, all at once."""
    special = set(tokenizer.all_special_tokens)
    problems = []
    for word in dict.fromkeys(words):
        wrong = None
        if not word.strip():
            wrong = "is empty; expected a word"
        elif word in special:
            wrong = "is a special token of the tokenizer, and has a token: leave it out"
        elif any(letter.isspace() for letter in word):
            wrong = "holds a space; expected one word, without the space before it"
        elif "," in word:
            wrong = "holds a comma; expected one word: name each with a flag of its own"
        elif len(word) > MOST_CHARACTERS:
            wrong = f"has {len(word):,} characters; expected {MOST_CHARACTERS} at most"
        if wrong is not None:
            problems.append(f"{named}: {word[:MOST_CHARACTERS]!r} {wrong}.")
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(words))


def extend_tokenizer(tokenizer: Any, words: Sequence[str], name: str) -> Extension:
    """Give words tokens of their own, in a copy of a tokenizer, which stays as it is.

    Args:
        tokenizer: A transformers tokenizer with a Rust back end.
        words: Words without the space before them, each once.
        name: The name of its model in messages.

    Raises:
        ModelError: If with them it would write a text otherwise.
    """
    before = _Before(tokenizer.backend_tokenizer)
    new: dict[str, _Entry] = {}
    of_words: dict[str, list[str]] = {}
    for word in words:
        split = [one for one in before.entries(word) if one.saves]
        for one in split:
            new.setdefault(one.key, one)
        if split:
            of_words[word] = [one.key for one in split]
    already = tuple(word for word in words if word not in of_words)
    if not new:
        return Extension(tokenizer, (), (), already)
    with library_errors(f"The tokenizer of {name} takes no new words"):
        extended = _with_entries(tokenizer, before, list(new.values()), name)
    after = extended.backend_tokenizer
    tokens = [
        NewToken(after.token_to_id(key), entry.text, entry.pieces) for key, entry in new.items()
    ]
    ids = {key: one.id for key, one in zip(new, tokens, strict=True)}
    for word, keys in of_words.items():
        _check_texts(before, after, word, {ids[key] for key in keys}, name)
    return Extension(extended, tuple(of_words), tuple(tokens), already)


def check_saved(extension: Extension, config: Any, name: str, *, trust_remote_code: bool) -> None:
    """Refuse a tokenizer that transformers would read otherwise from its files.

    Args:
        extension: The new tokenizer and its words.
        config: The configuration of its model, which says what class reads it.
        name: The name of the model in messages.
        trust_remote_code: Whether code that comes with it may be run.
    """
    from transformers import AutoTokenizer

    texts = [text for word in extension.words for text in _texts(word)]
    with TemporaryDirectory() as folder:
        with library_errors(f"The tokenizer of {name} cannot be saved with new words"):
            extension.tokenizer.save_pretrained(folder)
            config.save_pretrained(folder)
            read = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        here, there = (_ids(one.backend_tokenizer, texts) for one in (extension.tokenizer, read))
    if here != there:
        raise ModelError(
            f"The tokenizer of {name} loses new words when it is saved: transformers reads its "
            f"files as a {type(read).__name__}, and makes other tokens. Train without --add-tokens."
        )


@dataclass(frozen=True)
class _Entry:
    """A possible entry of a vocabulary.

    Args:
        key: The entry as the vocabulary spells it.
        text: The text that it stands for.
        pieces: The ids of that text now.
        saves: Whether a text would have fewer tokens with it.
        added: Whether it is found in the text before the text is cut into words.
    """

    key: str
    text: str
    pieces: tuple[int, ...]
    saves: bool
    added: bool = False


class _Before:
    """A tokenizer before it is extended."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend = backend
        self.parts = json.loads(backend.to_str())
        self.kind = self.parts["model"]["type"]
        self.vocabulary = backend.get_vocab(with_added_tokens=True)
        self.size = 1 + max(self.vocabulary.values(), default=-1)

    def entries(self, word: str) -> list[_Entry]:
        """Return the entries of a word: that after a space, and its own where that is another."""
        normalizer, cut = self.backend.normalizer, self.backend.pre_tokenizer
        text = word if normalizer is None else normalizer.normalize_str(word)
        if cut is not None and self._takes_entries:
            within = [piece for piece, _ in cut.pre_tokenize_str(f"a {text} b")]
            first = [piece for piece, _ in cut.pre_tokenize_str(f"{text} b")]
            if len(within) == 3 and len(first) == 2:
                found = {within[1]: self._entry(within[1], f" {word}")}
                found.setdefault(first[0], self._entry(first[0], word))
                return list(found.values())
        pieces = self._pieces(word)
        if self.kind == "WordPiece":
            return [_Entry(text.strip(), word, pieces, len(pieces) != 1, added=True)]
        # The space before it, which is part of other words, is a token by itself then.
        saves = len(self._pieces(f" {word}")) > 2
        return [_Entry(word, word, pieces, saves, added=True)]

    def _entry(self, key: str, text: str) -> _Entry:
        pieces = self._pieces(text)
        return _Entry(key, text, pieces, saves=len(pieces) != 1)

    @cached_property
    def _takes_entries(self) -> bool:
        """Whether an entry of the vocabulary can be a word, and every other stays what it is.

        With ignore_merges a word is the entry that it has, which is to be what its merges make.
        """
        if self.kind != "BPE":
            return bool(self.kind == "Unigram")
        added = {one.content for one in self.backend.get_added_tokens_decoder().values()}
        model = self.backend.model
        others = [
            one
            for one in self.parts["model"]["vocab"]
            if one not in added and len(model.tokenize(one)) != 1
        ]
        return not any(self._is_word(one) for one in others)

    def _is_word(self, entry: str) -> bool:
        """Return whether a text may hold an entry as a word of its own."""
        cut, decoder = self.backend.pre_tokenizer, self.backend.decoder
        text = entry if decoder is None else decoder.decode([entry])
        return [piece for piece, _ in cut.pre_tokenize_str(text)] == [entry]

    def _pieces(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text, within another where it begins with a space."""
        letter, after = _ids(self.backend, ["a", f"a{text}"])
        if text.startswith(" ") and after[: len(letter)] == letter:
            return tuple(after[len(letter) :])
        return tuple(_ids(self.backend, [text])[0])


def _with_entries(tokenizer: Any, before: _Before, entries: Sequence[_Entry], name: str) -> Any:
    """Return a copy of a tokenizer with new entries."""
    from tokenizers import AddedToken, Tokenizer

    own = [one for one in entries if not one.added]
    extended = deepcopy(tokenizer)
    if own:
        parts = deepcopy(before.parts)
        if before.kind == "BPE":
            _add_to_merged(parts["model"], before, own)
        else:
            _add_to_unigram(parts["model"], before, own, name)
        extended._tokenizer = Tokenizer.from_str(json.dumps(parts))
    # An uncased tokenizer looks for them in small letters.
    normalized = before.kind == "WordPiece"
    extended.add_tokens(
        [
            AddedToken(one.key, single_word=True, normalized=normalized)
            for one in entries
            if one.added
        ]
    )
    return extended


def _add_to_merged(model: dict[str, Any], before: _Before, entries: Iterable[_Entry]) -> None:
    """Add entries to a vocabulary of BPE, beside the added tokens, which keep their ids so."""
    model["vocab"] |= before.vocabulary
    model["vocab"] |= {one.key: before.size + at for at, one in enumerate(entries)}
    model["ignore_merges"] = True


def _add_to_unigram(
    model: dict[str, Any], before: _Before, entries: Iterable[_Entry], name: str
) -> None:
    """Add entries to an Unigram vocabulary, in which the place is the id."""
    vocabulary: list[list[Any]] = model["vocab"]
    scores = [score for _, score in vocabulary]
    lowest = min(scores)
    texts: Mapping[int, str] = {id_: text for text, id_ in before.vocabulary.items()}
    for id_ in range(len(vocabulary), before.size):
        if id_ not in texts:
            raise ModelError(
                f"The tokenizer of {name} takes no new words: it has no token of id {id_}, and its "
                "vocabulary no gaps."
            )
        vocabulary.append([texts[id_], lowest])  # an added token, which is found before this is
    unknown = model.get("unk_id")
    for one in entries:
        # Unigram gives a character without an entry 10 less than the least likely entry has.
        of_pieces = [lowest - 10 if at == unknown else vocabulary[at][1] for at in one.pieces]
        vocabulary.append([one.key, min(0.0, sum(of_pieces) + LIKELIER)])


def _texts(word: str) -> list[str]:
    """Return texts with a word: within a line, at its beginning, in brackets, in longer words."""
    return [f"a {word} b", word, f"({word}) {word}, {word}.", f"x{word} {word}x\n{word}\n"]


def _check_texts(before: _Before, after: Tokenizer, word: str, new: set[int], name: str) -> None:
    """Refuse a word with which texts would be written otherwise, or that is never found."""
    found = _ids(after, _texts(word))
    texts = [
        [backend.decode(ids, skip_special_tokens=False) for ids in rows]
        for backend, rows in ((before.backend, _ids(before.backend, _texts(word))), (after, found))
    ]
    for old, now in zip(*texts, strict=True):
        lost = word.casefold() not in old.casefold()  # the vocabulary lacks a letter of it
        if (word.casefold() not in now.casefold()) if lost else old != now:
            raise ModelError(
                f"The tokenizer of {name} would write {old!r} as {now!r} if {word!r} were one of "
                "its tokens: leave this word out."
            )
    if not new & {one for ids in found for one in ids}:
        raise ModelError(
            f"The tokenizer of {name} would never use a token for {word!r}, as it cuts text "
            "otherwise: leave this word out."
        )


def _ids(backend: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    encodings = backend.encode_batch_fast(list(texts), add_special_tokens=False)
    return [list(one.ids) for one in encodings]
