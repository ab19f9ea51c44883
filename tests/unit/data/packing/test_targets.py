from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.config import BlocksConfig
from nextfill.core.errors import DataError
from nextfill.data.packing.block_plan import Frame, Policy, plan_blocks
from nextfill.data.packing.block_reader import NO_TARGET, read_blocks, read_windows
from nextfill.data.packing.targets import WITHOUT_TARGET, block_targets, with_targets
from nextfill.data.packing.windows import plan_windows
from nextfill.data.parts import Part
from nextfill.data.special_tokens import plan_training
from nextfill.data.store.token_store import CONTEXT, DOCUMENT, TokenStore
from tests.properties import examples

PAD = 0
FRAMES = [Frame(), Frame(suffix=(8,)), Frame((9,), (8,)), Frame((9, 9), (8, 5))]

documents = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=9)
"""Tokens of the context and of the text of some documents."""


def store_of(sizes: list[tuple[int, int]]) -> TokenStore:
    """A store in memory, of two shards; each token is 100 * document + place, from 1."""
    half = len(sizes) // 2
    shards = [sizes[:half], sizes[half:]]
    meta = {
        "shards": [{"documents": len(one), "tokens": sum(map(sum, one))} for one in shards],
        "counts": {"text_field": "completion", "context_field": "prompt"},
    }
    rows, contexts = np.zeros(len(sizes), DOCUMENT), np.zeros(len(sizes), CONTEXT)
    rows["tokens"] = [sum(one) for one in sizes]
    rows["offset"] = [sum(map(sum, shard[:i])) for shard in shards for i in range(len(shard))]
    contexts["tokens"] = [before for before, _ in sizes]
    store = TokenStore(Path("nowhere"), meta)
    spans = [100 * (1 + n) + np.arange(1, 1 + sum(one)) for n, one in enumerate(sizes)]
    nothing = np.empty(0)
    store.__dict__.update(
        documents=rows,
        contexts=contexts,
        shard_tokens=tuple(
            np.concatenate([nothing, *part]).astype(np.uint16)
            for part in (spans[:half], spans[half:])
        ),
    )
    return store


def learnt(sizes: list[tuple[int, int]], frame: Frame, document: int) -> list[int]:
    """The framed tokens of a document that a loss may have as targets."""
    before, text = sizes[document]
    ids = [100 * (1 + document) + place for place in range(1, 1 + before + text)]
    whole = [*ids, *frame.suffix] if before else [*frame.prefix, *ids, *frame.suffix]
    return whole[before:] if before + text else []


@given(documents, st.sampled_from(FRAMES), st.integers(2, 11), st.booleans(), st.data())
@examples(300)
def test_exactly_what_stands_after_a_context_is_a_target(sizes, frame, size, isolate, data):
    policy: Policy = data.draw(st.sampled_from(["concat", "best-fit", "pad"]))
    store = store_of(sizes)
    every = np.arange(len(sizes))
    plan = plan_blocks(store, every, policy=policy, block_size=size, frame=frame)
    kept = with_targets(plan, store, isolate=isolate)
    numbers = np.arange(kept.num_blocks)
    blocks = read_blocks(store, kept, numbers, pad_id=PAD, isolate=isolate)
    is_target = blocks.next_tokens != NO_TARGET
    assert is_target.any(axis=1).all()
    counts = block_targets(kept, store, isolate=isolate)
    assert is_target.sum(axis=1).tolist() == counts.tolist()
    # No target is lost with the blocks that are left out.
    everything = read_blocks(
        store, plan, np.arange(plan.num_blocks), pad_id=PAD, isolate=isolate
    ).next_tokens
    assert sorted(everything[everything != NO_TARGET]) == sorted(blocks.next_tokens[is_target])
    assert kept.placed_tokens + kept.dropped.get(WITHOUT_TARGET, 0) == plan.placed_tokens
    found = blocks.next_tokens[is_target].tolist()
    if isolate:
        # Without a context a document's first framed token has nothing before it.
        expected = [
            token
            for number, (before, _) in enumerate(sizes)
            for token in learnt(sizes, frame, number)[0 if before else 1 :]
        ]
        assert sorted(found) == sorted(expected)
    else:
        allowed = {token for number in range(len(sizes)) for token in learnt(sizes, frame, number)}
        assert set(found) <= allowed


@given(documents, st.sampled_from(FRAMES), st.integers(1, 9), st.integers(0, 9))
@examples(200)
def test_windows_score_what_stands_after_a_context_once(sizes, frame, size, stride):
    store = store_of(sizes)
    plan = plan_windows(
        store,
        np.arange(len(sizes)),
        block_size=size,
        stride=min(stride, size) or None,
        frame=frame,
    )
    blocks = read_windows(store, plan, np.arange(plan.num_windows), pad_id=PAD)
    is_target = blocks.next_tokens != NO_TARGET
    assert is_target.any(axis=1).all()
    assert int(is_target.sum()) == plan.num_targets
    expected = [
        token
        for number, (before, _) in enumerate(sizes)
        for token in learnt(sizes, frame, number)[0 if before else 1 :]
    ]
    assert sorted(blocks.next_tokens[is_target].tolist()) == sorted(expected)


def test_a_first_token_is_predicted_from_the_last_of_its_context():
    store = store_of([(3, 2)])
    frame = Frame((9,), (8,))
    plan = plan_blocks(store, np.arange(1), policy="pad", block_size=8, frame=frame)
    row = read_blocks(store, plan, np.arange(1), pad_id=PAD, isolate=True)
    assert row.tokens[0, :6].tolist() == [9, 101, 102, 103, 104, 105]
    assert row.next_tokens[0].tolist() == [NO_TARGET] * 3 + [104, 105, 8] + [NO_TARGET] * 2


def test_a_block_of_context_alone_is_left_out_and_counted():
    store = store_of([(9, 1)])
    part = Part(store, np.arange(1))
    blocks = BlocksConfig(block_size=4, packing="pad")
    plan = plan_training(part, blocks, Frame())
    # The second block's last token is context: what it predicts, too.
    assert (plan.num_blocks, plan.start.tolist(), plan.dropped) == (1, [8], {WITHOUT_TARGET: 8})
    assert plan_training(part, blocks, Frame((), (7,)), beyond=False).start.tolist() == [8]


def test_context_alone_is_refused():
    part = Part(store_of([(5, 0)]), np.arange(1))
    with pytest.raises(DataError, match="nothing to learn"):
        plan_training(part, BlocksConfig(block_size=4), Frame())
