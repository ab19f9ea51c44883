"""The terminal's console, the same for all that is shown there."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from nextfill.core.streams import printable, to_stdout


class _Screen(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """Print, or say why standard output cannot be written."""
        with to_stdout():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Tell whoever called, instead of ending the process with status 1."""
        raise BrokenPipeError


def console() -> Console:
    """Return a console that shows text as it is: no colours of its own, no emoji codes."""
    return _Screen(highlight=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Print text from models or data, which steers nothing."""
    console().print(printable(text), markup=False)
