"""The writer of one shard of a token store: its files, each with a checksum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from nextfill.core.atomic_write import sync
from nextfill.core.checksums import ALGORITHM
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.data.store.token_store import CONTEXTS, DOCUMENTS

Ids = NDArray[np.unsignedinteger]
Rows = NDArray[np.void]
Columns = Mapping[str, list[str]]


class ChecksumFile:
    """A new file that is written from beginning to end, and the checksum of its bytes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._checksum = xxhash.xxh3_128()
        self._size = 0
        open_to_group(path)

    def write(self, data: bytes) -> int:
        """Append bytes, or a buffer of them."""
        self._checksum.update(data)
        written = self._file.write(data)
        self._size += written
        return written

    def flush(self) -> None:
        """Hand the bytes so far to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; once more does nothing."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def describe(self) -> dict[str, Any]:
        """Return the size and checksum, as `checksums.file_checksum` does of a good file."""
        return {"bytes": self._size, ALGORITHM: self._checksum.hexdigest()}


class ShardWriter:
    """The writer of one shard in a new folder, batch by batch; closing it syncs its files."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        make_folder(folder)
        self._folder = folder
        self._tokens_file = ChecksumFile(folder / "tokens.bin")
        self._files = {"tokens.bin": self._tokens_file}
        self._rows: list[Rows] = []
        self._contexts: list[Rows] = []
        self._parquet: Any = None
        if columns:
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = pa.schema([(name, pa.string()) for name in columns])
            self._files["columns.parquet"] = ChecksumFile(folder / "columns.parquet")
            self._parquet = pq.ParquetWriter(self._files["columns.parquet"], schema)
        self.num_tokens = 0
        self.num_documents = 0

    def add(self, ids: Ids, rows: Rows, columns: Columns, contexts: Rows | None = None) -> None:
        """Append documents, with rows of their contexts where they have any."""
        rows["offset"] = self.num_tokens + np.cumsum(rows["tokens"]) - rows["tokens"]
        self._tokens_file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes())
        self._rows.append(rows)
        if contexts is not None:
            self._contexts.append(contexts)
        self.num_tokens += len(ids)
        self.num_documents += len(rows)
        if self._parquet is not None:
            import pyarrow as pa

            self._parquet.write_table(pa.table(dict(columns), schema=self._parquet.schema))

    def close(self) -> dict[str, Any]:
        """Finish the files and return their sizes and checksums for ``meta.json``."""
        self._save(DOCUMENTS, self._rows)
        if self._contexts:
            self._save(CONTEXTS, self._contexts)
        self.release()
        for file in [*self._folder.iterdir(), self._folder]:
            sync(file)
        files = {name: file.describe() for name, file in sorted(self._files.items())}
        return {"documents": self.num_documents, "tokens": self.num_tokens, "files": files}

    def _save(self, name: str, rows: Sequence[Rows]) -> None:
        self._files[name] = ChecksumFile(self._folder / name)
        np.save(self._files[name], np.concatenate(rows))

    def release(self) -> None:
        """Close the files, also after an error."""
        try:
            if self._parquet is not None:
                self._parquet.close()
        finally:
            for file in self._files.values():
                file.close()
