"""The writer of token stores: documents encoded in batches, into one shard after the other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.atomic_write import sync
from nextfill.core.background import in_threads
from nextfill.core.checksums import sealed
from nextfill.core.errors import DataError
from nextfill.core.json_text import escape_surrogates
from nextfill.core.locks import MACHINE, hold_folder
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.disk_errors import writing
from nextfill.data.store.encoded_batch import (
    EncodedBatch,
    EncodeTexts,
    Measured,
    batches,
    digest_bytes,
    encode,
    encode_as_they_are,
    measure,
    regrouped,
)
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.shard_writer import Columns, Ids, Rows, ShardWriter
from nextfill.data.store.store_integrity import (
    FORMAT_VERSION,
    DamagedStoreError,
    check_files,
    read_meta,
    shard_name,
)
from nextfill.data.store.store_upload import StoreUpload
from nextfill.data.store.token_store import TokenStore

SHARD_DOCUMENTS = 1 << 20

_LEFT_OUT = ("beside_text", "context_field")
"""Counts that stores have only where there is something to tell."""

_Done = tuple[int, int]
"""Documents and bytes of text that are written so far."""


@dataclass(frozen=True)
class EncodedDocuments:
    """Documents that are encoded already, by an encoder like that of the store.

    Args:
        batches: They may end anywhere.
    """

    batches: Iterable[EncodedBatch]


def write_store(
    path: Path,
    documents: Iterable[Document] | EncodedDocuments,
    encoder: Encoder,
    *,
    key: Mapping[str, object],
    counts: ReadCounts,
    name: str = "",
    shard_tokens: int = 1 << 24,
    on_progress: Callable[[int, int], None] | None = None,
    encode: EncodeTexts = encode_as_they_are,
    upload: StoreUpload | None = None,
) -> TokenStore:
    """Write documents into a new store beside its place, and put it there once it is whole.

    With an ``upload`` it is at the address before that, and a copy of the store there. Documents
    that are encoded already make the same bytes.
    """
    with writing(path.parent):
        folder = path.with_name(f"{path.name}.tmp-{os.getpid()}-{time.monotonic_ns()}-{MACHINE}")
        make_folder(folder)
    held = hold_folder(folder)
    writer = _StoreWriter(folder, encoder, shard_tokens, upload)
    try:
        if upload is not None:
            upload.begin(folder)
        if isinstance(documents, EncodedDocuments):
            filling = _add(writer, documents.batches)
        else:
            filling = _encode(writer, documents, encode)
        with closing(filling) as written:
            for done in written:
                if on_progress is not None:
                    on_progress(*done)
        with writing(path.parent):
            writer.finish(key, counts, name)
            _check_written(folder)
            if upload is not None:
                upload.finish(folder)
            _put_in_place(folder, path)
    finally:
        # Closing may fail again as the writing did; the first error is the one to report.
        with suppress(OSError):
            writer.release()
        if upload is not None:
            upload.close()
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
    return TokenStore.open(path)


def _encode(
    writer: _StoreWriter, documents: Iterable[Document], encode_texts: EncodeTexts
) -> Generator[_Done]:
    """Encode documents and write them, and yield what is written so far."""

    def add(measured: Measured) -> _Done:
        with writing(writer.folder.parent):
            return writer.encode(measured, encode_texts)

    # Documents are read while the last are hashed and counted, and those before them encoded,
    # mostly without Python's lock.
    with (
        closing(in_threads(writer.measure, batches(documents), threads=1)) as measured,
        closing(in_threads(add, measured, threads=1)) as added,
    ):
        yield from added


def _add(writer: _StoreWriter, encoded: Iterable[EncodedBatch]) -> Generator[_Done]:
    """Write documents that are encoded, and yield what is written so far."""
    for batch in regrouped(encoded):
        with writing(writer.folder.parent):
            done = writer.add(batch)
        yield done


def _check_written(folder: Path) -> None:
    """Read a store that was just written back from the disk."""
    try:
        check_files(folder, read_meta(folder), verify=True, fresh=True)
    except DamagedStoreError as error:
        raise DataError(
            f"the token store that was written to {folder.parent} is not what the disk holds: "
            f"{error.damage}. The disk or the memory may be failing: run again, or name another "
            "folder with --cache-dir"
        ) from error


def _put_in_place(folder: Path, path: Path) -> None:
    try:
        folder.rename(path)
    except OSError:
        if not path.exists():  # else another process has finished the same store
            raise
    else:
        with suppress(PermissionError):  # a folder that may be written and not listed
            sync(path.parent)


class _StoreWriter:
    """The writer of batches of documents into shards of a folder, with their totals."""

    def __init__(
        self, folder: Path, encoder: Encoder, shard_tokens: int, upload: StoreUpload | None
    ) -> None:
        self.folder = folder
        self._encoder = encoder
        self._shard_tokens = shard_tokens
        self._upload = upload
        self._columns: tuple[str, ...] | None = None
        self._content = hashlib.sha256()  # of the texts, each with its length before it
        self._shard: ShardWriter | None = None
        self._shards: list[dict[str, Any]] = []
        self.totals = dict.fromkeys(("documents", "tokens", "bytes", "characters", "words"), 0)

    def measure(self, batch: Sequence[Document]) -> Measured:
        """Count and hash the documents of a batch, in their order."""
        if self._columns is None:
            self._columns = tuple(batch[0].columns)
        measured = measure(batch, self._columns)
        self._digest(digest_bytes(measured), measured.contexts)
        return measured._replace(texts=())

    def encode(self, measured: Measured, encode_texts: EncodeTexts) -> _Done:
        """Encode and write a batch that was measured here."""
        first, columns = self.totals["documents"], self._columns or ()
        return self._append(
            encode(self._encoder, measured, columns, first=first, encode_texts=encode_texts)
        )

    def add(self, encoded: EncodedBatch) -> _Done:
        """Write a batch that was encoded elsewhere."""
        if self._columns is None:
            self._columns = tuple(encoded.columns)
        self._digest(encoded.texts.data, encoded.contexts)
        return self._append(encoded)

    def _digest(self, texts: bytes | memoryview, contexts: NDArray[np.void] | None) -> None:
        self._content.update(texts)  # without Python's lock
        if contexts is not None:
            self._content.update(contexts["bytes"].tobytes())

    def _append(self, encoded: EncodedBatch) -> _Done:
        self.totals["documents"] += len(encoded.rows)
        for name in ("tokens", "bytes", "characters", "words"):
            self.totals[name] += int(encoded.rows[name].sum())
        self._distribute(encoded.ids, encoded.rows, encoded.columns, encoded.contexts)
        return self.totals["documents"], self.totals["bytes"]

    def _distribute(self, ids: Ids, rows: Rows, columns: Columns, contexts: Rows | None) -> None:
        """Append to shards, closing each at the first document that reaches the limit."""
        ends = np.cumsum(rows["tokens"])
        first = 0
        while first < len(rows):
            if self._shard is None:
                name = shard_name(len(self._shards))
                self._shard = ShardWriter(self.folder / name, self._columns or ())
            shard = self._shard
            before = int(ends[first - 1]) if first else 0
            reach = self._shard_tokens - shard.num_tokens + before
            last = min(
                int(np.searchsorted(ends, reach)) + 1,
                first + SHARD_DOCUMENTS - shard.num_documents,
                len(rows),
            )
            part = {name: texts[first:last] for name, texts in columns.items()}
            before_text = None if contexts is None else contexts[first:last]
            shard.add(ids[before : int(ends[last - 1])], rows[first:last], part, before_text)
            if shard.num_tokens >= self._shard_tokens or shard.num_documents >= SHARD_DOCUMENTS:
                self._close_shard()
            first = last

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._shards.append(self._shard.close())
            self._shard = None
            if self._upload is not None:
                name = shard_name(len(self._shards) - 1)
                self._upload.add_shard(self.folder / name, self._shards[-1])

    def finish(self, key: Mapping[str, object], counts: ReadCounts, name: str) -> None:
        """Close the last shard and write ``meta.json``."""
        self._close_shard()
        meta: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "name": name,
            "key": dict(key),
            "tokenizer": self._encoder.fingerprint,
            "engine": self._encoder.engine,
            "dtype": self._encoder.dtype.newbyteorder("<").str,
            "counts": {k: v for k, v in asdict(counts).items() if v or k not in _LEFT_OUT},
            "totals": self.totals,
            "columns": list(self._columns or ()),
            "content_sha256": self._content.hexdigest(),
            "shards": self._shards,
        }
        file = self.folder / "meta.json"
        text = escape_surrogates(json.dumps(sealed(meta), indent=1, ensure_ascii=False))
        file.write_text(text + "\n", encoding="utf-8")
        open_to_group(file)
        sync(file)
        sync(self.folder)

    def release(self) -> None:
        """Close the files, also after an error."""
        if self._shard is not None:
            self._shard.release()
