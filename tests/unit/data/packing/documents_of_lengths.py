"""Stores of documents that have lengths and nothing else, for packing to divide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from nextfill.data.packing.block_plan import Frame
from nextfill.data.store.token_store import DOCUMENT, TokenStore


def store_of(*shards: list[int]) -> TokenStore:
    """A store of documents of these lengths, without files: packing reads nothing else."""
    meta = {"shards": [{"documents": len(s), "tokens": sum(s)} for s in shards]}
    rows = np.zeros(sum(map(len, shards)), DOCUMENT)
    rows["tokens"] = [length for shard in shards for length in shard]
    store = TokenStore(Path("nowhere"), meta)
    store.__dict__["documents"] = rows
    return store


def every(store: TokenStore) -> np.ndarray:
    return np.arange(len(store.documents))


frames = st.builds(
    Frame,
    st.lists(st.integers(0, 9), max_size=2).map(tuple),
    st.lists(st.integers(0, 9), max_size=2).map(tuple),
)
shards_of_lengths = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12), max_size=4)
