"""The writer of token stores: documents encoded in batches, into one shard after the other."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextfill.core.atomic_write import sync
from nextfill.core.background import in_threads
from nextfill.core.checksums import sealed
from nextfill.core.errors import DataError
from nextfill.core.json_text import escape_surrogates
from nextfill.core.locks import MACHINE, hold_folder
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.data.document import Document, ReadCounts, batched
from nextfill.data.store.contexts import context_rows, encode_apart
from nextfill.data.store.encoder import Encoded, Encoder, not_utf8
from nextfill.data.store.shard_writer import Columns, Ids, Rows, ShardWriter
from nextfill.data.store.store_integrity import (
    FORMAT_VERSION,
    DamagedStoreError,
    check_files,
    read_meta,
    shard_name,
)
from nextfill.data.store.store_upload import StoreUpload
from nextfill.data.store.token_store import DOCUMENT, TokenStore
from nextfill.data.word_counts import count_words

SHARD_DOCUMENTS = 1 << 20
BATCH_CHARACTERS = 4 << 20
BATCH_DOCUMENTS = 1 << 14

_LEFT_OUT = ("beside_text", "context_field")
"""Counts that stores have only where there is something to tell."""

EncodeTexts = Callable[[Encoder, Sequence[str], int], Encoded]
"""From an encoder, texts and the number of the first of them to their tokens."""

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "your share of the disk is used up"}


def encode_as_they_are(encoder: Encoder, texts: Sequence[str], first: int) -> Encoded:
    """Encode documents without any change."""
    return encoder.encode(texts)


def write_store(
    path: Path,
    documents: Iterable[Document],
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
    """Encode documents into a new store, and put it in its place once it is whole.

    With an ``upload`` it is at the address before that, and a copy of the store there.
    """
    with writing(path.parent):
        folder = path.with_name(f"{path.name}.tmp-{os.getpid()}-{time.monotonic_ns()}-{MACHINE}")
        make_folder(folder)
    held = hold_folder(folder)
    writer = _StoreWriter(folder, encoder, shard_tokens, encode, upload)

    def add(measured: _Measured) -> tuple[int, int]:
        with writing(path.parent):
            writer.add(measured)
        return writer.totals["documents"], writer.totals["bytes"]

    try:
        if upload is not None:
            upload.begin(folder)
        # Documents are read while the last are hashed and counted, and those before them encoded,
        # mostly without Python's lock.
        with (
            closing(in_threads(writer.measure, batches(documents), threads=1)) as measured,
            closing(in_threads(add, measured, threads=1)) as added,
        ):
            for done in added:
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


@contextmanager
def writing(stores: Path, what: str = "tokens") -> Iterator[None]:
    """Turn the disk's errors into a `DataError` that names what could not be written."""
    try:
        yield
    except OSError as error:
        full = _FULL.get(error.errno or 0)
        raise DataError(
            f"{what} cannot be written to {stores}: {full or error.strerror or error}; "
            f"{'make room or ' if full else ''}name another folder with --cache-dir"
        ) from error


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


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield documents a few MB at a time."""
    return batched(
        documents, BATCH_CHARACTERS, BATCH_DOCUMENTS, lambda document: len(document.text)
    )


def document_rows(batch: Sequence[Document], texts: Sequence[bytes]) -> NDArray[np.void]:
    """Return rows of `DOCUMENT` for documents and their UTF-8 bytes, without tokens."""
    hashes = [hashlib.blake2b(text, digest_size=16).digest() for text in texts]
    rows = np.zeros(len(batch), DOCUMENT)
    rows["record"] = [document.record for document in batch]
    rows["bytes"] = [len(text) for text in texts]
    rows["characters"] = [len(document.text) for document in batch]
    rows["words"] = count_words(texts)
    rows["hash"] = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 2)
    return rows


class _Measured(NamedTuple):
    """A batch of documents with their rows, which are without tokens."""

    batch: Sequence[Document]
    rows: NDArray[np.void]
    contexts: NDArray[np.void] | None


class _StoreWriter:
    """The encoder of batches of documents into shards of a folder, with their totals."""

    def __init__(
        self,
        folder: Path,
        encoder: Encoder,
        shard_tokens: int,
        encode: EncodeTexts,
        upload: StoreUpload | None,
    ) -> None:
        self._folder = folder
        self._encoder = encoder
        self._shard_tokens = shard_tokens
        self._encode = encode
        self._upload = upload
        self._columns: tuple[str, ...] | None = None
        self._content = hashlib.sha256()  # of the texts, each with its length before it
        self._shard: ShardWriter | None = None
        self._shards: list[dict[str, Any]] = []
        self.totals = dict.fromkeys(("documents", "tokens", "bytes", "characters", "words"), 0)

    def measure(self, batch: Sequence[Document]) -> _Measured:
        """Count and hash the documents of a batch, in their order."""
        if self._columns is None:
            self._columns = tuple(batch[0].columns)
        for document in batch:
            if tuple(document.columns) != self._columns:
                raise DataError(
                    f"record {document.record} has the columns {list(document.columns)}, the "
                    f"records before it have {list(self._columns)}; keep columns that all have"
                )
        try:
            written = [document.text.encode() for document in batch]
        except UnicodeEncodeError as error:
            raise not_utf8([document.text for document in batch]) from error
        contexts = context_rows(batch)
        sized = [(len(text).to_bytes(8, "little"), text) for text in written]
        self._content.update(b"".join(chain.from_iterable(sized)))  # without Python's lock
        if contexts is not None:
            self._content.update(contexts["bytes"].tobytes())
        return _Measured(batch, document_rows(batch, written), contexts)

    def add(self, measured: _Measured) -> None:
        """Encode and write a batch."""
        batch, rows, contexts = measured
        if contexts is None:
            texts = [document.text for document in batch]
            ids, lengths = self._encode(self._encoder, texts, self.totals["documents"])
        else:
            ids, lengths, contexts["tokens"] = encode_apart(self._encoder, batch)
        rows["tokens"] = lengths
        self.totals["documents"] += len(batch)
        for name in ("tokens", "bytes", "characters", "words"):
            self.totals[name] += int(rows[name].sum())
        columns = {name: [d.columns[name] for d in batch] for name in self._columns or ()}
        self._distribute(ids, rows, columns, contexts)

    def _distribute(self, ids: Ids, rows: Rows, columns: Columns, contexts: Rows | None) -> None:
        """Append to shards, closing each at the first document that reaches the limit."""
        ends = np.cumsum(rows["tokens"])
        first = 0
        while first < len(rows):
            if self._shard is None:
                name = shard_name(len(self._shards))
                self._shard = ShardWriter(self._folder / name, self._columns or ())
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
                self._upload.add_shard(self._folder / name, self._shards[-1])

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
        file = self._folder / "meta.json"
        text = escape_surrogates(json.dumps(sealed(meta), indent=1, ensure_ascii=False))
        file.write_text(text + "\n", encoding="utf-8")
        open_to_group(file)
        sync(file)
        sync(self._folder)

    def release(self) -> None:
        """Close the files, also after an error."""
        if self._shard is not None:
            self._shard.release()
