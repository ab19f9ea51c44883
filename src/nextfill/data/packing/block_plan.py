"""Which tokens make block *i*: arithmetic over document lengths, no token is touched.

A document is *framed*: prefix ids, its tokens, suffix ids. Positions in a plan count framed
tokens. Every framed token is in exactly one block or is counted in ``dropped``; documents without
tokens are not framed. Packing never crosses a shard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np

from nextfill.core.errors import ConfigError
from nextfill.data.packing.policies import POLICIES, Ints, Packer, Pieces, concat, count_up
from nextfill.data.store.token_store import TokenStore

Policy = Literal["concat", "best-fit", "pad"]


@dataclass(frozen=True)
class Frame:
    """Token ids put before and after every document.

    Args:
        prefix: Ids before it, such as the beginning-of-sequence token.
        suffix: Ids after it, such as the end-of-text token.
        each_piece: A document that does not fit into a block is cut first and each of its pieces is
            framed, as masked models want it; otherwise it is framed first and cut then.
    """

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    each_piece: bool = False

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)

    def lengths(self, store: TokenStore, documents: Ints) -> Ints:
        """Return the framed tokens of documents.

        Args:
            store: The documents.
            documents: Document numbers, ``[n] int64``.

        Returns:
            Tokens with prefix and suffix, ``[n] int64``; 0 where there is nothing to frame.
        """
        tokens = np.asarray(store.documents["tokens"][documents], np.int64)
        return np.where(tokens > 0, tokens + len(self), 0)

    def cut(self, lengths: Ints, block_size: int) -> tuple[Ints, Ints, Ints]:
        """Cut documents into pieces that fit into a block when each is framed.

        Args:
            lengths: Tokens of each document, ``[n] int64``.
            block_size: Tokens of a block.

        Returns:
            Of each piece its document from 0, its first token, and its framed tokens, all
            ``[pieces] int64``.
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
        policy: How documents were put into blocks.
        frame: What surrounds each document.
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
    _check(policy, block_size, window_rows, frame)
    selected = np.asarray(selected, np.int64)
    borders = [np.searchsorted(selected, store.shard_bounds)]  # where a packing unit begins or ends
    if window_rows is not None:
        borders.append(np.arange(0, len(selected), window_rows))
    pack = POLICIES[policy] if window_rows is None else partial(concat, whole_blocks=True)
    bounds = np.unique(np.concatenate(borders))
    if frame.each_piece:
        own = np.asarray(store.documents["tokens"][selected], np.int64)
        row, first, lengths = frame.cut(own, block_size)
        bounds = np.searchsorted(row, bounds)
    else:
        lengths = frame.lengths(store, selected)
    parts, num_blocks = _pack_units(lengths, np.unique(bounds), block_size, pack)
    block_ptr = np.searchsorted(_join([part.block for part in parts]), np.arange(num_blocks + 1))
    packed, start = (_join([getattr(part, name) for part in parts]) for name in ("row", "start"))
    if frame.each_piece:  # what was packed are pieces, each of them whole
        packed, start = row[packed], first[packed]
    document = selected[packed]
    dropped = sum(part.dropped for part in parts)
    return BlockPlan(
        block_size=block_size,
        policy=policy,
        frame=frame,
        block_ptr=block_ptr.astype(np.int64),
        document=document,
        start=start,
        length=_join([part.length for part in parts]),
        shard=store.shard_of(document[block_ptr[:-1]]),
        dropped={"window tail": dropped} if dropped else {},
    )


def _check(policy: str, block_size: int, window_rows: int | None, frame: Frame) -> None:
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
            f"block size is {block_size}, and {len(frame)} special tokens stand around each text: "
            f"type --block-size {max(16, len(frame) + 1)} or more"
        )
    if problems:
        raise ConfigError(problems)


def _pack_units(
    lengths: Ints, borders: Ints, block_size: int, pack: Packer
) -> tuple[list[Pieces], int]:
    """Pack unit by unit; rows and blocks are numbered on from one unit to the next."""
    parts: list[Pieces] = []
    num_blocks = 0
    for first, last in pairwise(borders.tolist()):
        pieces = pack(lengths[first:last], block_size)
        parts.append(replace(pieces, row=pieces.row + first, block=pieces.block + num_blocks))
        num_blocks += int(pieces.block[-1]) + 1 if len(pieces.block) else 0
    return parts, num_blocks


def _join(parts: list[Ints]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64, copy=False)
