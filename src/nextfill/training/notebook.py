"""Progress in a notebook."""

from __future__ import annotations

from nextfill.training.progress import Observer, Silent, Terminal


def choose_observer(*, quiet: bool | None) -> Observer:
    """Return who shows progress: nobody in a script, unless ``quiet`` is false."""
    return Silent() if quiet is None or quiet else Terminal()
