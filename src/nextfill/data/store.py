"""The token store: a folder of token ids, written once and read through memory maps.

Layout, ``format_version`` 1::

    meta.json                 totals, tokenizer, engine, counts of what was read, shards
    shard-00000/tokens.bin    ids without special tokens, uint16 or uint32, little-endian
    shard-00000/documents.npy one row per document: DOCUMENT below
    shard-00000/columns.parquet   kept columns as text, where any were kept

A document lies in one shard. A store is written beside its place and renamed into it, so that a
crash leaves no half store. Memory use does not grow with the text: a batch of texts and the rows
of one shard are held (72 bytes a document, at most a million of them).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.document import Document, ReadCounts
from nextfill.data.tokenize import Encoder
from nextfill.errors import DataError, nearest

FORMAT_VERSION = 1
SHARD_DOCUMENTS = 1 << 20
BATCH_CHARACTERS = 4 << 20
BATCH_DOCUMENTS = 1 << 14

DOCUMENT = np.dtype(
    [
        ("offset", "<i8"),  # first token, counted in the shard
        ("tokens", "<i8"),
        ("bytes", "<i8"),  # of the text in UTF-8
        ("characters", "<i8"),
        ("words", "<i8"),  # separated by white space
        ("record", "<i8"),
        ("hash", "<u8", (2,)),  # blake2b of the text, 128 bits
    ]
)


def shard_name(shard: int) -> str:
    """Return the folder name of a shard.

    Example:
        >>> shard_name(3)
        'shard-00003'
    """
    return f"shard-{shard:05d}"


@dataclass(frozen=True)
class TokenStore:
    """A finished store, opened read-only.

    Args:
        path: The folder.
        meta: What ``meta.json`` holds.
    """

    path: Path
    meta: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> TokenStore:
        """Open a store and check that it is whole.

        Args:
            path: The folder of the store.

        Returns:
            The store; nothing but ``meta.json`` is read yet.

        Raises:
            DataError: No store, one of another format, or a damaged one.
        """
        try:
            meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path} is no token store: it has no meta.json") from None
        except ValueError as error:
            raise _damaged(path, f"meta.json cannot be read ({error})") from error
        found = meta.get("format_version") if isinstance(meta, dict) else None
        if found != FORMAT_VERSION:
            raise DataError(
                f"{path} has format_version {found}, this Nextfill reads {FORMAT_VERSION}; "
                "delete the folder and prepare the data again"
            )
        for shard, sizes in enumerate(meta["shards"]):
            for name, expected in sizes["files"].items():
                file = path / shard_name(shard) / name
                size = file.stat().st_size if file.exists() else -1
                if size != expected:
                    was = f"has {size:,} bytes" if size >= 0 else "is missing"
                    raise _damaged(path, f"{file.name} of shard {shard} {was}, not {expected:,}")
        return cls(path, meta)

    @property
    def num_documents(self) -> int:
        """Documents, empty ones included."""
        return int(self.meta["totals"]["documents"])

    @property
    def num_tokens(self) -> int:
        """Tokens, without special tokens."""
        return int(self.meta["totals"]["tokens"])

    @property
    def num_shards(self) -> int:
        """Shards; an empty store has none."""
        return len(self.meta["shards"])

    @cached_property
    def documents(self) -> NDArray[np.void]:
        """One row of ``DOCUMENT`` per document, ``[documents]``, over all shards."""
        parts: list[NDArray[np.void]] = []
        for shard in range(self.num_shards):
            file = self.path / shard_name(shard) / "documents.npy"
            try:
                parts.append(np.load(file, mmap_mode="r"))
            except (ValueError, EOFError) as error:
                raise _damaged(self.path, f"{file.name} of shard {shard}: {error}") from error
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, DOCUMENT)

    @cached_property
    def shard_bounds(self) -> NDArray[np.int64]:
        """Documents of shard ``s`` are ``shard_bounds[s]`` to ``shard_bounds[s + 1]``."""
        sizes = [shard["documents"] for shard in self.meta["shards"]]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    def shard_of(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the shard of each document.

        Args:
            documents: Document numbers, any shape, int64.

        Returns:
            Shard numbers in the same shape.
        """
        return np.searchsorted(self.shard_bounds, documents, side="right") - 1

    @cached_property
    def shard_tokens(self) -> tuple[NDArray[np.unsignedinteger], ...]:
        """The ids of each shard, memory-mapped, ``[tokens]``."""
        dtype = np.dtype(self.meta["dtype"])
        maps: list[NDArray[np.unsignedinteger]] = []
        for shard, sizes in enumerate(self.meta["shards"]):
            if sizes["tokens"] == 0:  # an empty file cannot be mapped
                maps.append(np.empty(0, dtype))
                continue
            file = self.path / shard_name(shard) / "tokens.bin"
            # A plain array over the map: np.memmap's own indexing is several times slower.
            maps.append(np.asarray(np.memmap(file, dtype, mode="r")))
        return tuple(maps)

    def tokens(
        self, document: int, start: int = 0, length: int | None = None
    ) -> NDArray[np.unsignedinteger]:
        """Return the ids of a span of one document.

        Args:
            document: Document number.
            start: First token of the span, in the document.
            length: Tokens in the span; to the document's end if None.

        Returns:
            A read-only view, ``[length]``; shorter where the document ends before.
        """
        row = self.documents[document]
        end = int(row["tokens"]) if length is None else min(start + length, int(row["tokens"]))
        shard = int(self.shard_of(np.int64(document)))  # type: ignore[arg-type]
        first = int(row["offset"])
        return self.shard_tokens[shard][first + start : first + end]

    def columns(self, name: str) -> list[str] | None:
        """Return a kept column, one text per document.

        Args:
            name: The column's name.

        Returns:
            The texts in the order of the documents, or None where no column was kept at all.

        Raises:
            DataError: Columns were kept, but none of that name.
        """
        kept: Sequence[str] = self.meta["columns"]
        if not kept:
            return None
        if name not in kept:
            raise DataError(
                f"column '{name}' was not kept in {self.path}; kept: {', '.join(kept)}."
                + nearest(name, kept)
            )
        import pyarrow.parquet as pq

        texts: list[str] = []
        for shard in range(self.num_shards):
            file = self.path / shard_name(shard) / "columns.parquet"
            texts += pq.read_table(file, columns=[name]).column(name).to_pylist()
        return texts


class _ShardWriter:
    """Writes one shard, batch by batch; closing it puts its files on the disk for good."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        folder.mkdir()
        self._folder = folder
        self._columns = columns
        self._tokens_file = (folder / "tokens.bin").open("wb")
        self._rows: list[NDArray[np.void]] = []
        self._parquet: Any = None
        self.num_tokens = 0
        self.num_documents = 0

    def add(
        self,
        ids: NDArray[np.unsignedinteger],
        rows: NDArray[np.void],
        columns: Mapping[str, list[str]],
    ) -> None:
        """Append documents; ``rows`` has everything but the offsets."""
        rows["offset"] = self.num_tokens + np.cumsum(rows["tokens"]) - rows["tokens"]
        self._tokens_file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes())
        self._rows.append(rows)
        self.num_tokens += len(ids)
        self.num_documents += len(rows)
        if self._columns:
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = pa.schema([(name, pa.string()) for name in self._columns])
            if self._parquet is None:
                self._parquet = pq.ParquetWriter(self._folder / "columns.parquet", schema)
            self._parquet.write_table(pa.table(dict(columns), schema=schema))

    def close(self) -> dict[str, Any]:
        """Finish the files and return their sizes for ``meta.json``."""
        self._tokens_file.close()
        if self._parquet is not None:
            self._parquet.close()
        np.save(self._folder / "documents.npy", np.concatenate(self._rows))
        for file in [*self._folder.iterdir(), self._folder]:
            _sync(file)
        files = {file.name: file.stat().st_size for file in sorted(self._folder.iterdir())}
        return {"documents": self.num_documents, "tokens": self.num_tokens, "files": files}

    def abandon(self) -> None:
        """Let go of the files after an error."""
        self._tokens_file.close()
        if self._parquet is not None:
            self._parquet.close()


class _StoreWriter:
    """Encodes batches of documents into shards of a folder and keeps the totals."""

    def __init__(self, folder: Path, encoder: Encoder, shard_tokens: int) -> None:
        self._folder = folder
        self._encoder = encoder
        self._shard_tokens = shard_tokens
        self._shard: _ShardWriter | None = None
        self._content = hashlib.sha256()
        self.shards: list[dict[str, Any]] = []
        self.columns: tuple[str, ...] = ()
        self.totals = dict.fromkeys(("documents", "tokens", "bytes", "characters", "words"), 0)

    @property
    def content_sha256(self) -> str:
        """Digest of the texts so far, each with its length before it."""
        return self._content.hexdigest()

    def add(self, batch: Sequence[Document]) -> None:
        """Encode and write a batch."""
        if not self.totals["documents"]:
            self.columns = tuple(batch[0].columns)
        for document in batch:
            if tuple(document.columns) != self.columns:
                raise DataError(
                    f"record {document.record} has the columns {list(document.columns)}, the "
                    f"records before it have {list(self.columns)}; keep columns that all have"
                )
        ids, lengths = self._encoder.encode([document.text for document in batch])
        rows = np.zeros(len(batch), DOCUMENT)
        rows["tokens"] = lengths
        rows["record"] = [document.record for document in batch]
        rows["characters"] = [len(document.text) for document in batch]
        rows["words"] = [len(document.text.split()) for document in batch]
        sizes, hashes = [], []
        for document in batch:
            text = document.text.encode()
            sizes.append(len(text))
            hashes.append(hashlib.blake2b(text, digest_size=16).digest())
            self._content.update(len(text).to_bytes(8, "little"))
            self._content.update(text)
        rows["bytes"] = sizes
        rows["hash"] = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 2)
        for name in self.totals:
            self.totals[name] += len(batch) if name == "documents" else int(rows[name].sum())
        columns = {name: [d.columns[name] for d in batch] for name in self.columns}
        self._distribute(ids, rows, columns)

    def _distribute(
        self,
        ids: NDArray[np.unsignedinteger],
        rows: NDArray[np.void],
        columns: Mapping[str, list[str]],
    ) -> None:
        """Append to shards, closing each at the first document that reaches the limit."""
        ends = np.cumsum(rows["tokens"])
        first = 0
        while first < len(rows):
            if self._shard is None:
                name = shard_name(len(self.shards))
                self._shard = _ShardWriter(self._folder / name, self.columns)
            shard = self._shard
            before = int(ends[first - 1]) if first else 0
            reach = self._shard_tokens - shard.num_tokens + before
            last = min(
                int(np.searchsorted(ends, reach)) + 1,
                first + SHARD_DOCUMENTS - shard.num_documents,
                len(rows),
            )
            part = {name: texts[first:last] for name, texts in columns.items()}
            shard.add(ids[before : int(ends[last - 1])], rows[first:last], part)
            if shard.num_tokens >= self._shard_tokens or shard.num_documents >= SHARD_DOCUMENTS:
                self.close_shard()
            first = last

    def close_shard(self) -> None:
        """Finish the shard being written, if any."""
        if self._shard is not None:
            self.shards.append(self._shard.close())
            self._shard = None

    def abandon(self) -> None:
        """Let go of open files after an error."""
        if self._shard is not None:
            self._shard.abandon()


def write_store(
    path: Path,
    documents: Iterable[Document],
    encoder: Encoder,
    *,
    key: Mapping[str, object],
    counts: ReadCounts,
    shard_tokens: int = 1 << 24,
    on_progress: Callable[[int, int], None] | None = None,
) -> TokenStore:
    """Encode documents into a new store.

    Args:
        path: Where the store goes; written beside it first, then renamed.
        documents: The documents, read once.
        encoder: Turns texts into ids.
        key: What the store was made from, recorded in ``meta.json``; JSON values.
        counts: Counts of the reading, taken down when ``documents`` has ended.
        shard_tokens: A shard is closed by the document that reaches so many tokens.
        on_progress: Called with the documents and bytes written so far.

    Returns:
        The store; another process' if it finished the same path first.

    Raises:
        DataError: A text or the documents' columns cannot be stored, or the disk is full.
        EngineMismatchError: See ``Encoder.encode``; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{path.name}.tmp-", dir=path.parent))
    except OSError as error:
        raise DataError(
            f"tokens cannot be written to {path.parent}: {error.strerror}; name a folder of your "
            "own with --cache-dir"
        ) from error
    writer = _StoreWriter(folder, encoder, shard_tokens)
    try:
        for batch in _batches(documents):
            writer.add(batch)
            if on_progress is not None:
                on_progress(writer.totals["documents"], writer.totals["bytes"])
        writer.close_shard()
        meta = {
            "format_version": FORMAT_VERSION,
            "key": dict(key),
            "tokenizer": encoder.fingerprint,
            "engine": encoder.engine,
            "dtype": encoder.dtype.newbyteorder("<").str,
            "counts": asdict(counts),
            "totals": writer.totals,
            "columns": list(writer.columns),
            "content_sha256": writer.content_sha256,
            "shards": writer.shards,
        }
        file = folder / "meta.json"
        file.write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _sync(file)
        _sync(folder)
        folder.chmod(0o755)  # mkdtemp's 0700 would shut others out of a shared cache
        try:
            folder.rename(path)
        except OSError:
            if not path.exists():
                raise
            return TokenStore.open(path)
        _sync(path.parent)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        written = writer.totals["tokens"] * encoder.dtype.itemsize
        raise DataError(
            f"the disk of {path.parent} is full after {written / 1e6:,.0f} MB of tokens; make room "
            "or name a folder on another disk with --cache-dir"
        ) from error
    finally:
        writer.abandon()
        shutil.rmtree(folder, ignore_errors=True)
    return TokenStore.open(path)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS or len(batch) >= BATCH_DOCUMENTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"the token store {path} is damaged: {what}; delete the folder and prepare the data again"
    )
