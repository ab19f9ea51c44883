"""The portions of a source that is read as it comes, each a token store of its own.

A portion ends with the record that reaches its size, so that where it ends depends on the records
alone. It is written when it is asked for, and found again by the source, its settings and its
number: a run that goes on, and another run over the same source, read nothing twice. The first is
small, since the first step waits for it, and has records enough to hold some out.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from nextfill.config import DataConfig
from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.core.locks import let_go
from nextfill.data.document import Document, ReadCounts, Record, Source
from nextfill.data.source_parts import read_documents, text_join
from nextfill.data.store.cache_place import Cache, Removals, place_of
from nextfill.data.store.encoder import Encoder, Engine
from nextfill.data.store.store_cache import open_or_write
from nextfill.data.store.token_store import TokenStore

FIRST_CHARACTERS = 1_000_000
"""Most characters of the first portion, beyond its least records.

A tenth of them is held out, 25,000 tokens, which are scored in seconds before the first step.
"""

FIRST_RECORDS = 20
"""Least records of the first portion, however long: of fewer, a tenth is hardly any."""

MOST_RECORDS = 1 << 20
"""Most records of a portion, be they all empty."""

_MARGIN = 1.05
"""Bytes of a portion by those of another: texts differ, and the last one goes beyond its size."""

FIELDS_VERSION = 1
"""Part of every store's key: raise it when the same records give other documents than before."""

OnProgress = Callable[[int, int], None]


class ReadingStoppedError(Exception):
    """The reading of a portion was given up on request."""


def store_parts(source: Source, data: DataConfig) -> dict[str, Any]:
    """Return what determines the documents of a source, for the key of their store."""
    parts: dict[str, Any] = {
        "source": source.fingerprint,
        "text_field": data.text_field,
        "join": text_join(source, data),
        "explode": data.explode,
        "fields_version": FIELDS_VERSION,
    }
    if data.context_field is not None:
        parts["context_field"] = data.context_field
    if data.keep_fields:
        parts["keep_fields"] = data.keep_fields
    if source.lacks:
        parts["lacks"] = list(source.lacks)
    return parts


class SourcePortions:
    """The portions of one source, opened by one thread at a time.

    Args:
        source: The records.
        data: The settings of the source.
        tokenizer: The tokenizer.
        cache: The place of their stores.
    """

    def __init__(
        self,
        source: Source,
        data: DataConfig,
        tokenizer: Any,
        *,
        cache: Cache,
    ) -> None:
        self.source = source
        self._data, self._tokenizer = data, tokenizer
        self.removals = Removals()
        self._cache = replace(place_of(cache), removals=self.removals, store=None)
        self._room_bytes = 0  # that one more portion's store may need
        self._parts = {
            **store_parts(source, data),
            "first_portion": [FIRST_CHARACTERS, FIRST_RECORDS],
        }
        self._parts["portion_size"] = data.portion_size
        self.first_records = [0]  # of each portion up to the one not opened yet
        self._fields: tuple[str | None, str | None] = (None, None)  # as the first portion has them
        self._encoder: Encoder | None = None
        self._records: Iterator[Record] | None = None
        self._position = 0  # records read so far
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have the portion that is being written given up."""
        self._stopped.set()

    def open_first(self, on_progress: OnProgress) -> tuple[TokenStore, bool]:
        """Open or write the first portion."""
        opened = self.open(0, on_progress)
        if opened is None:
            raise DataError(f"{self.source.name}: holds no records.")
        return opened

    def open(
        self, number: int, on_progress: OnProgress | None = None
    ) -> tuple[TokenStore, bool] | None:
        """Open or write a portion, and return whether it was there; None after the last one.

        Those before it are opened first where they have not been yet.
        """
        while len(self.first_records) <= number:
            earlier = self.open(len(self.first_records) - 1)
            if earlier is None:
                return None
            let_go(earlier[0].path)
        store, reused = open_or_write(
            self._cache,
            {**self._parts, "portion": number},
            lambda: self._read(number),
            self._tokenizer,
            name=f"{self.source.name}, portion {number + 1}",
            verify=self._data.verify,
            on_progress=on_progress,
            make_encoder=self._encoder_of,
            room_bytes=self._room_bytes,
        )
        self._room_bytes = max(self._room_bytes, self._foreseen_bytes(store))
        counts = store.meta["counts"]
        if counts["records"] == 0:  # an empty store marks the end
            let_go(store.path)
            return None
        if number == 0:
            self._fields = counts["text_field"], counts.get("context_field")
        if len(self.first_records) == number + 1:
            self.first_records.append(self.first_records[number] + counts["records"])
        return store, reused

    def _foreseen_bytes(self, store: TokenStore) -> int:
        """Return the bytes that a whole portion takes if it is as one that is there.

        The first is smaller, and the only one that is known where a run goes on.
        """
        size, characters = _size_bytes(store), store.meta["totals"]["characters"]
        if characters < FIRST_CHARACTERS:  # the last one, or nothing but empty records
            return size
        most = max(characters, int(self._data.portion_size * 1e6))
        return int(_MARGIN * size * most / characters)

    def _encoder_of(self, engine: Engine) -> Encoder:
        """Return the same encoder for every portion, the slower one from where it is needed on."""
        if self._encoder is None or engine == "tokenizers":
            self._encoder = Encoder(self._tokenizer, engine)
        return self._encoder

    def _read(self, number: int) -> tuple[Iterator[Document], ReadCounts]:
        """Return the documents of a portion, and the counts that fill up while they are read."""
        counts = ReadCounts()
        return self._documents(number, counts), counts

    def _documents(self, number: int, counts: ReadCounts) -> Iterator[Document]:
        size = int(self._data.portion_size * 1e6)
        most, least_records = size, 1
        if number == 0:
            most, least_records = min(size, FIRST_CHARACTERS), FIRST_RECORDS
        characters = 0
        self._go_to(self.first_records[number])
        tables, beside = self._found()

        def records() -> Iterator[Record]:
            for count, record in enumerate(self._each(), start=1):
                yield record  # all its documents are measured before the next is asked for
                if count >= MOST_RECORDS or (characters >= most and count >= least_records):
                    return

        found = self._fields if number else None
        source = replace(self.source, read=records)
        read, _ = read_documents(source, self._data, counts=counts, found=found)
        for document in read:
            characters += len(document.text)
            yield document
        now_tables, now_beside = self._found()
        counts.tables, counts.beside_text = dict(now_tables - tables), dict(now_beside - beside)

    def _found(self) -> tuple[Counter[str], Counter[str]]:
        """Count what was found beside text so far, by kind."""
        beside = sum(map(Counter, self.source.beside_text.values()), Counter[str]())
        return Counter(self.source.tables.values()), beside

    def _go_to(self, first: int) -> None:
        """Place the reading before a record, if need be from the beginning."""
        if self._records is None or self._position > first:
            self._records, self._position = self.source.read(), 0
        for _ in islice(self._each(), first - self._position):
            pass
        if self._position < first:
            raise DataError(
                f"{self.source.name}: found {amount(self._position, 'record')}, fewer than when "
                "this "
                "was read before. Bring the data back as they were, or start a new run."
            )

    def _each(self) -> Iterator[Record]:
        """Yield the records from the present place on; after an error, the place is lost."""
        try:
            while (record := self._next()) is not None:
                yield record
        except GeneratorExit:  # no more is wanted for now
            raise
        except BaseException:
            self._records = None
            raise

    def _next(self) -> Record | None:
        if self._stopped.is_set():
            raise ReadingStoppedError
        record = None if self._records is None else next(self._records, None)
        self._position += record is not None
        return record


def _size_bytes(store: TokenStore) -> int:
    """Return the size of a store's files."""
    return sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
