"""Documents come back from a token store as they were written, and nothing is read for others."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from nextfill.core.errors import DataError
from nextfill.data.document import Document, ReadCounts
from nextfill.data.store import encoded_batch
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.writer import write_store
from tests.unit.data.store.small_documents import IDS, TEXTS, documents


@pytest.mark.parametrize("shard_tokens", [1, 3, 4, 100])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_round_trip(
    tmp_path: Path,
    encoder: Encoder,
    shard_tokens: int,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoded_batch, "BATCH_DOCUMENTS", batch)
    path = tmp_path / "s"
    counts = ReadCounts(7, 7, 2, {"not text": 3})
    made = write_store(
        path, documents(), encoder, key={"x": 1}, counts=counts, shard_tokens=shard_tokens
    )
    opened = TokenStore.open(path)
    assert opened.meta == made.meta
    assert [opened.tokens(i).tolist() for i in range(7)] == IDS
    assert opened.tokens(3, 1, 2).tolist() == [1, 1]
    assert opened.tokens(0, 2, 9).tolist() == [3]
    rows = opened.documents
    assert rows["record"].tolist() == [10 * n for n in range(7)]
    assert rows["bytes"].tolist() == [len(text.encode()) for text in TEXTS]
    assert rows["characters"].tolist() == [len(text) for text in TEXTS]
    assert rows["words"].tolist() == [3, 0, 1, 5, 0, 2, 1]
    assert rows["hash"][0].tobytes() == hashlib.blake2b(b"a b c", digest_size=16).digest()
    assert opened.columns("kind") == [f"k{n % 2}" for n in range(7)]
    assert (opened.num_documents, opened.num_tokens) == (7, 12)
    assert opened.meta["counts"] == {
        "records": 7,
        "documents": 7,
        "empty": 2,
        "skipped": {"not text": 3},
        "values": {},
        "with_text": 0,
        "text_field": None,
        "tables": {},
    }
    totals = {"documents": 7, "tokens": 12, "bytes": 22, "characters": 21, "words": 12}
    assert opened.meta["totals"] == totals


def test_tokens_are_mapped_not_read(tmp_path: Path, encoder: Encoder) -> None:
    made = write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    assert isinstance(made.shard_tokens[0].base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        made.tokens(0)[0] = 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_read_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "shard-00000" / "tokens.bin"
    file.parent.mkdir()
    ids = np.arange(1 << 20, dtype=np.uint32)
    ids.tofile(file)
    sizes = {"tokens": len(ids), "documents": 1}
    store = TokenStore(tmp_path, {"dtype": "uint32", "shards": [sizes]})

    def held_kb() -> int:
        lines = Path("/proc/self/smaps").read_text("utf-8").splitlines()
        at = next(number for number, line in enumerate(lines) if line.endswith(str(file)))
        return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:"))

    assert np.array_equal(store.shard_tokens[0], ids)
    assert held_kb() == 4096
    store.release(0)
    assert held_kb() == 0
    assert np.array_equal(store.shard_tokens[0], ids)


def test_store_without_documents_or_tokens(tmp_path: Path, encoder: Encoder) -> None:
    none = write_store(tmp_path / "none", [], encoder, key={}, counts=ReadCounts())
    assert (none.num_documents, none.num_shards, len(none.documents)) == (0, 0, 0)
    assert none.columns("kind") is None
    blank = write_store(tmp_path / "b", [Document("", 0)], encoder, key={}, counts=ReadCounts())
    assert blank.tokens(0).tolist() == []


def test_a_column_that_was_not_kept_is_refused(tmp_path: Path, encoder: Encoder) -> None:
    made = write_store(tmp_path / "s", documents(), encoder, key={}, counts=ReadCounts())
    with pytest.raises(DataError, match=r"'knd'.*kept: kind.*Did you mean 'kind'"):
        made.columns("knd")
