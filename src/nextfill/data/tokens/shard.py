"""Write the files of one shard of a token store; `store` says what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from nextfill.atomic_write import sync
from nextfill.checksums import ALGORITHM
from nextfill.data.access import make_folder, open_to_group


class ChecksumFile:
    """A new file that is written from its beginning to its end, and the checksum of what was given.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._checksum = xxhash.xxh3_128()
        self._size = 0
        open_to_group(path)

    def write(self, data: bytes) -> int:
        """Append bytes, or what holds them in one piece."""
        self._checksum.update(data)
        written = self._file.write(data)
        self._size += written
        return written

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; once more does nothing."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def describe(self) -> dict[str, Any]:
        """Return what `checksums.file_checksum` should find."""
        return {"bytes": self._size, ALGORITHM: self._checksum.hexdigest()}


class ShardWriter:
    """Writes one shard, batch by batch; closing it puts its files on the disk for good.

    Args:
        folder: The shard's folder, which must not exist.
        columns: Names of the kept columns.

    Attributes:
        num_documents: Documents so far.
        num_tokens: Tokens so far.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        make_folder(folder)
        self._folder = folder
        self._tokens_file = ChecksumFile(folder / "tokens.bin")
        self._files = {"tokens.bin": self._tokens_file}
        self._rows: list[NDArray[np.void]] = []
        self._parquet: Any = None
        if columns:
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = pa.schema([(name, pa.string()) for name in columns])
            self._files["columns.parquet"] = ChecksumFile(folder / "columns.parquet")
            self._parquet = pq.ParquetWriter(self._files["columns.parquet"], schema)
        self.num_tokens = 0
        self.num_documents = 0

    def add(
        self,
        ids: NDArray[np.unsignedinteger],
        rows: NDArray[np.void],
        columns: Mapping[str, list[str]],
    ) -> None:
        """Append documents.

        Args:
            ids: Their ids one after the other, ``[tokens]``.
            rows: ``DOCUMENT`` rows, ``[documents]``; the offsets are filled in here.
            columns: The texts of each kept column, ``[documents]``.
        """
        rows["offset"] = self.num_tokens + np.cumsum(rows["tokens"]) - rows["tokens"]
        self._tokens_file.write(ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes())
        self._rows.append(rows)
        self.num_tokens += len(ids)
        self.num_documents += len(rows)
        if self._parquet is not None:
            import pyarrow as pa

            self._parquet.write_table(pa.table(dict(columns), schema=self._parquet.schema))

    def close(self) -> dict[str, Any]:
        """Finish the files and return their sizes and checksums for ``meta.json``."""
        self._files["documents.npy"] = ChecksumFile(self._folder / "documents.npy")
        np.save(self._files["documents.npy"], np.concatenate(self._rows))
        self.release()
        for file in [*self._folder.iterdir(), self._folder]:
            sync(file)
        files = {name: file.describe() for name, file in sorted(self._files.items())}
        return {"documents": self.num_documents, "tokens": self.num_tokens, "files": files}

    def release(self) -> None:
        """Let go of the files, also after an error."""
        try:
            if self._parquet is not None:
                self._parquet.close()
        finally:
            for file in self._files.values():
                file.close()
