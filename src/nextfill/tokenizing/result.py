"""What training a tokenizer came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.display import card, card_table, text_table


@dataclass(frozen=True)
class TokenizerResult:
    """A tokenizer that was trained.

    Args:
        tokenizer: Its folder, a plain one of transformers; takes the place of any ``tokenizer``.
        kind: ``bpe`` or ``wordpiece``.
        vocab_size: Entries, special tokens included.
        asked_size: Entries that were asked for; a small text has fewer pieces that occur often
            enough.
        special_tokens: Ids by token.
        source: The data, as they were named.
        documents: Documents learnt from, empty ones included.
        characters: Their characters.
        left_out: Documents of the source not learnt from, because `nextfill train` with the same
            data settings and seed does not train on them.
        held_out: Documents that it would score.
        bytes_per_token: UTF-8 bytes of these / their tokens; NaN where they have none.
    """

    tokenizer: str
    kind: str
    vocab_size: int
    asked_size: int
    special_tokens: Mapping[str, int]
    source: str
    documents: int
    characters: int
    left_out: int
    held_out: int
    bytes_per_token: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return what there is to tell, as text: name and value."""
        fewer = f" (of {self.asked_size:,})" if self.vocab_size < self.asked_size else ""
        return [
            ("vocabulary", f"{self.vocab_size:,} entries{fewer}"),
            ("special tokens", " ".join(self.special_tokens)),
            ("learnt from", f"{_documents(self.documents)}, {self.characters:,} characters"),
            ("left out", f"{_documents(self.left_out)}, as nextfill train does"),
            (
                "bytes per token",
                f"{self.bytes_per_token:.3f} on {_documents(self.held_out, 'held-out ')}",
            ),
            ("folder", self.tokenizer),
        ]

    def __repr__(self) -> str:
        return text_table(f"Tokenizer ({self.kind})", (), self.rows())

    def _repr_html_(self) -> str:
        return card(f"Tokenizer ({self.kind})", card_table((), self.rows()))


def _documents(number: int, kind: str = "") -> str:
    return f"{number:,} {kind}document{'' if number == 1 else 's'}"
