"""The reader of planned blocks and evaluation windows, from a store into arrays.

It gathers over the memory maps, with no Python loop over tokens or segments: 8 rows of 128 take
about 0.1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.packing.block_plan import BlockPlan, Frame, Ints, count_up
from nextfill.data.packing.windows import WindowPlan
from nextfill.data.store.token_store import TokenStore

NO_TARGET = -100  # ignored by the losses of transformers


@dataclass(frozen=True)
class Blocks:
    """Rows of framed tokens before an objective chooses targets; arrays are ``[B, T]``.

    Args:
        tokens: Ids, the pad id where a row is empty, int64.
        next_tokens: The token that follows, -100 where there is none, int64.
        position_ids: Positions for the model, int64; 0 in the padding of isolated rows.
        document_ids: 0, 1, 2 per segment of a row, -1 in padding, int64.
        special: Prefix, suffix and padding, bool.
        numbers: Number of each row in its plan, ``[B] int64``.
        word_starts: A token at which a word begins, bool; None if the reading had none.
    """

    tokens: Ints
    next_tokens: Ints
    position_ids: Ints
    document_ids: Ints
    special: NDArray[np.bool_]
    numbers: Ints
    word_starts: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _Spans:
    """Segments to read, in the order of their rows, ``[segments] int64``."""

    document: Ints
    start: Ints
    length: Ints
    row: Ints
    within_row: Ints  # 0, 1, 2 per segment of a row
    column: Ints  # where in the row it begins


def read_blocks(
    store: TokenStore,
    plan: BlockPlan,
    numbers: Ints,
    *,
    pad_id: int,
    isolate: bool,
    width: int | None = None,
    word_starts: Sequence[NDArray[np.bool_]] | None = None,
) -> Blocks:
    """Read blocks of a plan.

    Args:
        store: The store that the plan was made for.
        plan: The plan.
        numbers: Block numbers, ``[B] int64``.
        pad_id: Id for positions without a token.
        isolate: Keep documents apart: positions restart at 0 at every segment, and the next token
            is the document's own, read from beyond the segment where the document goes on in
            another block; so every framed token but a document's first is a target once over the
            plan. Otherwise positions run through, and the next token is the row's, across
            documents, as in the causal guide. Either way a token of a document's context, or of
            the prefix before one, is never a target.
        width: Columns T; the plan's block size if None.
        word_starts: Of each shard, whether a word begins at a token, ``[tokens] bool``.

    Returns:
        The rows.

    Raises:
        ValueError: A row is longer than ``width``.
    """
    numbers = np.asarray(numbers, np.int64)
    spans = _block_spans(plan, numbers)
    columns = plan.block_size if width is None else width
    longest = int((spans.column + spans.length).max(initial=0))
    if longest > columns:
        raise ValueError(f"width is {width}, but the longest of these rows has {longest} tokens")
    return _read(
        store,
        plan.frame,
        spans,
        numbers,
        columns=columns,
        pad_id=pad_id,
        isolate=isolate,
        word_starts=word_starts,
    )


def _block_spans(plan: BlockPlan, numbers: Ints) -> _Spans:
    counts = plan.block_ptr[numbers + 1] - plan.block_ptr[numbers]
    within_row = count_up(counts)
    segments = np.repeat(plan.block_ptr[numbers], counts) + within_row
    length = plan.length[segments]
    ends = np.cumsum(length)
    row_first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)[: len(counts)]
    before = np.concatenate([[0], ends])[row_first]  # tokens in earlier rows
    return _Spans(
        document=plan.document[segments],
        start=plan.start[segments],
        length=length,
        row=np.repeat(np.arange(len(numbers)), counts),
        within_row=within_row,
        column=ends - length - np.repeat(before, counts),
    )


def read_windows(store: TokenStore, plan: WindowPlan, numbers: Ints, *, pad_id: int) -> Blocks:
    """Read evaluation windows; each has one document.

    Args:
        store: The store that the plan was made for.
        plan: The plan.
        numbers: Window numbers, ``[B] int64``.
        pad_id: Id for positions without a token.

    Returns:
        The rows, as wide as the longest; ``next_tokens`` is -100 where a position only gives
        context.
    """
    numbers = np.asarray(numbers, np.int64)
    rows = np.arange(len(numbers))
    length = plan.length[numbers]
    nothing = np.zeros(len(numbers), np.int64)
    spans = _Spans(plan.document[numbers], plan.start[numbers], length, rows, nothing, nothing)
    columns = int(length.max(initial=0))
    blocks = _read(store, plan.frame, spans, numbers, columns=columns, pad_id=pad_id, isolate=True)
    blocks.next_tokens[np.arange(columns) < plan.scored_from[numbers][:, None]] = NO_TARGET
    return blocks


def _read(
    store: TokenStore,
    frame: Frame,
    spans: _Spans,
    numbers: Ints,
    *,
    columns: int,
    pad_id: int,
    isolate: bool,
    word_starts: Sequence[NDArray[np.bool_]] | None = None,
) -> Blocks:
    """Gather spans into rows."""
    shape = (len(numbers), columns)
    within = count_up(spans.length)
    flat = np.repeat(spans.row * columns + spans.column, spans.length) + within
    tokens = np.full(shape, pad_id, np.int64)
    next_tokens = np.full(shape, NO_TARGET, np.int64)
    document_ids = np.full(shape, -1, np.int64)
    special = np.ones(shape, np.bool_)

    places = _places(store, frame, spans, within)
    ids = _ids_at(store, frame, places, places.inner)
    last = places.inner + 1 >= places.count + len(frame.suffix)
    follows = _ids_at(store, frame, places, places.inner + 1)
    follows[last | places.in_context(places.inner + 1)] = NO_TARGET
    is_special = places.is_special
    tokens.reshape(-1)[flat] = ids
    special.reshape(-1)[flat] = is_special
    document_ids.reshape(-1)[flat] = np.repeat(spans.within_row, spans.length)
    if isolate:
        next_tokens.reshape(-1)[flat] = follows
        position_ids = np.zeros(shape, np.int64)
        position_ids.reshape(-1)[flat] = within
    else:
        inside = document_ids[:, 1:] >= 0
        if store.contexts is not None:
            learnt = np.zeros(shape, np.bool_)
            learnt.reshape(-1)[flat] = ~places.in_context(places.inner)
            inside &= learnt[:, 1:]
        next_tokens[:, :-1][inside] = tokens[:, 1:][inside]
        position_ids = np.broadcast_to(np.arange(columns), shape).copy()
    starts = None
    if word_starts is not None:
        starts = np.zeros(shape, np.bool_)
        starts.reshape(-1)[flat] = _shard_values(word_starts, places, places.inner) & ~is_special
    return Blocks(tokens, next_tokens, position_ids, document_ids, special, numbers, starts)


@dataclass(frozen=True)
class _Places:
    """Origins of framed tokens; all arrays are ``[positions]``.

    Args:
        inner: Place among the document's own tokens, int64; below 0 in the prefix, from ``count``
            on in the suffix.
        count: The document's own tokens, int64.
        offset: Of the document's first token in its shard, int64.
        shard: The document's shard, int64.
        context: Tokens of the document's context, int64; a single 0 where no document has any.
    """

    inner: Ints
    count: Ints
    offset: Ints
    shard: Ints
    context: Ints

    @property
    def is_special(self) -> NDArray[np.bool_]:
        """Whether a position belongs to the frame."""
        return (self.inner < 0) | (self.inner >= self.count)

    def in_context(self, inner: Ints) -> NDArray[np.bool_]:
        """Mark places of a context, and of the prefix before one, which no loss has as targets."""
        return (inner < self.context) & (self.context > 0)


def _places(store: TokenStore, frame: Frame, spans: _Spans, within: Ints) -> _Places:
    """Locate each position of the spans in the store."""
    document = store.documents[spans.document]
    count, start = np.asarray(document["tokens"], np.int64), spans.start
    offset = np.asarray(document["offset"], np.int64)
    if frame.each_piece:  # a piece is framed as if it were a document
        offset, count, start = offset + start, spans.length - len(frame), np.zeros_like(start)
    inner = np.repeat(start, spans.length) + within - len(frame.prefix)
    count, offset, shard = (
        np.repeat(part, spans.length) for part in (count, offset, store.shard_of(spans.document))
    )
    context = np.zeros(1, np.int64)
    if store.contexts is not None:
        tokens = np.asarray(store.contexts["tokens"][spans.document], np.int64)
        context = np.repeat(tokens, spans.length)
    return _Places(inner, count, offset, shard, context)


def _ids_at(store: TokenStore, frame: Frame, places: _Places, inner: Ints) -> Ints:
    """Return the ids at places of documents and of their frames."""
    ids = _shard_values(store.shard_tokens, places, inner).astype(np.int64)
    for place, token in enumerate(frame.prefix, start=-len(frame.prefix)):
        ids[inner == place] = token
    for place, token in enumerate(frame.suffix):
        ids[inner == places.count + place] = token
    return ids


def _shard_values(shards: Sequence[NDArray[Any]], places: _Places, inner: Ints) -> NDArray[Any]:
    """Return shards' values at places of documents; at places of frames, those of a neighbour."""
    index = places.offset + np.clip(inner, 0, places.count - 1)
    numbers = np.unique(places.shard)
    if len(numbers) == 1:
        return shards[int(numbers[0])][index]
    values: NDArray[Any] = np.empty(len(index), np.int64)
    for turn, number in enumerate(numbers.tolist()):
        here, shard = places.shard == number, shards[number]
        if turn == 0:
            values = np.empty(len(index), shard.dtype)
        values[here] = shard[index[here]]
    return values
