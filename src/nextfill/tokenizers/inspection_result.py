"""The result of an inspection of tokenizers: its figures, tables and lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.core.amounts import amount
from nextfill.rendering.result_cards import card, card_lines, card_table, text_table

SPACE = "\u2423"
"""The sign for a token that is a space alone."""

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A table of text: its title, its header and its rows."""

MOST_SHOWN = 40
"""Characters of a word or token in a table; `to_json` has all of them."""


@dataclass(frozen=True)
class SplitWord:
    """A word of several tokens.

    Args:
        word: The word.
        count: Its occurrences.
        pieces: Its tokens as text, after a space.
        extra_tokens: The cost of the split: count x (pieces - 1).
    """

    word: str
    count: int
    pieces: tuple[str, ...]
    extra_tokens: int


@dataclass(frozen=True)
class UnknownWord:
    """A word with an unknown token, and its occurrences."""

    word: str
    count: int


@dataclass(frozen=True)
class LongToken:
    """An entry of the vocabulary as text, its id, and its occurrences."""

    token: str
    id: int
    count: int


@dataclass(frozen=True)
class Change:
    """The first text that comes back changed.

    Args:
        record: Its record's number in the source, from 0.
        text: A few characters around the first difference.
        decoded: The same place after encoding and decoding.
    """

    record: int
    text: str
    decoded: str


@dataclass(frozen=True)
class TokenizerFigures:
    """Figures of one tokenizer on the text.

    Args:
        tokenizer: Its name in the call.
        kind: ``BPE``, ``WordPiece``, ``Unigram`` or ``WordLevel``.
        vocab_size: Entries, special tokens included.
        special_tokens: Ids by token.
        special_roles: The special tokens by their names in transformers.
        tokens: Tokens of the text, without special ones around documents.
        bytes_per_token: UTF-8 bytes of the text / tokens.
        characters_per_token: Characters / tokens.
        tokens_per_word: Tokens / words between white space.
        whole_words: Share of ``words_alone`` that are one token after a space.
        words_alone: Number of words without the punctuation around them.
        used: Entries that occur in the text, special ones left out.
        unused: Entries that do not.
        special: Special tokens in the text, written out in it.
        unknown: Unknown tokens in the text.
        unknown_words: The most frequent words with an unknown token.
        split_words: The words that cost most tokens beyond one.
        longest_tokens: The longest entries that occur.
        changed: Documents that encoding and decoding change.
        change: The first change.
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
        source: The name of the data.
        documents: Documents, empty ones included.
        bytes: Their UTF-8 bytes.
        characters: Their characters.
        words: Their words between white space.
        tokenizers: The figures, in the order of the call.
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
        """Return all figures as tables of text: title, header, rows."""
        several = len(self.tokenizers) > 1
        header = ("", *(_short(one.tokenizer) for one in self.tokenizers))
        columns = [_figures(one, self.documents) for one in self.tokenizers]
        rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
        tables: list[Table] = [("Tokenizers" if several else "Tokenizer", header, rows)]
        for one in self.tokenizers:
            of = f" by {_short(one.tokenizer)}" if several else ""
            tables += [
                (f"{title}{of}", names, lines) for title, names, lines in _tables(one) if lines
            ]
        return tables

    def lines(self) -> list[str]:
        """Return the lines below the tables: the size of the text, and changes of it."""
        lines = [
            f"over {amount(self.documents, 'document')}, {amount(self.words, 'word')}, "
            f"{amount(self.characters, 'character')}, {amount(self.bytes, 'byte')} of {self.source}"
        ]
        for one in self.tokenizers:
            if one.change is not None:
                lines.append(
                    f"{_short(one.tokenizer)} does not give back every text: record "
                    f"{one.change.record} has {one.change.text!r}, "
                    f"which comes back as {one.change.decoded!r}"
                )
        return lines

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
    split = [
        (_short(w.word), f"{w.count:,}", f"{w.extra_tokens:,}", _short(_joined(w.pieces)))
        for w in one.split_words
    ]
    unknown = [(_short(word.word), f"{word.count:,}") for word in one.unknown_words]
    longest = [
        (_short(repr(t.token)), f"{len(t.token)}", f"{t.count:,}") for t in one.longest_tokens
    ]
    special = [
        (_short(token), str(number), " ".join(_roles(one, token)))
        for token, number in one.special_tokens.items()
    ]
    return [
        ("Words split worst", ("word", "times", "extra tokens", "pieces"), split),
        ("Words with unknown tokens", ("word", "times"), unknown),
        ("Longest tokens", ("token", "characters", "times"), longest),
        ("Special tokens", ("token", "id", "stands for"), special),
    ]


def _joined(pieces: Sequence[str]) -> str:
    return " ".join(piece.strip() or SPACE for piece in pieces)


def _roles(one: TokenizerFigures, token: str) -> list[str]:
    roles = one.special_roles.items()
    return [role.removesuffix("_token") for role, holder in roles if holder == token]


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def _ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
