from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nextfill.data.packing.block_plan import POLICIES, count_up


def segments(policy: str, lengths: list[int], size: int) -> list[list[tuple[int, int, int]]]:
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


def test_concat() -> None:
    assert segments("concat", [3, 0, 5], 4) == [[(0, 0, 3), (2, 0, 1)], [(2, 1, 4)]]


def test_pad() -> None:
    blocks = [[(0, 0, 3)], [(0, 3, 3)], [(0, 6, 1)], [(2, 0, 3)], [(2, 3, 1)]]
    assert segments("pad", [7, 0, 4], 3) == blocks


def test_best_fit() -> None:
    assert segments("best-fit", [9, 4, 3, 6, 1, 12], 8) == [
        [(0, 0, 8)],
        [(5, 0, 8)],
        [(3, 0, 6), (0, 8, 1), (4, 0, 1)],
        [(1, 0, 4), (5, 8, 4)],
        [(2, 0, 3)],
    ]


def test_best_fit_ties() -> None:
    # Equal documents are placed in their order; of equal rooms the one made last is filled.
    blocks = [[(0, 0, 5), (3, 0, 3)], [(2, 0, 5), (1, 0, 3)]]
    assert segments("best-fit", [5, 3, 5, 3], 8) == blocks


@given(st.lists(st.integers(1, 24), max_size=60), st.integers(24, 30))
@settings(max_examples=200, deadline=None)
def test_best_fit_equals_the_slow_way(lengths: list[int], size: int) -> None:
    room: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [left for left in room if left >= length]
        if fitting:
            room.remove(min(fitting))
        room.append((min(fitting) if fitting else size) - length)
    ours = [size - sum(n for _, _, n in block) for block in segments("best-fit", lengths, size)]
    assert sorted(ours) == sorted(room)


def test_counting_up() -> None:
    assert count_up(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
    assert count_up(np.array([], np.int64)).tolist() == []
