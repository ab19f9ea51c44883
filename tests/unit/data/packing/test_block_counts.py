"""Blocks that are counted shard by shard are as many, and as full, as those that are planned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.config import BlocksConfig
from nextfill.core.errors import DataError
from nextfill.data.packing.block_plan import Frame
from nextfill.data.parts import Part
from nextfill.data.special_tokens import count_blocks, plan_training
from nextfill.data.store.token_store import CONTEXT, DOCUMENT, TokenStore
from tests.properties import examples

COUNTS = ("block_size", "frame", "num_blocks", "placed_tokens", "padding", "dropped")


def store_of(shards: list[list[tuple[int, int]]], *, has_contexts: bool) -> TokenStore:
    """A store of documents of these tokens, the first some of them context."""
    both = [sizes for shard in shards for sizes in shard]
    rows, contexts = np.zeros(len(both), DOCUMENT), np.zeros(len(both), CONTEXT)
    rows["tokens"] = [before + after for before, after in both]
    contexts["tokens"] = [before for before, _ in both]
    meta = {"shards": [{"documents": len(one), "tokens": sum(map(sum, one))} for one in shards]}
    store = TokenStore(Path("nowhere"), meta)
    vars(store).update(documents=rows, contexts=contexts if has_contexts else None)
    return store


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=9),
        max_size=4,
    ),
    st.sampled_from(["concat", "best-fit", "pad", "windows", "pieces"]),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)
@examples(400)
def test_counts_are_those_of_the_plan(shards, way, ends, isolate, has_contexts):
    store = store_of(shards, has_contexts=has_contexts)
    documents = np.arange(len(store.documents))
    part = Part(store, documents[documents % 5 != 2])
    packing = {"windows": "concat", "pieces": "best-fit"}.get(way, way)
    frame = Frame((), (7,) * ends, each_piece=way == "pieces")
    rows = 3 if way == "windows" else None
    blocks = BlocksConfig(block_size=8, packing=packing, window_rows=rows, isolate=isolate)
    try:
        plan = plan_training(part, blocks, frame)
    except DataError as error:
        with pytest.raises(DataError, match=f"^{error}$"):
            count_blocks(part, blocks, frame)
        return
    counts = count_blocks(part, blocks, frame)
    assert [getattr(counts, name) for name in COUNTS] == [getattr(plan, name) for name in COUNTS]
