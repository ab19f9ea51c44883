"""Copies: documents with the text of another, counted, and told where they decide a figure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextfill.config.command_line.python_messages import as_called
from nextfill.core.amounts import amount, verb
from nextfill.core.shell_command import shell_word
from nextfill.data.parts import Part, PreparedData
from nextfill.data.records.files import warn_once
from nextfill.data.store.document_fields import first_tokens, marked_fields, values
from nextfill.data.store.text_hashes import number_texts, repeated
from nextfill.data.store.tokenizer_backend import plain_backend

logger = logging.getLogger("nextfill")

_TOLD_FROM = 0.01
"""Share of the documents that are copies from which on they are told."""

_MOST_HELD = 0.5
"""Share of the held-out documents that may be copies."""

_MOST_TOKENS = 16
_MOST_NAMED = 3


@dataclass(frozen=True)
class Copies:
    """The copies among some documents; a text without words has none.

    Args:
        documents: Documents with words.
        number: Those of them whose text is that of one before.
        most: The number of documents with the most frequent text.
        document: The first of these in its store.
        files: The files with the most frequent text, where documents are whole files.
    """

    documents: int
    number: int
    most: int
    document: int
    files: Sequence[str] = ()


def copies_of(part: Part) -> Copies:
    """Count the copies among the documents of a part."""
    rows = part.fields
    worded = rows["words"] > 0
    num_worded = int(np.count_nonzero(worded))
    if not num_worded:
        return Copies(0, 0, 0, 0)
    is_several = repeated(rows)
    is_several &= worded
    several = np.flatnonzero(is_several)
    text = number_texts(marked_fields(rows, is_several)["hash"])
    counts = np.bincount(text)
    most = int(counts.argmax()) if len(counts) else 0
    if not len(counts) or counts[most] == 1:  # each text once: any stands for them
        return Copies(num_worded, 0, 1, int(part.documents[worded.argmax()]))
    found = part.documents[several[text == most]]
    records = values(part.store, "record", found[:_MOST_NAMED]).tolist()
    files = tuple(filter(None, map(part.store.record_name, records)))
    number = len(several) - len(counts)
    return Copies(num_worded, number, int(counts[most]), int(found[0]), files)


def tell_copies(prepared: PreparedData, name: str, tokenizer: object) -> None:
    """Tell the copies among all documents of a source once, and those held out each time.

    What is held out of copies decides the held-out figures, which are told each time, too.
    """
    held = copies_of(prepared.held_out)
    parts = [(prepared.train, copies_of(prepared.train)), (prepared.held_out, held)]
    if prepared.num_ends:  # the ends of the same documents
        train = prepared.train.joined()
        parts = [(train, copies_of(train))]
    number, total = (sum(getattr(one, key) for _, one in parts) for key in ("number", "documents"))
    part, most = max(parts, key=lambda one: one[1].most)

    def message() -> str:
        return (
            f"{name}: {number:,} of {amount(total, 'document')} {verb(number, 'has', 'have')} the "
            f"text of another before, most often {_beginning(part, most, tokenizer)} "
            f"({most.most:,} times{_in_files(most)}). Copies are kept, and equal texts stand on "
            "one side, to train on or held out"
        )

    if number and number >= _TOLD_FROM * total:
        content = [one.store.meta["content_sha256"] for one, _ in parts]
        warn_once(message, ["copies", *content, number, most.most])
    if words := mostly_copies(prepared.held_out, tokenizer):
        remedy = as_called("Take them out, or name other text to hold out: --eval-data FILE")
        logger.warning(
            "%s: the %s held out are %s. %s",
            *(name, amount(held.documents, "document"), words, remedy),
        )


def mostly_copies(part: Part, tokenizer: object) -> str:
    """Return in words what a part to score is where most of it are copies, else nothing."""
    found = copies_of(part)
    if found.number <= _MOST_HELD * found.documents:
        return ""
    different, text = found.documents - found.number, _beginning(part, found, tokenizer)
    texts = f"{different:,} different texts" if different > 1 else "one text"
    most = f"{found.most:,}" if different > 1 else "all"
    return f"{texts}, and {most} of them are {text}: the figures are mostly of copies"


def _in_files(some: Copies) -> str:
    """Return the files of the most frequent text in words, or "" where none is a document."""
    if not some.files:
        return ""
    named, more = [*map(shell_word, some.files)], some.most - len(some.files)
    last = f"{more:,} more" if more else named.pop()
    return f": {', '.join(named)} and {last}"


def _beginning(part: Part, some: Copies, tokenizer: object) -> str:
    """Return the beginning of the most frequent text, in quotes."""
    ids = first_tokens(part.store, some.document, _MOST_TOKENS + 1).tolist()
    more = " ..." if len(ids) > _MOST_TOKENS else ""
    text = plain_backend(tokenizer).decode(ids[:_MOST_TOKENS], skip_special_tokens=False)
    return repr(text.strip() + more)
