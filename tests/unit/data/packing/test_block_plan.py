from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_plan import (
    POLICIES,
    BlockPlan,
    Frame,
    Policy,
    count_up,
    plan_blocks,
)
from tests.properties import examples
from tests.unit.data.packing.documents_of_lengths import every, frames, shards_of_lengths, store_of

NO_FRAME = Frame()
END = Frame(suffix=(0,))


def segments(plan: BlockPlan) -> list[list[tuple[int, int, int]]]:
    rows = list(zip(plan.document.tolist(), plan.start.tolist(), plan.length.tolist(), strict=True))
    return [rows[a:b] for a, b in zip(plan.block_ptr[:-1], plan.block_ptr[1:], strict=True)]


@given(
    shards_of_lengths,
    frames,
    st.integers(2, 20),
    st.sampled_from(["concat", "best-fit", "pad"]),
    st.none() | st.integers(1, 15),
    st.data(),
)
@examples(500)
def test_every_token_is_in_one_block_or_dropped(
    shards: list[list[int]],
    frame: Frame,
    size: int,
    policy: Policy,
    window: int | None,
    data: st.DataObject,
) -> None:
    store = store_of(*shards)
    chosen = data.draw(st.sets(st.sampled_from(every(store).tolist()))) if shards else set()
    selected = np.array(sorted(chosen), np.int64)
    window = window if policy == "concat" else None
    plan = plan_blocks(
        store, selected, policy=policy, block_size=size, frame=frame, window_rows=window
    )
    lengths = store.documents["tokens"]
    framed = {d: int(lengths[d]) + len(frame) for d in selected.tolist() if lengths[d]}

    seen = [
        (document, position)
        for block in segments(plan)
        for document, start, length in block
        for position in range(start, start + length)
    ]
    assert len(seen) == len(set(seen)) == plan.placed_tokens
    assert set(seen) <= {(d, p) for d, n in framed.items() for p in range(n)}
    assert len(seen) + sum(plan.dropped.values()) == sum(framed.values())
    assert bool(plan.dropped) == (len(seen) < sum(framed.values()))

    assert plan.num_blocks == len(plan.shard)
    for block, shard in zip(segments(plan), plan.shard.tolist(), strict=True):
        assert block
        assert all(length > 0 for _, _, length in block)
        assert sum(length for _, _, length in block) <= size
        assert {int(store.shard_of(np.int64(d))) for d, _, _ in block} == {shard}
    assert plan.padding == plan.num_blocks * size - len(seen)
    assert plan.padding >= 0
    if policy == "best-fit":
        pieces = plan.document.tolist()
        assert all(pieces.count(d) == -(-n // size) for d, n in framed.items())
    if policy == "pad":
        assert all(len(block) == 1 for block in segments(plan))


@given(shards_of_lengths, frames, st.integers(1, 16), st.sampled_from(["best-fit", "pad"]))
@examples(300)
def test_each_piece_is_framed_and_every_token_in_one(
    shards: list[list[int]], frame: Frame, room: int, policy: Policy
) -> None:
    store = store_of(*shards)
    frame = Frame(frame.prefix, frame.suffix, each_piece=True)
    size = max(2, room + len(frame))
    plan = plan_blocks(store, every(store), policy=policy, block_size=size, frame=frame)
    lengths = store.documents["tokens"]
    own = [
        (document, start + offset)
        for block in segments(plan)
        for document, start, length in block
        for offset in range(length - len(frame))
    ]
    assert sorted(own) == [(d, at) for d, length in enumerate(lengths) for at in range(length)]
    assert plan.placed_tokens == len(own) + len(frame) * len(plan.document)
    for block in segments(plan):
        assert sum(length for _, _, length in block) <= size
        assert policy != "pad" or len(block) == 1
    # A document is cut as seldom as can be, and only where a piece is full.
    pieces = np.bincount(plan.document, minlength=len(lengths))
    assert pieces.tolist() == (-(-lengths // (size - len(frame)))).tolist()


def test_a_frame_that_leaves_no_room_is_refused() -> None:
    frame = Frame((0,), (1,), each_piece=True)
    with pytest.raises(ConfigError, match="2 special tokens around a text"):
        plan_blocks(store_of([5]), np.arange(1), policy="pad", block_size=2, frame=frame)
    with pytest.raises(ConfigError, match="cannot frame each piece"):
        plan_blocks(store_of([5]), np.arange(1), policy="concat", block_size=8, frame=frame)


def test_concat() -> None:
    store = store_of([3, 0, 5], [2, 4])
    plan = plan_blocks(store, every(store), policy="concat", block_size=4, frame=END)
    assert segments(plan) == [
        [(0, 0, 4)],
        [(2, 0, 4)],
        [(2, 4, 2)],  # the shard ends
        [(3, 0, 3), (4, 0, 1)],
        [(4, 1, 4)],
    ]
    assert plan.shard.tolist() == [0, 0, 0, 1, 1]
    assert (plan.dropped, plan.padding) == ({}, 2)


def group_texts(lengths: list[int], size: int, rows: int) -> tuple[list[list[int]], int]:
    """The guide's function under ``map(batched=True, batch_size=rows)``, over token numbers."""
    blocks, dropped, number = [], 0, 0
    for first in range(0, len(lengths), rows):
        total = sum(lengths[first : first + rows])
        joined = list(range(number, number + total))
        number += total
        kept = total
        if total >= size:
            kept = (total // size) * size
        blocks += [joined[i : min(i + size, kept)] for i in range(0, kept, size)]
        dropped += total - kept
    return blocks, dropped


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(2, 16), st.integers(1, 12))
@examples(300)
def test_windows_of_rows_equal_the_guide(lengths: list[int], size: int, rows: int) -> None:
    store = store_of(lengths) if lengths else store_of()
    plan = plan_blocks(
        store, every(store), policy="concat", block_size=size, frame=NO_FRAME, window_rows=rows
    )
    first = np.cumsum([0, *lengths])
    ours = [
        [int(first[d]) + p for d, start, n in block for p in range(start, start + n)]
        for block in segments(plan)
    ]
    expected, dropped = group_texts(lengths, size, rows)
    assert ours == expected
    assert plan.dropped == ({"window tail": dropped} if dropped else {})


def test_windows_count_selected_rows_across_shards() -> None:
    store = store_of([5, 5, 5], [5, 5, 5])
    selected = np.array([0, 2, 3, 5])
    plan = plan_blocks(
        store, selected, policy="concat", block_size=4, frame=NO_FRAME, window_rows=3
    )
    # Windows hold rows 0-2 and 3 of the selection; the first is cut at the shard border.
    assert segments(plan) == [[(0, 0, 4)], [(0, 4, 1), (2, 0, 3)], [(3, 0, 4)], [(5, 0, 4)]]
    assert plan.dropped == {"window tail": 4}


def test_nothing_selected() -> None:
    for policy in ("concat", "best-fit", "pad"):
        for store in (store_of(), store_of([0, 0]), store_of([3])):
            nothing = np.flatnonzero(store.documents["tokens"] == 0)
            plan = plan_blocks(store, nothing, policy=policy, block_size=4, frame=END)  # type: ignore[arg-type]
            assert (plan.num_blocks, plan.placed_tokens, plan.dropped) == (0, 0, {})


def test_bad_settings_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_blocks(
            store_of([3]),
            np.array([0]),
            policy="bestfit",  # type: ignore[arg-type]
            block_size=1,
            frame=END,
            window_rows=0,
        )
    assert len(caught.value.problems) == 3


def segments_of(policy: str, lengths: list[int], size: int) -> list[list[tuple[int, int, int]]]:
    """(row, start, length) of each segment, by block."""
    pieces = POLICIES[policy](np.array(lengths, np.int64), size)
    blocks: dict[int, list[tuple[int, int, int]]] = {}
    for row, start, length, block in zip(
        *(column.tolist() for column in (pieces.row, pieces.start, pieces.length, pieces.block)),
        strict=True,
    ):
        blocks.setdefault(block, []).append((row, start, length))
    assert list(blocks) == list(range(len(blocks)))
    assert pieces.dropped == 0
    return list(blocks.values())


def test_concat_of_a_unit() -> None:
    assert segments_of("concat", [3, 0, 5], 4) == [[(0, 0, 3), (2, 0, 1)], [(2, 1, 4)]]


def test_pad() -> None:
    blocks = [[(0, 0, 3)], [(0, 3, 3)], [(0, 6, 1)], [(2, 0, 3)], [(2, 3, 1)]]
    assert segments_of("pad", [7, 0, 4], 3) == blocks


def test_best_fit() -> None:
    assert segments_of("best-fit", [9, 4, 3, 6, 1, 12], 8) == [
        [(0, 0, 8)],
        [(5, 0, 8)],
        [(3, 0, 6), (0, 8, 1), (4, 0, 1)],
        [(1, 0, 4), (5, 8, 4)],
        [(2, 0, 3)],
    ]


def test_best_fit_ties() -> None:
    # Equal documents are placed in their order; of equal rooms the one made last is filled.
    blocks = [[(0, 0, 5), (3, 0, 3)], [(2, 0, 5), (1, 0, 3)]]
    assert segments_of("best-fit", [5, 3, 5, 3], 8) == blocks


@given(st.lists(st.integers(1, 24), max_size=60), st.integers(24, 30))
@examples(200)
def test_best_fit_equals_the_slow_way(lengths: list[int], size: int) -> None:
    room: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [left for left in room if left >= length]
        if fitting:
            room.remove(min(fitting))
        room.append((min(fitting) if fitting else size) - length)
    ours = [size - sum(n for _, _, n in block) for block in segments_of("best-fit", lengths, size)]
    assert sorted(ours) == sorted(room)


def test_counting_up() -> None:
    assert count_up(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
    assert count_up(np.array([], np.int64)).tolist() == []
