"""What a look at tokenizers found, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.rendering.result_cards import card, card_lines, card_table, text_table

SPACE = "\u2423"
"""Shows a token that is a space alone."""

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A table of text: its title, its header and its rows."""

MOST_SHOWN = 40
"""Characters of a word or token that a table shows; `to_json` has all of them."""


@dataclass(frozen=True)
class SplitWord:
    """A word that is more than one token.

    Args:
        word: The word.
        count: How often it occurs.
        pieces: Its tokens as text, after a space.
        extra_tokens: What the split costs: count x (pieces - 1).
    """

    word: str
    count: int
    pieces: tuple[str, ...]
    extra_tokens: int


@dataclass(frozen=True)
class UnknownWord:
    """A word that the vocabulary cannot write, and how often it occurs."""

    word: str
    count: int


@dataclass(frozen=True)
class LongToken:
    """An entry of the vocabulary as text, its id, and how often it occurs."""

    token: str
    id: int
    count: int


@dataclass(frozen=True)
class Change:
    """The first text that comes back changed.

    Args:
        record: Its record's number in the source, from 0.
        text: A few characters from where the two part, as it was.
        decoded: The same place after encoding and decoding.
    """

    record: int
    text: str
    decoded: str


@dataclass(frozen=True)
class TokenizerFigures:
    """How one tokenizer writes the text.

    Args:
        tokenizer: Its name, as it was given.
        kind: ``BPE``, ``WordPiece``, ``Unigram`` or ``WordLevel``.
        vocab_size: Entries, special tokens included.
        special_tokens: Ids by token.
        special_roles: The special tokens by their names in transformers.
        tokens: Tokens of the text, without special ones around documents.
        bytes_per_token: UTF-8 bytes of the text / tokens.
        characters_per_token: Characters / tokens.
        tokens_per_word: Tokens / words, which white space separates.
        whole_words: Share of ``words_alone`` that are one token after a space.
        words_alone: Words without the punctuation around them, which ``whole_words`` is over.
        used: Entries that occur in the text, special ones left out.
        unused: Entries that do not.
        special: Special tokens in the text, which holds their very characters.
        unknown: Unknown tokens in the text.
        unknown_words: The most frequent words that hold one.
        split_words: The words that cost most tokens beyond one.
        longest_tokens: The longest entries that occur.
        changed: Documents that encoding and decoding do not give back as they were.
        change: The first of them.
    """

    tokenizer: str
    kind: str
    vocab_size: int
    special_tokens: Mapping[str, int]
    special_roles: Mapping[str, str]
    tokens: int
    bytes_per_token: float
    characters_per_token: float
    tokens_per_word: float
    whole_words: float
    words_alone: int
    used: int
    unused: int
    special: int
    unknown: int
    unknown_words: tuple[UnknownWord, ...]
    split_words: tuple[SplitWord, ...]
    longest_tokens: tuple[LongToken, ...]
    changed: int
    change: Change | None


@dataclass(frozen=True)
class TokenizerInspection:
    """One or several tokenizers on the same text.

    Args:
        source: The data, as they were named.
        documents: Documents, empty ones included.
        bytes: Their UTF-8 bytes.
        characters: Their characters.
        words: Their words, which white space separates.
        tokenizers: The figures, in the order in which the tokenizers were named.
    """

    source: str
    documents: int
    bytes: int
    characters: int
    words: int
    tokenizers: tuple[TokenizerFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return asdict(self)

    def tables(self) -> list[Table]:
        """Return all there is to tell as tables of text: title, header, rows."""
        several = len(self.tokenizers) > 1
        found: list[Table] = []
        found.append(("Tokenizers" if several else "Tokenizer", self._header(), self._rows()))
        for one in self.tokenizers:
            of = f" by {_short(one.tokenizer)}" if several else ""
            for title, header, rows in _tables(one):
                if rows:
                    found.append((f"{title}{of}", header, rows))
        return found

    def lines(self) -> list[str]:
        """Return what is said below the tables."""
        said = [
            f"over {self.documents:,} documents, {self.words:,} words, {self.characters:,} "
            f"characters, {self.bytes:,} bytes of {self.source}"
        ]
        for one in self.tokenizers:
            if one.change is not None:
                said.append(
                    f"{_short(one.tokenizer)} does not give back every text: record "
                    f"{one.change.record} has {one.change.text!r}, "
                    f"which comes back as {one.change.decoded!r}"
                )
        return said

    def _header(self) -> tuple[str, ...]:
        return ("", *(_short(one.tokenizer) for one in self.tokenizers))

    def _rows(self) -> list[Sequence[str]]:
        columns = [_figures(one, self.documents) for one in self.tokenizers]
        return [(name, *(column[name] for column in columns)) for name in columns[0]]

    def __repr__(self) -> str:
        tables = [text_table(*table) for table in self.tables()]
        return "\n".join([*tables, *self.lines()])

    def _repr_html_(self) -> str:
        parts = []
        for title, header, rows in self.tables():
            parts += [card_lines([title]), card_table(header, rows)]
        return card("Inspection", *parts, card_lines(self.lines()))


def _figures(one: TokenizerFigures, documents: int) -> dict[str, str]:
    entries = one.used + one.unused
    return {
        "kind": one.kind,
        "vocabulary": f"{one.vocab_size:,}",
        "tokens": f"{one.tokens:,}",
        "bytes per token": _ratio(one.bytes_per_token),
        "characters per token": _ratio(one.characters_per_token),
        "tokens per word": _ratio(one.tokens_per_word),
        "words that are one token": f"{_percent(one.whole_words)} of {one.words_alone:,}",
        "vocabulary used": f"{one.used:,} of {entries:,} ({_percent(one.used / max(1, entries))})",
        "special tokens in the text": f"{one.special:,}",
        "unknown tokens": f"{one.unknown:,}",
        "documents changed by a round trip": f"{one.changed:,} of {documents:,}",
    }


def _tables(one: TokenizerFigures) -> list[Table]:
    return [
        ("Words split worst", ("word", "times", "extra tokens", "pieces"), _split_rows(one)),
        (
            "Words with unknown tokens",
            ("word", "times"),
            [(_short(word.word), f"{word.count:,}") for word in one.unknown_words],
        ),
        ("Longest tokens", ("token", "characters", "times"), _long_rows(one)),
        ("Special tokens", ("token", "id", "stands for"), _special_rows(one)),
    ]


def _split_rows(one: TokenizerFigures) -> list[Sequence[str]]:
    return [
        (_short(w.word), f"{w.count:,}", f"{w.extra_tokens:,}", _short(_joined(w.pieces)))
        for w in one.split_words
    ]


def _joined(pieces: Sequence[str]) -> str:
    return " ".join(piece.strip() or SPACE for piece in pieces)


def _long_rows(one: TokenizerFigures) -> list[Sequence[str]]:
    return [(_short(repr(t.token)), f"{len(t.token)}", f"{t.count:,}") for t in one.longest_tokens]


def _special_rows(one: TokenizerFigures) -> list[Sequence[str]]:
    return [
        (
            _short(token),
            str(number),
            " ".join(
                role.removesuffix("_token")
                for role, named in one.special_roles.items()
                if named == token
            ),
        )
        for token, number in one.special_tokens.items()
    ]


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def _ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
