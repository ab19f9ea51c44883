from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_plan import Frame
from nextfill.data.packing.windows import plan_windows
from tests.properties import examples
from tests.unit.data.packing.documents_of_lengths import every, frames, shards_of_lengths, store_of


@given(
    shards_of_lengths,
    frames,
    st.integers(1, 12).flatmap(
        lambda size: st.tuples(st.just(size), st.none() | st.integers(1, size))
    ),
)
@examples(300)
def test_windows_score_every_token_but_the_first_once(
    shards: list[list[int]], frame: Frame, sizes: tuple[int, int | None]
) -> None:
    block_size, stride = sizes
    store = store_of(*shards)
    plan = plan_windows(store, every(store), block_size=block_size, stride=stride, frame=frame)
    targets = []
    spans = zip(plan.document, plan.start, plan.length, plan.scored_from, strict=True)
    for document, start, length, scored in spans:
        assert 0 <= scored < length <= block_size
        assert stride is not None or start == 0 or length == block_size  # the last reaches back
        for position in range(start + scored, start + length):
            targets.append((int(document), int(position) + 1))
            context = position + 1 - start
            assert context >= min(position + 1, block_size - (stride or block_size) + 1)
    lengths = store.documents["tokens"]
    assert targets == [
        (d, p) for d in every(store) if lengths[d] for p in range(1, lengths[d] + len(frame))
    ]
    assert plan.num_targets == len(targets)


def test_windows() -> None:
    plan = plan_windows(
        store_of([9, 0, 1, 3]), np.array([0, 1, 2, 3]), block_size=4, stride=2, frame=Frame()
    )
    assert plan.document.tolist() == [0, 0, 0, 3]
    assert plan.start.tolist() == [0, 2, 4, 0]
    assert plan.length.tolist() == [4, 4, 4, 2]
    assert plan.scored_from.tolist() == [0, 2, 2, 0]
    assert (plan.num_windows, plan.num_targets) == (4, 10)


def test_windows_without_a_stride() -> None:
    plan = plan_windows(
        store_of([9, 0, 1, 5, 7]), np.arange(5), block_size=4, stride=None, frame=Frame()
    )
    assert plan.document.tolist() == [0, 0, 3, 4, 4]
    assert plan.start.tolist() == [0, 4, 0, 0, 2]
    assert plan.length.tolist() == [4, 4, 4, 4, 4]
    assert plan.scored_from.tolist() == [0, 0, 0, 0, 2]


@pytest.mark.parametrize(("block_size", "stride"), [(4, 0), (4, 5), (0, 0)])
def test_bad_stride(block_size: int, stride: int) -> None:
    with pytest.raises(ConfigError, match=f"stride is {stride} with block size {block_size}"):
        plan_windows(
            store_of([3]),
            np.array([0]),
            block_size=block_size,
            stride=stride,
            frame=Frame(suffix=(0,)),
        )
