"""Plans of the training blocks: arithmetic over document lengths, no token is touched.

A document is *framed*: prefix ids, its tokens, suffix ids. Positions in a plan count framed
tokens. Every framed token is in exactly one block or is counted in ``dropped``; documents without
tokens are not framed. Packing works on units: shards, or windows of their documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError
from nextfill.data.store.document_fields import values
from nextfill.data.store.token_store import TokenStore

Ints = NDArray[np.int64]
Policy = Literal["concat", "best-fit", "pad"]


def count_up(counts: Ints) -> Ints:
    """Return 0, 1, ... up to each count in turn, ``[sum of counts] int64``.

    Example:
        >>> count_up(np.array([2, 0, 3])).tolist()
        [0, 1, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - counts, counts)


@dataclass(frozen=True)
class Frame:
    """Special token ids before and after every document.

    Args:
        prefix: Ids before it, such as the beginning-of-sequence token.
        suffix: Ids after it, such as the end-of-text token.
        each_piece: Cut a document that does not fit into a block first, and frame each of its
            pieces, for masked models; otherwise frame it first and cut then.
    """

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    each_piece: bool = False

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)

    def lengths(self, tokens: Ints) -> Ints:
        """Count the framed tokens of documents of so many, ``[n]``; 0 for one without tokens."""
        return np.where(tokens > 0, tokens + len(self), 0)

    def cut(self, lengths: Ints, block_size: int) -> tuple[Ints, Ints, Ints]:
        """Cut documents of so many tokens, ``[n] int64``, to fit into blocks when each is framed.

        Returns each piece's document from 0, first token and framed tokens, ``[pieces] int64``.
        """
        room = block_size - len(self)
        count = -(-lengths // room)
        row = np.repeat(np.arange(len(lengths)), count)
        start = count_up(count) * room
        return row, start, np.minimum(lengths[row] - start, room) + len(self)


@dataclass(frozen=True)
class BlockPlan:
    """Blocks as spans of framed documents.

    Args:
        block_size: Tokens of a full block.
        frame: Special tokens around each document.
        block_ptr: Segments of block ``b`` are ``block_ptr[b]`` to ``block_ptr[b + 1]``,
            ``[blocks + 1] int64``.
        document: Document of each segment, ``[segments] int64``.
        start: First framed position of each segment, ``[segments] int64``; with a frame around
            each piece, the first of the document's own tokens in it.
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
    block of a shard may be short. With ``window_rows`` it equals the causal guide's
    ``group_texts`` under ``map(batched=True)``: it takes so many documents at a time, empty ones
    included, cuts their tokens into whole blocks and drops the tail; a window shorter than a
    block is one short block. Windows are cut at shard borders as well: a selection within one
    shard (16 million tokens) equals the guide exactly.
    ``best-fit`` keeps documents whole where they fit; ``pad`` gives each document its own rows.

    Args:
        store: The documents.
        selected: Document numbers, ascending, ``[n] int64``.
        policy: ``concat``, ``best-fit`` or ``pad``.
        block_size: Tokens of a block.
        frame: Special tokens around each document.
        window_rows: Documents per window, for ``concat`` only.

    Raises:
        ConfigError: ``block_size`` or ``window_rows`` cannot be used.

    Source:
        best-fit: Ding et al. 2024, "Fewer Truncations Improve Language Modeling"; here the
        remainders of long documents are packed with the short documents, shard by shard.
    """
    _check(policy, block_size, window_rows, frame)
    selected = np.asarray(selected, np.int64)
    bounds, pack = np.searchsorted(selected, store.shard_bounds), POLICIES[policy]
    if window_rows is not None:
        bounds = np.union1d(bounds, np.arange(0, len(selected), window_rows))
        pack = partial(_concat, whole_blocks=True)
    tokens = values(store, "tokens", selected)
    if frame.each_piece:
        piece_of, first, lengths = frame.cut(tokens, block_size)
        bounds = np.searchsorted(piece_of, bounds)
    else:
        lengths = frame.lengths(tokens)
    packed = _pack_units(lengths, bounds[np.diff(bounds, prepend=-1) > 0], block_size, pack)
    num_blocks = int(packed.block[-1]) + 1 if len(packed.block) else 0
    block_ptr = np.searchsorted(packed.block, np.arange(num_blocks + 1)).astype(np.int64)
    row, start = packed.row, packed.start
    if frame.each_piece:  # the packed rows are pieces, each of them whole
        row, start = piece_of[row], first[row]
    document = selected[row]
    return BlockPlan(
        block_size=block_size,
        policy=policy,
        frame=frame,
        block_ptr=block_ptr,
        document=document,
        start=start,
        length=packed.length,
        shard=store.shard_of(document[block_ptr[:-1]]),
        dropped={"window tail": packed.dropped} if packed.dropped else {},
    )


def _check(policy: str, block_size: int, window_rows: int | None, frame: Frame) -> None:
    """Raise every problem of the settings at once."""
    problems = []
    if policy not in POLICIES:
        problems.append(f"packing is '{policy}'; expected one of {', '.join(POLICIES)}")
    if block_size < 2:
        problems.append(f"block size is {block_size}; expected at least 2: type --block-size 128")
    if window_rows is not None and (window_rows < 1 or policy != "concat"):
        problems.append(
            f"windows of {window_rows} rows with packing '{policy}'; expected at least 1 row, and "
            "--packing concat"
        )
    if frame.each_piece and policy == "concat":
        problems.append("packing 'concat' cuts anywhere: it cannot frame each piece")
    if frame.each_piece and len(frame) >= block_size >= 2:
        problems.append(
            f"block size is {block_size}, for {amount(len(frame), 'special token')} around a text: "
            f"type --block-size {max(16, len(frame) + 1)} or more"
        )
    if problems:
        raise ConfigError(problems)


def _pack_units(lengths: Ints, bounds: Ints, block_size: int, pack: Packer) -> Segments:
    """Pack unit by unit, and number rows and blocks on from one unit to the next."""
    none = np.empty(0, np.int64)
    parts = [Segments(none, none, none, none)]
    num_blocks = 0
    for first, last in pairwise(bounds.tolist()):
        segments = pack(lengths[first:last], block_size)
        parts.append(replace(segments, row=segments.row + first, block=segments.block + num_blocks))
        num_blocks += int(segments.block[-1]) + 1 if len(segments.block) else 0
    row, start, length, block = (
        np.concatenate([getattr(part, name) for part in parts]).astype(np.int64, copy=False)
        for name in ("row", "start", "length", "block")
    )
    return Segments(row, start, length, block, sum(part.dropped for part in parts))


@dataclass(frozen=True)
class Segments:
    """Segments of one packing unit, sorted by block: the arrays are ``[segments] int64``.

    Args:
        row: Document of each segment, from 0 in the unit.
        start: First position in the document.
        length: Positions.
        block: Block of each segment, from 0 in the unit; no block is left out.
        dropped: Positions in no segment.
    """

    row: Ints
    start: Ints
    length: Ints
    block: Ints
    dropped: int = 0


Packer = Callable[[Ints, int], Segments]


def _concat(lengths: Ints, size: int, whole_blocks: bool = False) -> Segments:
    """Cut the documents, one after the other, every ``size`` tokens.

    With ``whole_blocks`` the rest after the last whole block is dropped, if there is a whole one.
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    kept = total // size * size if whole_blocks and total >= size else total
    cuts = np.concatenate([(ends - lengths)[lengths > 0], np.arange(0, kept, size)])
    cuts = np.sort(cuts[cuts < kept], kind="stable")  # merges two sorted runs
    cuts = cuts[np.diff(cuts, prepend=-1) > 0]
    row = np.searchsorted(ends, cuts, side="right")
    return Segments(
        row=row,
        start=cuts - (ends - lengths)[row],
        length=np.diff(cuts, append=kept),
        block=cuts // size,
        dropped=total - kept,
    )


def _pad(lengths: Ints, size: int) -> Segments:
    """Give every document blocks of its own."""
    pieces = -(-lengths // size)
    row = np.repeat(np.arange(len(lengths)), pieces)
    start = count_up(pieces) * size
    return Segments(row, start, np.minimum(lengths[row] - start, size), np.arange(len(row)))


def _best_fit(lengths: Ints, size: int) -> Segments:
    """Make full blocks of long documents, and pack the remainders by best-fit decreasing."""
    full = lengths // size
    row = np.repeat(np.arange(len(lengths)), full)
    start = count_up(full) * size
    rest = lengths - full * size
    loose = np.flatnonzero(rest)
    loose = loose[np.argsort(-rest[loose], kind="stable")]
    block = np.array(_place(rest[loose].tolist(), size), np.int64) + len(row)
    order = np.argsort(block, kind="stable")
    loose, block = loose[order], block[order]
    return Segments(
        row=np.concatenate([row, loose]),
        start=np.concatenate([start, full[loose] * size]),
        length=np.concatenate([np.full(len(row), size, np.int64), rest[loose]]),
        block=np.concatenate([np.arange(len(row)), block]),
    )


def _place(sizes: list[int], capacity: int) -> list[int]:
    """Return the block of each item: the open block that it leaves fullest, else a new one.

    Bit ``c`` of ``room`` is set if some open block has ``c`` positions left: one shift and one
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


POLICIES: dict[str, Packer] = {"concat": _concat, "best-fit": _best_fit, "pad": _pad}
