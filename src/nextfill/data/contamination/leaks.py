"""Held-out documents that are in the training data, word for word or nearly.

The search compares runs of 13 words, as numbers of 64 bits. Those of the held-out documents are in
memory, some millions of them at most, and the training documents are read once: the time is linear
in both, and the memory is bounded but for a few numbers for each document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.amounts import amount, verb
from nextfill.core.errors import DataError
from nextfill.core.heap import give_back_free_memory
from nextfill.core.shared_cache import recall, remember
from nextfill.data.contamination.ngram_index import MOST_RUNS, NO_DOCUMENT, RunIndex, SharedRuns
from nextfill.data.contamination.token_fragments import Ints
from nextfill.data.contamination.word_hashes import FoldedVocabulary
from nextfill.data.parts import Part, shared_texts
from nextfill.data.store.document_fields import values
from nextfill.data.store.tokenizer_backend import plain_backend
from nextfill.data.store.vocabulary import read_vocabulary

FORMAT = 2
"""Version of the cached search: raise it when the same parts give other leaks than before."""

SAMPLE_FORMAT = b"1"
"""The same of searches by a sample of the held-out runs."""

NEAR = 0.5
"""Share of a document's runs in the training data from which on it counts as leaked.

One shared run is enough in GPT-3's report, but a quotation is no leak.
"""

LEAKED = "held out, nearly in the training data"
"""Reason for dropping a held-out document."""

MOST_PAIRS = 100
"""Pairs of documents in a result."""

MOST_NAMED = 3
"""Pairs of documents in a message."""


@dataclass(frozen=True)
class Leak:
    """The records of a held-out document and of the training document that shares most with it.

    Args:
        share: Share of its runs of 13 words in the training data; 1 for the same text.
    """

    record: int
    train_record: int
    share: float


@dataclass(frozen=True)
class Leaks:
    """The leaked documents, and counts of the search.

    Args:
        documents: Numbers of the held-out documents that leaked, ascending, ``[L] int64``.
        checked: Held-out documents with tokens.
        too_short: Those of fewer than 13 words, which only leak as the same text.
        exact: Documents whose words are those of a training document.
        near: Others of which half and more is in the training data.
        pairs: Some of them, the surest first.
        one_run_in: How many runs of the held-out documents one was looked for; 1 if all were.
    """

    documents: Ints
    checked: int
    too_short: int
    exact: int
    near: int
    tokens: int
    pairs: tuple[Leak, ...]
    one_run_in: int = 1

    def to_json(self) -> dict[str, int]:
        """Return the counts as plain data."""
        return {
            "checked": self.checked,
            "too_short": self.too_short,
            "exact": self.exact,
            "near": self.near,
            "tokens": self.tokens,
            **({"one_run_in": self.one_run_in} if self.one_run_in > 1 else {}),
        }

    def in_words(self, held_out: Part, train: Part, *, dropped: bool = False) -> str:
        """Describe the leaks to the user, by file names if there are, and name the flag against."""
        count = self.exact + self.near
        named = [
            f"{held_out.store.record_name(leak.record) or leak.record} ({leak.share:.0%} in "
            f"{train.store.record_name(leak.train_record) or leak.train_record})"
            for leak in self.pairs
        ]
        noun = "" if held_out.store.names else verb(len(named), "record ", "records ")
        more = " ..." if len(named) > MOST_NAMED else ""
        records = f"; {noun}{', '.join(named[:MOST_NAMED])}{more}" if named else ""
        return (
            f"of {amount(self.checked, 'evaluated document')}, {count:,} also "
            f"{verb(count, 'stands', 'stand')} in the training data: {self.exact:,} word for word, "
            f"{self.near:,} nearly{records}. "
            + (
                f"{verb(count, 'It is', 'They are')} left out."
                if dropped
                else f"train and evaluate leave {verb(count, 'it', 'them')} out with --drop-leaks."
            )
        )


def drop_documents(part: Part, documents: Ints) -> Part:
    """Return a part without some documents."""
    left = Part(part.store, np.setdiff1d(part.documents, documents))
    if left.num_texts == 0 and part.num_texts > 0:
        raise DataError(
            f"{_all_of(part.num_texts)} in the training data, too: leave --drop-leaks out, or "
            "give other text with --eval-data (--data of evaluate)"
        )
    return left


def _all_of(number: int) -> str:
    """Return all documents that are evaluated, however many, and the verb."""
    if number == 1:
        return "the only document that is evaluated stands"
    return f"all {number:,} documents that are evaluated stand"


def cached_leaks(
    train: Part,
    held_out: Part,
    tokenizer: Any,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Return the result of `find_leaks`, cached beside the training part's store."""
    key = hashlib.sha256(str(FORMAT).encode())
    if held_out.num_tokens > MOST_RUNS:  # of which a sample may be looked for
        key.update(SAMPLE_FORMAT)
    for part in (train, held_out):
        key.update(part.store.meta["content_sha256"].encode())
        for column in (part.documents, part.fields["record"]):
            key.update(np.ascontiguousarray(column, "<i8").data)
    name = key.hexdigest()[:32]
    file = train.store.path / f"leaks-{name}.json"
    if (known := _from_cache(recall(file, name))) is not None:
        return known
    leaks = find_leaks(train, held_out, tokenizer, on_progress)
    facts = {**asdict(leaks), "documents": leaks.documents.tolist()}
    if leaks.one_run_in == 1:
        del facts["one_run_in"]
    remember(file, name, facts)
    return leaks


def _from_cache(facts: Any) -> Leaks | None:
    """Read a cached result; None for none, or one of another shape."""
    try:
        pairs = tuple(Leak(**one) for one in facts.pop("pairs"))
        documents, counts = facts.pop("documents"), facts
        shares = [pair.share for pair in pairs]
        whole = [*documents, *counts.values()]
        whole += [number for pair in pairs for number in (pair.record, pair.train_record)]
        if {*map(type, whole)} - {int} or {*map(type, shares)} - {float}:
            return None
        return Leaks(documents=np.array(documents, np.int64), pairs=pairs, **counts)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def find_leaks(
    train: Part,
    held_out: Part,
    tokenizer: Any,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Find the held-out documents that are also in the training part."""
    vocabulary = FoldedVocabulary.of(read_vocabulary(plain_backend(tokenizer)))
    give_back_free_memory()
    index = RunIndex.of(held_out, vocabulary)
    give_back_free_memory()
    shared = SharedRuns.of(train, index, vocabulary, on_progress)
    same_text = shared_texts(held_out.fields, train.fields)
    exact = same_text | (shared.twin != NO_DOCUMENT)
    num_runs = np.diff(index.bounds)
    num_shared = np.zeros(len(index.run) + 1, np.uint32)
    np.cumsum(shared.count[index.run] > 0, out=num_shared[1:])
    share = np.diff(num_shared[index.bounds]) / np.maximum(num_runs, 1)
    near = (share >= NEAR) & ~exact
    leaked = exact | near
    return Leaks(
        documents=held_out.documents[leaked],
        checked=held_out.num_texts,
        too_short=int(np.count_nonzero((held_out.lengths > 0) & (num_runs == 0))),
        exact=int(exact.sum()),
        near=int(near.sum()),
        tokens=int(held_out.lengths[leaked].sum()),
        pairs=tuple(_pairs(train, held_out, index, shared, np.where(exact, 1.0, share))),
        one_run_in=index.one_in,
    )


def _record(part: Part, document: int) -> int:
    return int(values(part.store, "record", np.array([document]))[0])


def _pairs(
    train: Part, held_out: Part, index: RunIndex, shared: SharedRuns, share: NDArray[np.float64]
) -> Iterator[Leak]:
    """Yield each leaked document with the training document that shares most, the surest first.

    A run of several training documents counts for the first of them, and as much less.
    """
    surest = [at for at in np.argsort(-share, kind="stable").tolist() if share[at] >= NEAR]
    named = 0
    for at in surest:
        twin = int(shared.twin[at])
        if twin == NO_DOCUMENT:
            run = index.run[index.bounds[at] : index.bounds[at + 1]]
            run = run[shared.count[run] > 0]
            if not len(run):  # the same text, without words
                continue
            candidates, which = np.unique(shared.first[run], return_inverse=True)
            twin = int(candidates[np.argmax(np.bincount(which, 1 / shared.count[run]))])
        record = _record(held_out, int(held_out.documents[at]))
        yield Leak(record, _record(train, twin), float(share[at]))
        named += 1
        if named == MOST_PAIRS:
            return
