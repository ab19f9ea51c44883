"""The texts that a tokenizer learns from, and those held out, told apart without a token store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.config import DataConfig
from nextfill.core.errors import DataError
from nextfill.data.document import Document, Source
from nextfill.data.preparation import no_text_error, open_parts, open_whole, read_documents
from nextfill.data.store.token_store import DOCUMENT
from nextfill.data.store.writer import batches, document_rows
from nextfill.data.train_test_split import held_out, shared_texts, split_off

Progress = Callable[[str, int, int], None]
"""Told of a stage's label, of what is done, and of what there is to do (0 where unknown)."""

SNIPPET_CHARACTERS = 1 << 16
"""About how much of a text is handed on at once; a book in one piece takes a GB of memory."""

_LONG_RUN = re.compile(r"\S{1000}|\s{1000}")
_END_OF_WORD = re.compile(r"\S(?=[ \n])")


@dataclass(frozen=True)
class Texts:
    """Documents of a source, or some of them, to be gone through again and again.

    Args:
        source: The source.
        data: The data section; says what the text of a record is.
        chosen: Which documents, ``[documents] bool``; None for all.
        num_characters: Characters of these documents; 0 where nobody has counted them.
    """

    source: Source
    data: DataConfig
    chosen: NDArray[np.bool_] | None = None
    num_characters: int = 0

    @property
    def num_documents(self) -> int:
        """Documents chosen."""
        return 0 if self.chosen is None else int(self.chosen.sum())

    def documents(self) -> Iterator[Document]:
        """Go through the documents, empty ones included."""
        documents, counts = read_documents(self.source, self.data)
        found = False
        for number, document in enumerate(documents):
            if self.chosen is None or self.chosen[number]:
                found = found or bool(document.text.strip())
                yield document
        if not found:
            raise no_text_error(self.source, self.data, counts)

    def __iter__(self) -> Iterator[str]:
        """Go through the texts, long ones cut where no tokenizer joins what is cut."""
        for document in self.documents():
            yield from snippets(document.text)


@dataclass(frozen=True)
class Division:
    """Texts told apart as `nextfill train` does with the same data settings and seed.

    Args:
        learnt: What may be learnt from.
        held_out: What is not.
        left_out: Documents of the source that are not learnt from: held out, set apart for
            validation, or their text also stands in the evaluation data.
    """

    learnt: Texts
    held_out: Texts
    left_out: int


def snippets(text: str, size: int = SNIPPET_CHARACTERS) -> Iterator[str]:
    """Cut a text between a word and the white space after it, where no pre-tokenizer joins.

    A run of a thousand characters without white space, or of nothing else, is cut, too: the
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
    """Tell apart what may be learnt from and what `nextfill train` would hold out."""
    source, other = open_parts(data)
    rows = _describe(source, data, f"reading {source.name}", on_progress)
    if other is None:
        apart = split_off(rows, data, seed, advice=source.advice)
        rest = _some(source, data, rows, apart)
    else:
        theirs = _describe(other, data, f"reading held-out {other.name}", on_progress)
        apart = shared_texts(rows, theirs)
        rest = _some(other, data, theirs, np.ones(len(theirs), np.bool_))
        if not rows["words"][~apart].any():
            raise DataError(
                "Every document also stands in the evaluation data, and nothing is left to learn "
                "from: give other text with --eval-data, another --eval-split, or --test-size."
            )
    if data.validation_size is not None:
        numbers = np.flatnonzero(~apart)
        chosen = held_out(rows[numbers], data.validation_size, seed, flag="--validation-size")
        apart = apart.copy()  # the held-out part goes by it
        apart[numbers[chosen]] = True
    return Division(_some(source, data, rows, ~apart), rest, int(apart.sum()))


def texts_to_inspect(data: DataConfig, seed: int, on_progress: Progress) -> Texts:
    """Choose the texts that a tokenizer is looked at on."""
    if data.test_size is None and data.eval_source is None and data.eval_split is None:
        return Texts(open_whole(data), data)
    return divide(data, seed, on_progress).held_out


def _some(
    source: Source, data: DataConfig, rows: NDArray[np.void], chosen: NDArray[np.bool_]
) -> Texts:
    return Texts(source, data, chosen, int(rows["characters"][chosen].sum()))


def _describe(
    source: Source, data: DataConfig, label: str, on_progress: Progress
) -> NDArray[np.void]:
    """Read a source once, to know what is divided: 72 bytes a document, whatever its length."""
    documents, counts = read_documents(source, data)
    found = [np.zeros(0, DOCUMENT)]
    size = 0
    for batch in batches(documents):
        rows = document_rows(batch, [document.text.encode() for document in batch])
        rows["tokens"] = rows["characters"]  # of each of which something can be learnt
        found.append(rows)
        size += int(rows["bytes"].sum())
        on_progress(label, size, 0)
    whole = np.concatenate(found)
    if not whole["words"].any():
        raise no_text_error(source, data, counts)
    return whole
