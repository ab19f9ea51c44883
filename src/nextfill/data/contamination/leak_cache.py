"""Leaks that were found once are remembered beside the training part's store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from nextfill.core.shared_cache import recall, remember
from nextfill.data.contamination.leaks import Leak, Leaks
from nextfill.data.contamination.search import find_leaks
from nextfill.data.parts import Part

FORMAT = 2
"""Of what is remembered: raise it when the same parts give other leaks than before."""

_LEAK = TypeAdapter(list[Leak])
_NUMBERS = TypeAdapter(list[int])
_COUNTS = TypeAdapter(dict[str, int])


def cached_leaks(
    train: Part,
    held_out: Part,
    tokenizer: Any,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Return what `find_leaks` finds, remembered beside the training part's store."""
    key = hashlib.sha256(str(FORMAT).encode())
    for part in (train, held_out):
        key.update(part.store.meta["content_sha256"].encode())
        for column in (part.documents, part.store.documents["record"][part.documents]):
            key.update(column.astype("<i8").tobytes())
    name = key.hexdigest()[:32]
    file = train.store.path / f"leaks-{name}.json"
    if (known := _leaks(recall(file, name))) is not None:
        return known
    found = find_leaks(train, held_out, tokenizer, on_progress)
    remember(file, name, {**asdict(found), "documents": found.documents.tolist()})
    return found


def _leaks(kept: Any) -> Leaks | None:
    """Return what is remembered, or None where that is nothing, or of another shape."""
    try:
        pairs = tuple(_LEAK.validate_python(kept.pop("pairs")))
        documents = np.array(_NUMBERS.validate_python(kept.pop("documents")), np.int64)
        counts = _COUNTS.validate_python(kept)
        return Leaks(documents=documents, pairs=pairs, **counts)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
