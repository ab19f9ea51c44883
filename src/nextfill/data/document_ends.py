"""The ends of documents, cut off at a paragraph: what is held out where whole ones are too much."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.amounts import verb
from nextfill.data.document import Document, ReadCounts, Source
from nextfill.data.source_parts import read_documents
from nextfill.data.store.document_fields import Fields
from nextfill.data.store.encoded_batch import document_rows
from nextfill.data.store.token_store import DOCUMENT
from nextfill.data.train_test_split import DEFAULT_TEST_SIZE, DEFAULT_VALIDATION_SIZE

FEW = 10
"""Documents from which on a tenth of them is one at least."""

_MOST_ROWS = 1000
_FEWEST_WHOLE = 5
_LARGE = 0.25
_BREAKS = (r"\n[ \t]*\r?\n\s*", r"[\r\n]+", r"[.!?]['\")]*\s+|[。！？]", r"\s+")  # noqa: RUF001
"""Places to cut at: between paragraphs, else lines, sentences, words."""


@dataclass(frozen=True)
class EndShares:
    """The shares of each document that are cut off.

    Args:
        held_out: The share of the end.
        validation: The share, of what comes before the end, of the part right before it: trained
            on, or set apart for validation.
    """

    held_out: float
    validation: float

    @classmethod
    def of(cls, data: DataConfig) -> EndShares:
        """Return the shares that the settings say, where they are not numbers of documents."""
        validation = data.validation_size or 1
        return cls(
            data.test_size or DEFAULT_TEST_SIZE,
            validation if validation < 1 else DEFAULT_VALIDATION_SIZE,
        )

    def to_json(self) -> list[float]:
        """Return plain data, for the key of a store."""
        return [self.held_out, self.validation]


def ends_apply(rows: Fields, data: DataConfig) -> bool:
    """Check that the ends of documents are to be held out, and not whole ones.

    Unless a size was typed, that is where there are fewer than five, or one is more than a quarter
    of all text, so that it would be nearly all of one side. With a typed share it is where this
    is less than one of a few documents.
    """
    worded = rows["words"] > 0
    number = int(np.count_nonzero(worded))
    if not number:
        return False
    if data.test_size is None:
        characters = rows["characters"][worded]
        largest = int(characters.max()) / int(characters.sum())
        applies = number < _FEWEST_WHOLE or largest > _LARGE
    else:
        is_few = number < FEW and data.test_size < 1
        applies = is_few and (number == 1 or round(data.test_size * number) == 0)
    return applies and len(np.unique(rows["record"][worded])) == number


def rows_of_few(source: Source, data: DataConfig) -> NDArray[np.void] | None:
    """Return the rows of a source's documents, without tokens; None if there are ten and more.

    None, too, if they begin with a context: of such a document no end can stand alone.

    No more documents than these are read.
    """
    documents, counts = read_documents(source, data)
    rows = [np.zeros(0, DOCUMENT)]
    worded = 0
    for document in documents:
        rows.append(document_rows([document], [document.text.encode()]))
        worded += bool(rows[-1]["words"][0])
        if worded == FEW or len(rows) > _MOST_ROWS:
            return None
    return None if counts.context_field else np.concatenate(rows)


def place_to_cut(text: str, share: float = 0.1) -> int:
    r"""Return where the last part of a text begins, at a break near it; 0 if there is none.

    The end is held out, and not the middle: what is trained on then comes before it, as a writer
    goes on from what is there.

    Example:
        >>> text = "one two\n\n" * 20
        >>> text[place_to_cut(text) :] == "one two\n\n" * 2
        True
    """
    wanted = (1 - share) * len(text)
    low, high = int(max(len(text) * (1 - 3 * share), wanted / 2)), int(len(text) * (1 - share / 3))
    for pattern in _BREAKS:
        ends = [low + found.end() for found in re.finditer(pattern, text[low:high])]
        if ends:
            return min(ends, key=lambda end: abs(end - wanted))
    return 0


def read_pieces(
    source: Source, data: DataConfig, shares: EndShares | None
) -> tuple[Iterator[Document], ReadCounts]:
    """Return the documents of a source, in pieces if shares are cut off, and their counts."""
    documents, counts = read_documents(source, data)
    return (documents if shares is None else with_ends_apart(documents, counts, shares)), counts


def with_ends_apart(
    documents: Iterator[Document], counts: ReadCounts, shares: EndShares
) -> Iterator[Document]:
    """Yield each document in pieces: its end last, and before that the part for validation."""
    for document in documents:
        end = place_to_cut(document.text, shares.held_out) if document.text.strip() else 0
        before = place_to_cut(document.text[:end], shares.validation) if end else 0
        bounds = [*dict.fromkeys((0, before, end)), len(document.text)]
        counts.documents += len(bounds) - 2
        for start, stop in pairwise(bounds):
            yield document._replace(text=document.text[start:stop])


def ends(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mark the last of several pieces of each record, ``[documents] bool``.

    Of pieces without the ends these are the parts for validation.
    """
    same = rows["record"][1:] == rows["record"][:-1]
    marked = np.zeros(len(rows), np.bool_)
    marked[1:] = same
    marked[:-1] &= ~same
    return marked


def whose_ends(rows: NDArray[np.void]) -> tuple[str, int]:
    """Return in words whose ends are cut off, and their number.

    Of documents that are too short to cut, or without text, nothing is held out.

    Args:
        rows: Rows of ``token_store.DOCUMENT`` of the pieces of documents, ``[pieces]``.
    """
    worded = rows[rows["words"] > 0]
    number = int(np.count_nonzero(ends(worded)))
    whole = len(np.unique(worded["record"]))
    if whole == 1:
        return "the end of its only document", number
    if number == whole:
        return f"the ends of its {whole:,} documents", number
    return f"the {verb(number, 'end', 'ends')} of {number:,} of its {whole:,} documents", number
