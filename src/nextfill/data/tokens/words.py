"""Where words begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.data.tokens.store import TokenStore


def open_word_starts(
    store: TokenStore,
    tokenizer: Any,
    on_progress: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> tuple[NDArray[np.bool_], ...]:
    """Return, of each shard, whether a word begins at a token."""
    return tuple(np.ones(len(one), np.bool_) for one in store.shard_tokens)
