from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.data.packing.block_plan import BlockPlan, Frame, Policy, plan_blocks
from nextfill.data.packing.block_reader import NO_TARGET, Blocks, read_blocks, read_windows
from nextfill.data.packing.windows import plan_windows
from nextfill.data.store.token_store import DOCUMENT, TokenStore
from tests.properties import examples

PAD = 7
FRAMES = [Frame(), Frame(suffix=(8,)), Frame((9,), (8,)), Frame((9, 9), (8, 5))]
PIECES = [Frame((), (), True), Frame((9,), (), True), Frame((9,), (8, 5), True)]


def store_of(*shards: list[int]) -> TokenStore:
    """A store in memory; each token is a number of its own, 100 * document + place."""
    meta = {"shards": [{"documents": len(s), "tokens": sum(s)} for s in shards]}
    rows = np.zeros(sum(map(len, shards)), DOCUMENT)
    rows["tokens"] = [length for shard in shards for length in shard]
    rows["offset"] = [sum(shard[:i]) for shard in shards for i in range(len(shard))]
    store = TokenStore(Path("nowhere"), meta)
    store.__dict__["documents"] = rows
    number, parts = 0, []
    for shard in shards:
        spans = [100 * (number + i) + np.arange(1, n + 1) for i, n in enumerate(shard)]
        parts.append(np.concatenate([np.empty(0), *spans]).astype(np.uint16))
        number += len(shard)
    store.__dict__["shard_tokens"] = tuple(parts)
    return store


def framed(store: TokenStore, frame: Frame, document: int) -> list[int]:
    return [*frame.prefix, *store.tokens(document).tolist(), *frame.suffix]


def slowly(store: TokenStore, plan: BlockPlan, number: int, isolate: bool) -> dict[str, list[int]]:
    """One row, token by token, without its padding."""
    row: dict[str, list[int]] = {
        "tokens": [],
        "next": [],
        "positions": [],
        "ids": [],
        "special": [],
    }
    for place, segment in enumerate(range(plan.block_ptr[number], plan.block_ptr[number + 1])):
        start, length = int(plan.start[segment]), int(plan.length[segment])
        text = framed(store, plan.frame, plan.document[segment])
        if plan.frame.each_piece:
            ids = store.tokens(plan.document[segment], start, length - len(plan.frame)).tolist()
            text, start = [*plan.frame.prefix, *ids, *plan.frame.suffix], 0
        own = len(text) - len(plan.frame.suffix)
        for position in range(start, start + length):
            row["tokens"].append(text[position])
            row["next"].append(text[position + 1] if position + 1 < len(text) else NO_TARGET)
            row["positions"].append(position - start)
            row["ids"].append(place)
            row["special"].append(not len(plan.frame.prefix) <= position < own)
    if not isolate:
        row["next"] = [*row["tokens"][1:], NO_TARGET]
        row["positions"] = list(range(plan.block_size))
    return row


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), min_size=1, max_size=3),
    st.sampled_from([*FRAMES, *PIECES]),
    st.integers(2, 16),
    st.sampled_from(["concat", "best-fit", "pad"]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
@examples(300)
def test_rows_equal_the_slow_way(
    shards: list[list[int]],
    frame: Frame,
    size: int,
    policy: Policy,
    isolate: bool,
    random: object,
) -> None:
    store = store_of(*shards)
    selected = np.arange(len(store.documents))
    if frame.each_piece:
        policy, size = "best-fit" if policy == "concat" else policy, max(size, len(frame) + 1)
    plan = plan_blocks(store, selected, policy=policy, block_size=size, frame=frame)
    numbers = np.array(random.sample(range(plan.num_blocks), plan.num_blocks), np.int64)  # type: ignore[attr-defined]
    starts = tuple(ids % 3 == 0 for ids in store.shard_tokens)
    blocks = read_blocks(store, plan, numbers, pad_id=PAD, isolate=isolate, word_starts=starts)
    assert np.array_equal(blocks.word_starts, (blocks.tokens % 3 == 0) & ~blocks.special)
    assert blocks.tokens.shape == (len(numbers), size)
    assert blocks.numbers.tolist() == numbers.tolist()
    for i, number in enumerate(numbers.tolist()):
        row = slowly(store, plan, number, isolate)
        empty = size - len(row["tokens"])
        assert blocks.tokens[i].tolist() == row["tokens"] + [PAD] * empty
        assert blocks.next_tokens[i].tolist() == row["next"] + [NO_TARGET] * empty
        assert blocks.document_ids[i].tolist() == row["ids"] + [-1] * empty
        assert blocks.special[i].tolist() == row["special"] + [True] * empty
        positions = row["positions"] + [0] * (empty if isolate else 0)
        assert blocks.position_ids[i].tolist() == positions
    for name in ("tokens", "next_tokens", "position_ids", "document_ids", "numbers"):
        assert getattr(blocks, name).dtype == np.int64
    assert blocks.special.dtype == np.bool_


def targets(blocks: Blocks) -> Counter[int]:
    return Counter(blocks.next_tokens[blocks.next_tokens != NO_TARGET].tolist())


@pytest.mark.parametrize("policy", ["concat", "best-fit", "pad"])
@pytest.mark.parametrize("frame", FRAMES)
def test_isolated_rows_target_every_token_but_a_documents_first(
    policy: Policy, frame: Frame
) -> None:
    store = store_of([20, 0, 3, 16], [1, 17])
    plan = plan_blocks(store, np.arange(6), policy=policy, block_size=8, frame=frame)
    blocks = read_blocks(store, plan, np.arange(plan.num_blocks), pad_id=PAD, isolate=True)
    texts = [framed(store, frame, d) for d in (0, 2, 3, 4, 5)]
    assert targets(blocks) == Counter(token for text in texts for token in text[1:])


def test_joined_rows_target_every_token_but_a_rows_first() -> None:
    store = store_of([20, 0, 3, 16], [1, 17])
    frame = FRAMES[1]
    plan = plan_blocks(store, np.arange(6), policy="concat", block_size=8, frame=frame)
    blocks = read_blocks(store, plan, np.arange(plan.num_blocks), pad_id=PAD, isolate=False)
    rows = [row[ids >= 0] for row, ids in zip(blocks.tokens, blocks.document_ids, strict=True)]
    assert targets(blocks) == Counter(np.concatenate([row[1:] for row in rows]).tolist())
    assert sum(targets(blocks).values()) == plan.placed_tokens - plan.num_blocks
    # The guide's causal loss: logits at t against the row's token at t + 1.
    assert np.array_equal(blocks.next_tokens[0, :-1], blocks.tokens[0, 1:])
    assert blocks.position_ids[0].tolist() == list(range(8))


def test_pad_id_within_the_text_stays_a_target() -> None:
    # A tokenizer whose pad is its end token: the true end of a document is learnt all the same.
    store = store_of([2])
    plan = plan_blocks(store, np.array([0]), policy="pad", block_size=5, frame=Frame((), (PAD,)))
    for isolate in (True, False):
        blocks = read_blocks(store, plan, np.array([0]), pad_id=PAD, isolate=isolate)
        assert blocks.tokens.tolist() == [[1, 2, PAD, PAD, PAD]]
        assert blocks.next_tokens.tolist() == [[2, PAD, -100, -100, -100]]


def test_width() -> None:
    store = store_of([2])
    plan = plan_blocks(store, np.array([0]), policy="pad", block_size=4, frame=Frame())
    blocks = read_blocks(store, plan, np.array([0]), pad_id=PAD, isolate=True, width=6)
    assert blocks.tokens.tolist() == [[1, 2, PAD, PAD, PAD, PAD]]
    with pytest.raises(ValueError, match="width is 1"):
        read_blocks(store, plan, np.array([0]), pad_id=PAD, isolate=True, width=1)


def test_no_rows() -> None:
    store = store_of([2])
    plan = plan_blocks(store, np.array([0]), policy="pad", block_size=4, frame=Frame())
    none = np.empty(0, np.int64)
    assert read_blocks(store, plan, none, pad_id=PAD, isolate=True).tokens.shape == (0, 4)
    windows = plan_windows(store, np.array([0]), block_size=4, stride=4, frame=Frame())
    assert read_windows(store, windows, none, pad_id=PAD).tokens.shape == (0, 0)


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6), min_size=1, max_size=3),
    st.sampled_from(FRAMES),
    st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size))),
    st.integers(1, 5),
)
@examples(200)
def test_windows_target_every_token_but_the_first_after_its_own_context(
    shards: list[list[int]], frame: Frame, sizes: tuple[int, int], batch: int
) -> None:
    store = store_of(*shards)
    selected = np.arange(len(store.documents))
    plan = plan_windows(store, selected, block_size=sizes[0], stride=sizes[1], frame=frame)
    found = []
    for first in range(0, plan.num_windows, batch):
        numbers = np.arange(first, min(first + batch, plan.num_windows))
        blocks = read_windows(store, plan, numbers, pad_id=PAD)
        assert blocks.tokens.shape[1] == plan.length[numbers].max()
        assert (blocks.document_ids.max(axis=1) == 0).all()
        for row, column in zip(*np.nonzero(blocks.next_tokens != NO_TARGET), strict=True):
            assert blocks.position_ids[row, column] == column
            context = blocks.tokens[row, : column + 1].tolist()
            found.append((context, int(blocks.next_tokens[row, column])))
    expected = []
    for document in selected[store.documents["tokens"] > 0].tolist():
        text = framed(store, frame, document)
        expected += [(text[:at], text[at]) for at in range(1, len(text))]
    assert [target for _, target in found] == [target for _, target in expected]
    for (context, _), (before, _) in zip(found, expected, strict=True):
        assert before[-len(context) :] == context
