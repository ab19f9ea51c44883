"""Leaks of real text, tokenized as for training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nextfill.data.contamination.leaks import find_leaks
from nextfill.data.parts import Part
from nextfill.data.store.token_store import TokenStore


def test_of_real_text(make_store: Callable[..., TokenStore], texts: list[str], bpe: Any) -> None:
    long = sorted(texts, key=len)[-30:]
    changed = long[3].replace(" the ", " this ", 1)
    train, held_out = make_store(long, bpe), make_store([changed, long[4], "A new text."], bpe)
    parts = [Part(store, np.arange(store.num_documents)) for store in (train, held_out)]
    found = find_leaks(*parts, bpe)
    assert (found.exact, found.near) == (1, 1)
    assert {(leak.record, leak.train_record) for leak in found.pairs} == {(0, 3), (1, 4)}
