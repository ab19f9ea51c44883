"""The ledger: an account of every record and every token, so that none is lost silently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nextfill.data.copies import copies_of
from nextfill.data.document import add_counts
from nextfill.data.packing.block_counts import BlockCounts
from nextfill.data.packing.block_plan import BlockPlan, Frame
from nextfill.data.parts import Part, PreparedData
from nextfill.data.store.pieces import JoinedStore, further_pieces


def make_ledger(
    prepared: PreparedData, plan: BlockPlan | BlockCounts, scored: Frame
) -> dict[str, Any]:
    """Make the ledger of one epoch; ``scored`` is the frame around evaluated text."""
    counts = [store.meta["counts"] for store in prepared.stores]
    totals = [store.meta["totals"] for store in prepared.stores]
    train, held_out, validation = prepared.train, prepared.held_out, prepared.validation
    evaluated = [held_out] if validation is None else [held_out, validation]
    around = len(scored) * sum(_num_frames(part, scored, plan.block_size) for part in evaluated)
    further = sum(int(further_pieces(store).sum()) for store in prepared.stores)
    documents = sum(one["documents"] for one in counts) - further
    separators = len(plan.frame) * _num_frames(prepared.trained, plan.frame, plan.block_size)
    infilling = _infilling(prepared, plan)
    tokens = sum(store.num_tokens for store in prepared.stores) + infilling.get("tokens_added", 0)
    return {
        "files": prepared.num_files,
        "files_left_out": dict(prepared.left_out),
        "records": sum(one["records"] for one in counts),
        "documents": documents,
        "empty": sum(one["empty"] for one in counts),
        "with_text": sum(one["with_text"] for one in counts),
        "skipped": add_counts(one["skipped"] for one in counts),
        "values": add_counts(one["values"] for one in counts),
        "tables": add_counts(one.get("tables", {}) for one in counts),
        "text_field": counts[0]["text_field"],
        "bytes": sum(one["bytes"] for one in totals),
        "characters": sum(one["characters"] for one in totals),
        "words": sum(one["words"] for one in totals),
        "tokens": tokens,
        **_contexts(prepared, counts, tokens),
        "separators": separators + around,
        "trained": plan.placed_tokens,
        "evaluated": sum(part.num_tokens for part in evaluated) + around,
        "dropped": {**prepared.dropped, **plan.dropped},
        "padding": plan.padding,
        **({"pieces": documents + further - _num_joined(train, validation)} if further else {}),
        "train_documents": len(train.documents),
        "held_out_documents": len(held_out.documents),
        "validation_documents": 0 if validation is None else len(validation.documents),
        **_copies(train, held_out, validation),
        **({"infilling": infilling} if infilling else {}),
        **({"held_out_ends": prepared.num_ends} if prepared.num_ends else {}),
        "evaluation_sets": {
            name: {"documents": part.num_texts, "tokens": part.num_tokens}
            for name, part in prepared.sets.items()
        },
        **({"encodings": dict(prepared.encodings)} if prepared.encodings else {}),
        **_beside_text(counts),
        **({"sources": prepared.sources} if prepared.sources else {}),
        **({"leaks": dict(prepared.leaks)} if prepared.leaks else {}),
        "content_sha256": [store.meta["content_sha256"] for store in prepared.stores],
    }


def add_portion(ledger: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ledger of portions of a source with that of a further one, which trains alone."""
    added = dict(ledger)
    for key in _OF_A_PORTION:
        if key not in more:
            continue
        if isinstance(more[key], int):
            added[key] = ledger.get(key, 0) + more[key]
        elif isinstance(more[key], list):
            added[key] = [*ledger[key], *more[key]]
        else:
            added[key] = add_counts([ledger.get(key, {}), more[key]])
    return added


_OF_A_PORTION = (
    *("records", "documents", "empty", "with_text", "skipped", "values", "tables", "beside_text"),
    *("bytes", "characters", "words", "tokens", "separators", "trained", "dropped", "padding"),
    *("train_documents", "content_sha256", "context_tokens", "target_tokens", "copies"),
)
"""Counts that grow with each portion; those of files and held-out documents do not."""


def _beside_text(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found = add_counts(one.get("beside_text", {}) for one in counts)
    return {"beside_text": found} if found else {}


def _contexts(
    prepared: PreparedData, counts: Sequence[Mapping[str, Any]], tokens: int
) -> dict[str, Any]:
    """Count the tokens of contexts, and those that are learnt or scored; nothing without any."""
    stores = [store for store in prepared.stores if store.contexts is not None]
    if not stores:
        return {}
    context = sum(Part.whole(store).context_tokens for store in stores)
    return {
        "context_field": next(filter(None, (one.get("context_field") for one in counts)), None),
        "context_tokens": context,
        "target_tokens": tokens - context,
    }


def _copies(*parts: Part | None) -> dict[str, int]:
    """Count the documents with the text of another in their part; nothing without any."""
    number = sum(copies_of(part).number for part in parts if part is not None)
    return {"copies": number} if number else {}


def _num_joined(*parts: Part | None) -> int:
    stores = (part.store for part in parts if part is not None)
    return sum(store.num_joined for store in stores if isinstance(store, JoinedStore))


def _infilling(prepared: PreparedData, plan: BlockPlan | BlockCounts) -> dict[str, int]:
    """Count the training documents that are cut, in what order, and those that are not."""
    if prepared.infilled is None:
        return {}
    room = plan.block_size - len(plan.frame)
    train = prepared.train
    return prepared.infilled.counts(train.documents, train.store, room=room)


def _num_frames(part: Part, frame: Frame, block_size: int) -> int:
    """Count the frames in a part: one around each text, or around each of its pieces."""
    if not frame.each_piece:
        return part.num_texts
    return int((-(-part.lengths // (block_size - len(frame)))).sum())
