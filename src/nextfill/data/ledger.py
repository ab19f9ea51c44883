"""The ledger: where every record and every token went, so that none is lost without a word."""

from __future__ import annotations

from typing import Any

from nextfill.data.packing.plan import BlockPlan, Frame
from nextfill.data.prepare import Prepared


def make_ledger(prepared: Prepared, plan: BlockPlan, scored: Frame) -> dict[str, Any]:
    """Account for one epoch.

    Args:
        prepared: The data.
        plan: The training blocks.
        scored: The frame of held-out documents.

    Returns:
        Counts such that ``records`` are documents or skipped (where each record makes one
        document), and ``tokens + separators == trained + evaluated + sum(dropped)``; ``padding``
        stands apart. ``separators`` are the special tokens around documents.
    """
    counts = [store.meta["counts"] for store in prepared.stores]
    totals = [store.meta["totals"] for store in prepared.stores]
    skipped: dict[str, int] = {}
    for one in counts:
        for reason, number in one["skipped"].items():
            skipped[reason] = skipped.get(reason, 0) + number
    train, held_out = prepared.train, prepared.held_out
    separators = len(plan.frame) * train.num_texts + len(scored) * held_out.num_texts
    return {
        "records": sum(one["records"] for one in counts),
        "documents": sum(one["documents"] for one in counts),
        "empty": sum(one["empty"] for one in counts),
        "skipped": skipped,
        "bytes": sum(one["bytes"] for one in totals),
        "characters": sum(one["characters"] for one in totals),
        "words": sum(one["words"] for one in totals),
        "tokens": sum(store.num_tokens for store in prepared.stores),
        "separators": separators,
        "trained": plan.placed_tokens,
        "evaluated": held_out.num_tokens + len(scored) * held_out.num_texts,
        "dropped": {**prepared.dropped, **plan.dropped},
        "padding": plan.padding,
        "train_documents": len(train.documents),
        "held_out_documents": len(held_out.documents),
        "content_sha256": [store.meta["content_sha256"] for store in prepared.stores],
    }
