"""The held-out part of data that are one document: its end, from a paragraph on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nextfill.data.document import Document, ReadCounts

_WANTED = 0.9
_EARLIEST, _LATEST = 0.7, 0.97
_BREAKS = (r"\n[ \t]*\r?\n\s*", r"[\r\n]+", r"[.!?]['\")]*\s+|[。！？]", r"\s+")  # noqa: RUF001
"""Places to cut at: between paragraphs, else lines, sentences, words."""


def is_single(rows: NDArray[np.void]) -> bool:
    """Check that all text is in one document."""
    return int(np.count_nonzero(rows["words"])) == 1


def place_to_cut(text: str) -> int:
    r"""Return where the last tenth of a text begins, at a break near it; 0 if there is none.

    The end is held out, and not the middle: what is trained on then comes before it, as a writer
    goes on from what is there.

    Example:
        >>> text = "one two\n\n" * 20
        >>> text[place_to_cut(text) :] == "one two\n\n" * 2
        True
    """
    low, high = int(_EARLIEST * len(text)), int(_LATEST * len(text))
    for pattern in _BREAKS:
        ends = [low + found.end() for found in re.finditer(pattern, text[low:high])]
        if ends:
            return min(ends, key=lambda end: abs(end - _WANTED * len(text)))
    return 0


def with_end_apart(documents: Iterator[Document], counts: ReadCounts) -> Iterator[Document]:
    """Yield documents, the one with text in two: what comes before the cut, and its end."""
    for document in documents:
        at = place_to_cut(document.text) if document.text.strip() else 0
        if at:
            counts.documents += 1
            yield replace(document, text=document.text[:at])
        yield replace(document, text=document.text[at:])


def ends(rows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Mark the second of two documents of one record, ``[documents] bool``."""
    marked = np.zeros(len(rows), np.bool_)
    marked[1:] = rows["record"][1:] == rows["record"][:-1]
    return marked
