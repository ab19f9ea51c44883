"""From settings to tokens: open the sources, fill the stores, divide and account.

The only place where sources, stores and the split meet, so that ``prepare``, ``train`` and
``evaluate`` agree on the held-out part.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from nextfill.config import DataConfig, EvaluationSet, Objective, ReplayConfig
from nextfill.config.command_line.python_messages import as_called
from nextfill.core.amounts import verb
from nextfill.core.errors import ConfigError
from nextfill.core.heap import give_back_free_memory
from nextfill.core.progress import Progress
from nextfill.data.cluster.encoded_source import Workers
from nextfill.data.copies import tell_copies
from nextfill.data.document import Source, add_counts
from nextfill.data.document_ends import (
    FEW,
    EndShares,
    ends,
    ends_apply,
    rows_of_few,
    whose_ends,
)
from nextfill.data.file_record import OnSource
from nextfill.data.infilling import Infilling
from nextfill.data.infilling_store import fill_infilled
from nextfill.data.parts import Part, PreparedData, drop_shared_texts, join_prepared
from nextfill.data.portions import SourcePortions
from nextfill.data.records.files import remembering
from nextfill.data.replay import join_replay, with_replay
from nextfill.data.source_parts import (
    open_parts,
    open_whole,
    read_each_source,
    refuse_contexts_of,
    share_fields,
)
from nextfill.data.source_store import (
    Filled,
    check_text,
    fill_store,
    store_key,
)
from nextfill.data.store.cache_place import Cache, place_of
from nextfill.data.store.store_cache import is_made, join_stores
from nextfill.data.store.store_integrity import IN_PIECES
from nextfill.data.store.token_store import TokenStore
from nextfill.data.train_test_split import split_off

logger = logging.getLogger("nextfill")


def prepare_data(
    data: DataConfig,
    tokenizer: Any,
    *,
    seed: int,
    cache: Cache,
    on_progress: Progress = lambda label, done, total: None,
    on_source: OnSource = lambda name, split, source: None,
    whole: bool = False,
    tells_held_out: bool = True,
    infilling: Infilling | None = None,
    objective: Objective | None = None,
    replay: ReplayConfig | None = None,
    workers: Workers | None = None,
) -> PreparedData:
    """Bring the data of a job into token stores and divide it.

    Of data that are read as they come it is the first portion, unless they are wanted ``whole``.
    An ``infilling`` cuts some documents of the training part. ``tells_held_out`` is off where it
    is not the held-out part that matters. Data with contexts are refused for the ``objective``
    that has no use for them before they are read. The general text of a ``replay`` is prepared as
    a last source, of which no document is cut. Given ``workers`` read and encode in this process's
    place.
    """
    own, data = data, with_replay(data, replay)
    general = None if data is own else data.each[-1]
    first = not whole and any(one.streaming for one in data.each)
    if first and len(data.each) > 1:
        named = len(data.each)
        raise ConfigError([f"--streaming reads one source, and here are {named}: name one."])
    each = read_each_source(
        data,
        lambda one, lacks: _prepare_one(
            *(one, tokenizer, lacks),
            seed=seed,
            cache=cache,
            on_progress=on_progress,
            on_source=on_source,
            first_portion=first,
            tells_held_out=tells_held_out,
            infilling=None if one is general else infilling,
            objective=objective,
            workers=workers,
        ),
    )
    if len(each) == 1:
        return each[0]
    join = join_prepared if general is None else join_replay
    return join(each, [_source_name(one) for one in data.each])


def _source_name(data: DataConfig) -> str:
    """Name a source in the ledger: an absolute path by its last part, else as the user wrote it."""
    return Path(data.source).name if Path(data.source).is_absolute() else data.source


def _prepare_one(
    data: DataConfig,
    tokenizer: Any,
    lacks: Sequence[str],
    *,
    seed: int,
    cache: Cache,
    on_progress: Progress,
    on_source: OnSource,
    first_portion: bool,
    tells_held_out: bool,
    infilling: Infilling | None,
    objective: Objective | None,
    workers: Workers | None,
) -> PreparedData:
    """Bring one source, or its first portion, into stores and divide it."""

    def fill(source: Source, label: str, shares: EndShares | None = None) -> Filled:
        return fill_store(
            *(source, data, tokenizer),
            cache=cache,
            label=label,
            on_progress=on_progress,
            shares=shares,
            workers=workers,
        )

    with remembering(place_of(cache).folder, verify=data.verify):
        source, other_source = open_parts(data, unread=first_portion)
    for one in filter(None, (source, other_source)):
        refuse_contexts_of(objective, one, data)
    on_source(data.source, data.split, source)
    if other_source is not None:
        other = data.eval_source or data.source
        on_source(other, data.eval_split or other_source.test_split, other_source)
    source = replace(source, lacks=lacks)
    other_source = other_source and replace(other_source, lacks=lacks)
    sources = share_fields(source, other_source, data.keep_fields)
    source, other_source = sources
    divide = partial(_divide, data, fill, seed=seed, tells_held_out=tells_held_out)
    if not first_portion:
        if other_source is None:
            filled = _fill_to_divide(source, data, tokenizer, fill, cache)
        else:
            filled = fill(source, "reading")
        divided = divide(filled, sources)
        if infilling is not None:
            of_text = divided.train.store, source, data, tokenizer, infilling
            cut, reused = fill_infilled(*of_text, cache=cache, on_progress=on_progress)
            divided = replace(divided, infilled=cut, reused=divided.reused and reused)
        if tells_held_out:
            with remembering(place_of(cache).folder, verify=data.verify):
                tell_copies(divided, source.name, tokenizer)
        return divided
    portions = SourcePortions(source, data, tokenizer, cache=cache)
    opened = portions.open_first(lambda _, size: on_progress(f"reading {source.name}", size, 0))
    check_text(source, data, opened[0], reused=opened[1])
    opened = replace(opened[0], names=source.whole_files), opened[1]
    return replace(divide(opened, sources), portions=portions)


def _fill_to_divide(
    source: Source, data: DataConfig, tokenizer: Any, fill: Callable[..., Filled], cache: Cache
) -> Filled:
    """Fill the store of a source, of documents in pieces where their ends are to be held out."""
    shares = EndShares.of(data)
    if is_made(cache, store_key(source, data, shares), tokenizer):
        return fill(source, "reading", shares)
    rows = None
    if not is_made(cache, store_key(source, data, None), tokenizer):
        rows = rows_of_few(source, data)  # so that few are not made into tokens twice
    if rows is None or not ends_apply(rows, data):
        filled = fill(source, "reading")
        has_contexts = filled[0].contexts is not None
        if rows is not None or has_contexts or not ends_apply(Part.whole(filled[0]).fields, data):
            return filled
    return fill(source, "reading", shares)


def _ends_held_out(filled: Filled, source: Source, *, tells: bool) -> PreparedData | None:
    """Divide a store of documents in pieces before their ends; None if none could be cut off."""
    store, reused = filled
    if IN_PIECES not in store.meta["key"]:
        return None
    apart = ends(store.documents)
    if not apart.any():
        return None
    whose, number = whose_ends(store.documents)
    logger.log(
        logging.WARNING if tells else logging.DEBUG,
        "%s: %s %s held out, %s of %s characters. "
        + as_called("Name other text to hold out with --eval-data."),
        source.name,
        whose,
        verb(number, "is", "are"),
        f"{int(store.documents['characters'][apart].sum()):,}",
        f"{int(store.documents['characters'].sum()):,}",
    )
    train, rest = Part.whole(store).divide(apart)
    before_ends = train.documents[ends(train.rows)]
    divided = PreparedData(train, rest, reused, before_ends=before_ends, num_ends=number)
    return drop_shared_texts(_with_files(divided, source), rest)


def _divide(
    data: DataConfig,
    fill: Callable[[Source, str], Filled],
    filled: Filled,
    sources: tuple[Source, Source | None],
    *,
    seed: int,
    tells_held_out: bool,
) -> PreparedData:
    """Divide a store that is filled, or fill the held-out part from another source."""
    (store, reused), (source, other_source) = filled, sources
    give_back_free_memory()  # of the encoder
    if other_source is None:
        if divided := _ends_held_out(filled, source, tells=tells_held_out):
            return divided
        apart = split_off(Part.whole(store).fields, data, seed, advice=source.advice)
        train, rest = Part.whole(store).divide(apart)
        give_back_free_memory()
        if tells_held_out and source.whole_files and len(rest.documents) < FEW:
            names = [store.record_name(one) for one in rest.rows["record"].tolist()]
            logger.warning("%s: held out: %s", source.name, ", ".join(names))
        return _with_files(PreparedData(train, rest, reused), source)
    other, other_reused = fill(other_source, "reading held-out")
    rest = Part.whole(other)
    whole = PreparedData(Part.whole(store), rest, reused and other_reused)
    read = [source, other_source] if data.eval_source else [source]
    return drop_shared_texts(_with_files(whole, *read), rest)


def _with_files(prepared: PreparedData, *sources: Source) -> PreparedData:
    """Add the numbers of files that were read, and of those that were not."""
    left_out = sum((Counter(one.left_out) for one in sources), Counter[str]())
    return replace(
        prepared,
        num_files=sum(one.num_files for one in sources),
        left_out=dict(left_out),
        encodings=add_counts(one.encodings for one in sources),
    )


def add_sets(
    prepared: PreparedData,
    sets: Mapping[str, EvaluationSet],
    tokenizer: Any,
    *,
    cache: Cache,
    on_progress: Progress = lambda label, done, total: None,
    on_source: OnSource = lambda name, split, source: None,
    objective: Objective | None = None,
) -> PreparedData:
    """Bring further evaluation sets into stores, and train on none of their texts."""
    for name, one in sets.items():
        data = DataConfig(**asdict(one))
        part = prepare_part(
            *(data, tokenizer),
            cache=cache,
            on_progress=on_progress,
            on_source=on_source,
            objective=objective,
        )
        prepared = drop_shared_texts(prepared, part)
        prepared = replace(prepared, sets={**prepared.sets, name: part})
    return prepared


def prepare_part(
    data: DataConfig,
    tokenizer: Any,
    *,
    cache: Cache,
    on_progress: Progress = lambda label, done, total: None,
    on_source: OnSource = lambda name, split, source: None,
    objective: Objective | None = None,
) -> Part:
    """Bring the sources that `open_whole` opens into one part, to evaluate on all of it."""

    def read(one: DataConfig, lacks: Sequence[str]) -> TokenStore:
        with remembering(place_of(cache).folder, verify=one.verify):
            source = replace(open_whole(one), lacks=lacks)
        refuse_contexts_of(objective, source, one)
        on_source(one.source, one.split, source)
        store, _ = fill_store(
            source, one, tokenizer, cache=cache, label="reading", on_progress=on_progress
        )
        return store

    return Part.whole(join_stores(read_each_source(data, read)))
