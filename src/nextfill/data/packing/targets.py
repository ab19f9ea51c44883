"""The targets of planned blocks where documents begin with a context, which is never a target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nextfill.data.packing.block_plan import BlockPlan, Frame, Ints, count_up
from nextfill.data.store.token_store import TokenStore

WITHOUT_TARGET = "in blocks without a target"
"""Reason for dropping tokens of context that fill a block alone."""


def first_learnt(store: TokenStore, documents: Ints, frame: Frame) -> Ints:
    """Return the first framed position that may be a target, ``[n] int64``; 0 without a context.

    Without a context the prefix may be one, of the document before where those are not kept apart.
    """
    if store.contexts is None:
        return np.zeros(len(documents), np.int64)
    tokens = np.asarray(store.contexts["tokens"][documents], np.int64)
    return np.where(tokens > 0, tokens + len(frame.prefix), 0)


def block_targets(
    plan: BlockPlan, store: TokenStore, *, isolate: bool, beyond: bool = True
) -> Ints:
    """Count the targets of each block of a causal model, ``[blocks] int64``.

    With ``beyond``, the last position of a segment predicts its document's next token in another
    block, where documents are kept apart.
    """
    first = first_learnt(store, plan.document, plan.frame)
    end = plan.start + plan.length
    starts_row = np.zeros(len(plan.start), np.bool_)
    starts_row[plan.block_ptr[:-1]] = True
    predicted = plan.start + (starts_row | isolate)  # from here on
    if isolate and beyond:
        end = np.minimum(end + 1, plan.frame.lengths(store.documents["tokens"][plan.document]))
    segments = np.maximum(end - np.maximum(predicted, first), 0)
    return np.add.reduceat(segments, plan.block_ptr[:-1]) if plan.num_blocks else segments


def with_targets(
    plan: BlockPlan, store: TokenStore, *, isolate: bool, beyond: bool = True
) -> BlockPlan:
    """Return a plan without the blocks that have nothing to learn; their tokens are dropped."""
    if store.contexts is None:
        return plan
    kept = np.flatnonzero(block_targets(plan, store, isolate=isolate, beyond=beyond))
    counts = np.diff(plan.block_ptr)[kept]
    some = np.repeat(plan.block_ptr[kept], counts) + count_up(counts)
    dropped = plan.placed_tokens - int(plan.length[some].sum())
    return replace(
        plan,
        block_ptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        document=plan.document[some],
        start=plan.start[some],
        length=plan.length[some],
        shard=plan.shard[kept],
        dropped={**plan.dropped, WITHOUT_TARGET: dropped} if dropped else plan.dropped,
    )
