"""Write the files of one shard of a token store; `store` says what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.atomic_write import sync


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
        folder.mkdir()
        self._folder = folder
        self._tokens_file = (folder / "tokens.bin").open("wb")
        self._rows: list[NDArray[np.void]] = []
        self._parquet: Any = None
        if columns:
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = pa.schema([(name, pa.string()) for name in columns])
            self._parquet = pq.ParquetWriter(folder / "columns.parquet", schema)
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
        """Finish the files and return their sizes for ``meta.json``."""
        self.release()
        np.save(self._folder / "documents.npy", np.concatenate(self._rows))
        for file in [*self._folder.iterdir(), self._folder]:
            sync(file)
        files = {file.name: file.stat().st_size for file in sorted(self._folder.iterdir())}
        return {"documents": self.num_documents, "tokens": self.num_tokens, "files": files}

    def release(self) -> None:
        """Let go of the files, also after an error."""
        self._tokens_file.close()
        if self._parquet is not None:
            self._parquet.close()
