"""From settings to tokens: open the sources, fill the stores, divide, frame and account.

The only place where sources, stores and the split meet, so that ``prepare``, ``train`` and
``evaluate`` cannot differ in what they call the held-out part.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from nextfill.config import DataConfig, EvaluationSet
from nextfill.core.errors import ConfigError
from nextfill.data.division import (
    join_of,
    no_text,
    open_parts,
    open_whole,
    read_documents,
    split_off,
)
from nextfill.data.document import ReadCounts, Source
from nextfill.data.parts import Part, Prepared, join_prepared, without_texts_of
from nextfill.data.records.files import remembering
from nextfill.data.store.store_cache import open_or_write
from nextfill.data.store.token_store import TokenStore, join_stores

logger = logging.getLogger("nextfill")

DEFAULT_VALIDATION_SIZE = 0.05
_SET_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
_TAKEN_NAMES = ("held-out", "validation")

FIELDS_VERSION = 1
"""Part of every store's key: raise it when the same records give other documents than before."""

Progress = Callable[[str, int, int], None]
"""Told of a stage's label, of what is done, and of what there is to do (0 where unknown)."""


def prepare_data(
    data: DataConfig,
    tokenizer: Any,
    *,
    seed: int,
    cache: Path,
    on_progress: Progress = lambda label, done, total: None,
) -> Prepared:
    """Bring the data of a job into token stores and divide it."""
    each = [
        _prepare_one(one, tokenizer, seed=seed, cache=cache, on_progress=on_progress)
        for one in data.each
    ]
    return each[0] if len(each) == 1 else join_prepared(each, [_short(one) for one in data.each])


def _short(data: DataConfig) -> str:
    """Return what a ledger calls a source: of a path its last part, whoever's machine it is on."""
    return Path(data.source).name if Path(data.source).is_absolute() else data.source


def _prepare_one(
    data: DataConfig, tokenizer: Any, *, seed: int, cache: Path, on_progress: Progress
) -> Prepared:
    """Bring one source into stores and divide it."""

    def fill(source: Source, label: str) -> tuple[TokenStore, bool]:
        return _fill(source, data, tokenizer, cache=cache, label=label, on_progress=on_progress)

    with remembering(cache, verify=data.verify):
        source, other_source = open_parts(data)
    store, reused = fill(source, "reading")
    everything = np.arange(store.num_documents, dtype=np.int64)
    if other_source is None:
        apart = split_off(store.documents, data, seed, advice=source.advice)
        train, rest = Part(store, everything[~apart]), Part(store, everything[apart])
        return _counted(Prepared(train, rest, reused), source)
    other, other_reused = fill(other_source, "reading held-out")
    rest = Part(other, np.arange(other.num_documents, dtype=np.int64))
    whole = Prepared(Part(store, everything), rest, reused and other_reused)
    sources = [source, other_source] if data.eval_source else [source]
    return without_texts_of(_counted(whole, *sources), rest)


def _counted(prepared: Prepared, *sources: Source) -> Prepared:
    """Put in how many files were read, and how many were not."""
    left_out = sum((Counter(one.left_out) for one in sources), Counter[str]())
    return replace(
        prepared, num_files=sum(one.num_files for one in sources), left_out=dict(left_out)
    )


def add_sets(
    prepared: Prepared,
    sets: Mapping[str, EvaluationSet],
    tokenizer: Any,
    *,
    cache: Path,
    on_progress: Progress = lambda label, done, total: None,
) -> Prepared:
    """Bring further evaluation sets into stores, and train on none of their texts."""
    for name, one in sets.items():
        if not _SET_NAME.fullmatch(name) or name in _TAKEN_NAMES:
            raise ConfigError(
                [
                    f"[evaluation.{name}]: expected a name of letters, digits, - and _, "
                    f"other than {' and '.join(_TAKEN_NAMES)}."
                ]
            )
        data = DataConfig(**asdict(one))
        part = prepare_part(data, tokenizer, cache=cache, on_progress=on_progress)
        prepared = without_texts_of(prepared, part)
        prepared = replace(prepared, sets={**prepared.sets, name: part})
    return prepared


def prepare_part(
    data: DataConfig,
    tokenizer: Any,
    *,
    cache: Path,
    on_progress: Progress = lambda label, done, total: None,
) -> Part:
    """Bring data into a token store, whole, for evaluating on all of them.

    A source that holds out a part of its own gives that part, unless a split is named.
    """
    stores = []
    for one in data.each:
        with remembering(cache, verify=one.verify):
            source = open_whole(one)
        options: dict[str, Any] = {"cache": cache, "label": "reading", "on_progress": on_progress}
        stores.append(_fill(source, one, tokenizer, **options)[0])
    store = join_stores(stores)
    return Part(store, np.arange(store.num_documents, dtype=np.int64))


def _fill(
    source: Source,
    data: DataConfig,
    tokenizer: Any,
    *,
    cache: Path,
    label: str,
    on_progress: Progress,
) -> tuple[TokenStore, bool]:
    parts: dict[str, Any] = {
        "source": source.fingerprint,
        "text_field": data.text_field,
        "join": join_of(source, data),
        "explode": data.explode,
        "fields_version": FIELDS_VERSION,
    }
    if data.keep_fields:
        parts["keep_fields"] = data.keep_fields
    store, reused = open_or_write(
        cache,
        parts,
        lambda: read_documents(source, data),
        tokenizer,
        name=source.name,
        verify=data.verify,
        on_progress=lambda _, size: on_progress(f"{label} {source.name}", size, 0),
        on_wait=lambda: on_progress(f"waiting for the process that reads {source.name}", 0, 0),
    )
    counts = ReadCounts(**store.meta["counts"])
    for shape, number in counts.tables.items():
        files = "a table" if number == 1 else f"{number:,} tables"
        logger.warning("%s: holds %s by columns, read as rows: %s", source.name, files, shape)
    if store.num_tokens == 0:
        raise no_text(source, data, counts)
    return store, reused
