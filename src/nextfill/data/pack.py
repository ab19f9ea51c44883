"""Which tokens make block *i*: arithmetic over document lengths, no token is touched.

A document is *framed*: prefix ids, its tokens, suffix ids. Positions in a plan count framed
tokens. Every framed token is in exactly one block or is counted in ``dropped``; documents without
tokens are not framed. Packing never crosses a shard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nextfill.data.store import TokenStore
from nextfill.errors import ConfigError

Policy = Literal["concat", "best-fit", "pad"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Frame:
    """Token ids put before and after every document.

    Args:
        prefix: Ids before it, such as the beginning-of-sequence token.
        suffix: Ids after it, such as the end-of-text token.
    """

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


@dataclass(frozen=True)
class BlockPlan:
    """Blocks as spans of framed documents.

    Args:
        block_size: Tokens of a full block.
        policy: How documents were put into blocks.
        frame: What surrounds each document.
        block_ptr: Segments of block ``b`` are ``block_ptr[b]`` to ``block_ptr[b + 1]``,
            ``[blocks + 1] int64``.
        document: Document of each segment, ``[segments] int64``.
        start: First framed position of each segment, ``[segments] int64``.
        length: Framed tokens of each segment, ``[segments] int64``.
        shard: Shard of each block, ``[blocks] int64``.
        dropped: Framed tokens in no block, by reason.
    """

    block_size: int
    policy: Policy
    frame: Frame
    block_ptr: Ints
    document: Ints
    start: Ints
    length: Ints
    shard: Ints
    dropped: dict[str, int]

    @property
    def num_blocks(self) -> int:
        """Blocks in the plan."""
        return len(self.block_ptr) - 1

    @property
    def placed_tokens(self) -> int:
        """Framed tokens in blocks."""
        return int(self.length.sum())

    @property
    def padding(self) -> int:
        """Positions of full-width blocks that hold no token."""
        return self.num_blocks * self.block_size - self.placed_tokens


@dataclass(frozen=True)
class _Pieces:
    """Segments of one packing unit, sorted by block: all ``[segments] int64``."""

    row: Ints  # of the document in the unit
    start: Ints
    length: Ints
    block: Ints  # from 0 in the unit
    dropped: int = 0


def plan_blocks(
    store: TokenStore,
    selected: Ints,
    *,
    policy: Policy,
    block_size: int,
    frame: Frame,
    window_rows: int | None = None,
) -> BlockPlan:
    """Put documents into blocks.

    ``concat`` joins the framed documents of a shard and cuts every ``block_size`` tokens; the last
    block of a shard may be short. With ``window_rows`` it does what the causal guide's
    ``group_texts`` does under ``map(batched=True)``: documents, empty ones included, are taken so
    many at a time; of a window's tokens whole blocks are kept and the tail is dropped, and a
    window shorter than a block is one short block. Windows are cut at shard borders as well: a
    selection within one shard (16 million tokens) equals the guide exactly.
    ``best-fit`` keeps documents whole where they fit; ``pad`` gives each document its own rows.

    Args:
        store: The documents.
        selected: Document numbers, ascending, ``[n] int64``.
        policy: ``concat``, ``best-fit`` or ``pad``.
        block_size: Tokens of a block.
        frame: What surrounds each document.
        window_rows: Documents per window, for ``concat`` only.

    Returns:
        The plan.

    Raises:
        ConfigError: ``block_size`` or ``window_rows`` cannot be used.

    Source:
        best-fit: Ding et al. 2024, "Fewer Truncations Improve Language Modeling"; here the
        remainders of long documents are packed with the short documents, shard by shard.
    """
    _check(policy, block_size, window_rows)
    selected = np.asarray(selected, np.int64)
    tokens = np.asarray(store.documents["tokens"][selected], np.int64)
    lengths = np.where(tokens > 0, tokens + len(frame), 0)
    edges = np.searchsorted(selected, store.shard_bounds)  # of the shards, in rows
    units = np.unique(edges)
    if window_rows is not None:
        units = np.unique(np.concatenate([units, np.arange(0, len(selected), window_rows)]))
    pack = _PACKERS[policy] if window_rows is None else partial(_concat, whole_blocks=True)

    parts, rows, blocks, shards = [], [], [], []
    num_blocks = 0
    for first, last in zip(units[:-1].tolist(), units[1:].tolist(), strict=True):
        pieces = pack(lengths[first:last], block_size)
        parts.append(pieces)
        rows.append(pieces.row + first)
        blocks.append(pieces.block + num_blocks)
        made = int(pieces.block[-1]) + 1 if len(pieces.block) else 0
        shards.append(np.full(made, np.searchsorted(edges, first, side="right") - 1, np.int64))
        num_blocks += made
    block = _join(blocks)
    dropped = sum(pieces.dropped for pieces in parts)
    return BlockPlan(
        block_size=block_size,
        policy=policy,
        frame=frame,
        block_ptr=np.searchsorted(block, np.arange(num_blocks + 1)).astype(np.int64),
        document=selected[_join(rows)],
        start=_join([pieces.start for pieces in parts]),
        length=_join([pieces.length for pieces in parts]),
        shard=_join(shards),
        dropped={"window tail": dropped} if dropped else {},
    )


@dataclass(frozen=True)
class WindowPlan:
    """Evaluation windows: every framed token of a document but its first is a target once.

    Args:
        block_size: Most input positions of a window.
        stride: New targets of each window after a document's first.
        frame: What surrounds each document.
        document: Document of each window, ``[windows] int64``.
        start: First framed position of each window, ``[windows] int64``.
        length: Input positions, ``[windows] int64``; the last input has its target beyond them.
        scored_from: Input positions before it only give context, ``[windows] int64``.
    """

    block_size: int
    stride: int
    frame: Frame
    document: Ints
    start: Ints
    length: Ints
    scored_from: Ints

    @property
    def num_windows(self) -> int:
        """Windows in the plan."""
        return len(self.document)

    @property
    def num_targets(self) -> int:
        """Framed tokens that are scored, each once."""
        return int((self.length - self.scored_from).sum())


def plan_windows(
    store: TokenStore, selected: Ints, *, block_size: int, stride: int, frame: Frame
) -> WindowPlan:
    """Slide a window over each document, so that a token is scored with the context before it.

    Windows begin every ``stride`` positions: after a document's first window, each scores its
    last ``stride`` targets, so a target has at least ``block_size - stride`` tokens of context.

    Args:
        store: The documents.
        selected: Document numbers, ascending, ``[n] int64``.
        block_size: Most input positions of a window.
        stride: From 1 (most context, slowest) to ``block_size`` (disjoint windows).
        frame: What surrounds each document.

    Returns:
        The plan; documents of fewer than two framed tokens have no window.

    Raises:
        ConfigError: ``block_size`` or ``stride`` cannot be used.
    """
    if block_size < 1 or not 1 <= stride <= block_size:
        raise ConfigError(
            [
                f"stride is {stride} with block size {block_size}; expected 1 to the block size: "
                f"type --stride {max(1, block_size // 2)}"
            ]
        )
    selected = np.asarray(selected, np.int64)
    tokens = np.asarray(store.documents["tokens"][selected], np.int64)
    # The last framed token predicts nothing, so it is no input.
    inputs = np.where(tokens > 0, tokens + len(frame) - 1, 0)
    windows = np.where(inputs > 0, 1 + -(-np.maximum(inputs - block_size, 0) // stride), 0)
    row = np.repeat(np.arange(len(selected)), windows)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(windows) - windows, windows)
    start = nth * stride
    return WindowPlan(
        block_size=block_size,
        stride=stride,
        frame=frame,
        document=selected[row],
        start=start,
        length=np.minimum(inputs[row] - start, block_size),
        scored_from=np.where(nth > 0, block_size - stride, 0),
    )


def _check(policy: str, block_size: int, window_rows: int | None) -> None:
    problems = []
    if policy not in _PACKERS:
        problems.append(f"packing is '{policy}'; expected one of {', '.join(_PACKERS)}")
    if block_size < 2:
        problems.append(f"block size is {block_size}; expected at least 2: type --block-size 128")
    if window_rows is not None and (window_rows < 1 or policy != "concat"):
        problems.append(
            f"windows of {window_rows} rows with packing '{policy}'; expected at least 1 row, and "
            "--packing concat"
        )
    if problems:
        raise ConfigError(problems)


def _join(parts: list[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64, copy=False)


def _concat(lengths: Ints, size: int, whole_blocks: bool = False) -> _Pieces:
    """Cut the documents, one after the other, every ``size`` tokens."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    kept = total // size * size if whole_blocks and total >= size else total
    cuts = np.concatenate([(ends - lengths)[lengths > 0], np.arange(0, kept, size)])
    cuts = np.sort(cuts[cuts < kept], kind="stable")  # merges two sorted runs
    cuts = cuts[np.diff(cuts, prepend=-1) > 0]
    row = np.searchsorted(ends, cuts, side="right")
    return _Pieces(
        row=row,
        start=cuts - (ends - lengths)[row],
        length=np.diff(cuts, append=kept),
        block=cuts // size,
        dropped=total - kept,
    )


def _pad(lengths: Ints, size: int) -> _Pieces:
    """Give every document its own blocks."""
    pieces = -(-lengths // size)
    row = np.repeat(np.arange(len(lengths)), pieces)
    block = np.arange(len(row))
    start = (block - np.repeat(np.cumsum(pieces) - pieces, pieces)) * size
    return _Pieces(row, start, np.minimum(lengths[row] - start, size), block)


def _best_fit(lengths: Ints, size: int) -> _Pieces:
    """Full blocks of long documents, then what remains by best-fit decreasing."""
    full = lengths // size
    row = np.repeat(np.arange(len(lengths)), full)
    start = (np.arange(len(row)) - np.repeat(np.cumsum(full) - full, full)) * size
    rest = lengths - full * size
    loose = np.flatnonzero(rest)
    loose = loose[np.argsort(-rest[loose], kind="stable")]
    block = np.array(_place(rest[loose].tolist(), size), np.int64) + len(row)
    order = np.argsort(block, kind="stable")
    loose, block = loose[order], block[order]
    return _Pieces(
        row=np.concatenate([row, loose]),
        start=np.concatenate([start, full[loose] * size]),
        length=np.concatenate([np.full(len(row), size, np.int64), rest[loose]]),
        block=np.concatenate([np.arange(len(row)), block]),
    )


def _place(sizes: list[int], capacity: int) -> list[int]:
    """Return the block of each item: the open block that it leaves fullest, else a new one.

    Bit ``c`` of ``room`` says that some open block has ``c`` positions left: one shift and one
    bit trick find the tightest, so that a million items take about a second.
    """
    waiting: list[list[int]] = [[] for _ in range(capacity + 1)]  # open blocks by what is left
    room = 0
    num_blocks = 0
    placed = []
    for size in sizes:
        fitting = room >> size
        if fitting:
            left = size + (fitting & -fitting).bit_length() - 1
            block = waiting[left].pop()
            if not waiting[left]:
                room ^= 1 << left
        else:
            left, block = capacity, num_blocks
            num_blocks += 1
        left -= size
        if left:
            waiting[left].append(block)
            room |= 1 << left
        placed.append(block)
    return placed


_PACKERS: dict[str, Callable[[Ints, int], _Pieces]] = {
    "concat": _concat,
    "best-fit": _best_fit,
    "pad": _pad,
}
