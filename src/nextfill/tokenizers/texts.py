"""The texts for training a tokenizer, and the held-out ones, divided without a token store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.core.progress import Progress
from nextfill.data.document import Document, Source
from nextfill.data.document_ends import EndShares, ends, ends_apply, read_pieces
from nextfill.data.parts import shared_texts
from nextfill.data.source_parts import no_text_error, open_parts, open_whole
from nextfill.data.store.encoded_batch import batches, document_rows
from nextfill.data.store.token_store import DOCUMENT
from nextfill.data.train_test_split import held_out, split_off

SNIPPET_CHARACTERS = 1 << 16
"""Approximate length of a piece of text; a book in one piece takes a GB of memory."""

_LONG_RUN = re.compile(r"\S{1000}|\s{1000}")
_END_OF_WORD = re.compile(r"\S(?=[ \n])")


@dataclass(frozen=True)
class Texts:
    """Documents of a source, or some of them, for repeated iteration.

    Args:
        shares: Where documents are in pieces, whose ends are held out.
        chosen: The mask of the documents, ``[documents] bool``; None for all.
        num_documents: Number of these, pieces of one counted once; 0 where all are chosen.
        num_characters: Characters of these documents; 0 where unknown.
    """

    source: Source
    data: DataConfig
    shares: EndShares | None = None
    chosen: NDArray[np.bool_] | None = None
    num_documents: int = 0
    num_characters: int = 0

    def documents(self) -> Iterator[Document]:
        """Read the documents, empty ones included, and refuse a source without any text."""
        documents, counts = read_pieces(self.source, self.data, self.shares)
        has_text = False
        for number, document in enumerate(documents):
            if self.chosen is None or self.chosen[number]:
                has_text = has_text or bool(document.text.strip())
                yield document
        if not has_text:
            raise no_text_error(self.source, self.data, counts)

    def __iter__(self) -> Iterator[str]:
        """Read the texts, long ones in pieces that no tokenizer would join."""
        for document in self.documents():
            yield from snippets(document.text)


@dataclass(frozen=True)
class Division:
    """Texts divided as `nextfill train` does with the same data settings and seed.

    Args:
        learnt: Texts for the training.
        held_out: Texts for the evaluation.
        left_out: Number of the source's documents outside the training, or with an end there: held
            out, set apart for validation, or with a text of the evaluation data.
    """

    learnt: Texts
    held_out: Texts
    left_out: int


def snippets(text: str, size: int = SNIPPET_CHARACTERS) -> Iterator[str]:
    """Cut a text between words and the white space after them, where no pre-tokenizer joins.

    A run of a thousand characters without white space, or of white space alone, is cut, too: the
    trainers' time grows with the square of a word's length.

    Example:
        >>> list(snippets("one two  three", size=4))
        ['one two', '  three']
    """
    start = 0
    for run in _LONG_RUN.finditer(text):
        yield from _between_words(text[start : run.end()], size)
        start = run.end()
    yield from _between_words(text[start:], size)


def _between_words(text: str, size: int) -> Iterator[str]:
    start = 0
    while len(text) - start > size:
        end = _END_OF_WORD.search(text, start + size - 1)
        if end is None:
            break
        yield text[start : end.end()]
        start = end.end()
    if start < len(text):
        yield text[start:]


def divide(data: DataConfig, seed: int, on_progress: Progress) -> Division:
    """Divide the texts into those for the training and those that `nextfill train` holds out."""
    source, other = open_parts(data)
    label = f"reading {source.name}"
    rows, has_contexts = _document_rows(source, data, label, on_progress)
    in_pieces = other is None and not has_contexts and ends_apply(rows, data)
    shares = EndShares.of(data) if in_pieces else None
    if shares is not None:
        rows, _ = _document_rows(source, data, label, on_progress, shares)
    before_ends = np.zeros(len(rows), np.bool_)
    if other is None:
        apart = ends(rows) if shares is not None else before_ends
        if apart.any():
            before_ends[~apart] = ends(rows[~apart])
        else:
            apart = split_off(rows, data, seed, advice=source.advice)
        rest = _subset(source, data, shares, rows, apart)
        apart = apart | shared_texts(rows, rows[apart])
    else:
        others, _ = _document_rows(other, data, f"reading held-out {other.name}", on_progress)
        apart = shared_texts(rows, others)
        rest = _subset(other, data, None, others, np.ones(len(others), np.bool_))
        if not rows["words"][~apart].any():
            raise DataError(
                "Every document also stands in the evaluation data, and nothing is left to learn "
                "from: give other text with --eval-data, another --eval-split, or --test-size."
            )
    size = data.validation_size
    if size is not None and size < 1 and before_ends.any():
        apart = apart | before_ends
    elif size is not None:
        numbers = np.flatnonzero(~apart)
        chosen = held_out(rows[numbers], size, seed, flag="--validation-size")
        apart[numbers[chosen]] = True
    left_out = _num_documents(rows, apart, shares)
    return Division(_subset(source, data, shares, rows, ~apart), rest, left_out)


def texts_to_inspect(data: DataConfig, seed: int, on_progress: Progress) -> Texts:
    """Return the texts for an inspection: the held-out ones, or all without such settings."""
    if data.test_size is None and data.eval_source is None and data.eval_split is None:
        return Texts(open_whole(data), data)
    return divide(data, seed, on_progress).held_out


def _subset(
    source: Source,
    data: DataConfig,
    shares: EndShares | None,
    rows: NDArray[np.void],
    chosen: NDArray[np.bool_],
) -> Texts:
    number, size = _num_documents(rows, chosen, shares), int(rows["characters"][chosen].sum())
    return Texts(source, data, shares, chosen, number, size)


def _num_documents(
    rows: NDArray[np.void], chosen: NDArray[np.bool_], shares: EndShares | None
) -> int:
    """Count documents, the pieces of one once."""
    return int(chosen.sum()) if shares is None else len(np.unique(rows["record"][chosen]))


def _document_rows(
    source: Source,
    data: DataConfig,
    label: str,
    on_progress: Progress,
    shares: EndShares | None = None,
) -> tuple[NDArray[np.void], bool]:
    """Read a source once for the rows of its documents or their pieces, of 72 bytes each.

    Also returns whether its documents begin with a context.
    """
    documents, counts = read_pieces(source, data, shares)
    parts = [np.zeros(0, DOCUMENT)]
    size = 0
    for batch in batches(documents):
        rows = document_rows(batch, [document.text.encode() for document in batch])
        rows["tokens"] = rows["characters"]  # without a tokenizer yet
        parts.append(rows)
        size += int(rows["bytes"].sum())
        on_progress(label, size, 0)
    rows = np.concatenate(parts)
    if not rows["words"].any():
        raise no_text_error(source, data, counts)
    return rows, counts.context_field is not None
