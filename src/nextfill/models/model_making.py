"""Models are made one at a time in a process, whichever threads ask for them.

While transformers reads or makes a model it replaces PyTorch's functions that draw weights and its
default type, and PEFT draws weights by the same functions. Those are a process's own: a model made
in another thread meanwhile would have no weights, and those functions would never be put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_MAKING = RLock()


@contextmanager
def making_models() -> Iterator[None]:
    """Wait until no other thread makes a model, and keep others waiting; also a decorator."""
    with _MAKING:
        yield
