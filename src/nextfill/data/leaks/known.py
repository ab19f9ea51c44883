"""Leaks that were found once are remembered beside the training part's store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from nextfill.atomic_write import write_file
from nextfill.data.leaks.found import Leak, Leaks
from nextfill.data.leaks.search import find_leaks
from nextfill.data.parts import Part

FORMAT = 2
"""Of what is remembered: raise it when the same parts give other leaks than before."""

_LEAK = TypeAdapter(list[Leak])
_NUMBERS = TypeAdapter(list[int])
_COUNTS = TypeAdapter(dict[str, int])


def known_leaks(
    train: Part,
    held_out: Part,
    tokenizer: Any,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Leaks:
    """Return what `find_leaks` finds, remembered beside the training part's store.

    Args:
        train: What is trained on.
        held_out: What is scored, tokenized by the same tokenizer.
        tokenizer: That tokenizer, as `find_leaks` takes it.
        on_progress: Told of training tokens gone through, where they have to be.
    """
    key = hashlib.sha256(str(FORMAT).encode())
    for part in (train, held_out):
        key.update(part.store.meta["content_sha256"].encode())
        for column in (part.documents, part.store.documents["record"][part.documents]):
            key.update(column.astype("<i8").tobytes())
    file = train.store.path / f"leaks-{key.hexdigest()[:32]}.json"
    if (known := _read(file)) is not None:
        return known
    found = find_leaks(train, held_out, tokenizer, on_progress)
    kept = {**asdict(found), "documents": found.documents.tolist()}
    with suppress(OSError), write_file(file, durable=False) as beside:
        beside.write_text(json.dumps(kept), "utf-8")  # what cannot be written costs time alone
    return found


def _read(file: Path) -> Leaks | None:
    """Return what is remembered, or None where that is nothing, or damaged."""
    try:
        kept = json.loads(file.read_bytes())
        pairs = tuple(_LEAK.validate_python(kept.pop("pairs")))
        documents = np.array(_NUMBERS.validate_python(kept.pop("documents")), np.int64)
        counts = _COUNTS.validate_python(kept)
        return Leaks(documents=documents, pairs=pairs, **counts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
