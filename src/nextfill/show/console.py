"""The terminal's console, the same for all that is shown there."""

from __future__ import annotations

from rich.console import Console

from nextfill.plain import printable


def console() -> Console:
    """Return a console that shows text as it is: no colours of its own, no emoji codes."""
    return Console(highlight=False, emoji=False, soft_wrap=True)


def say(text: str) -> None:
    """Print text from models or data, which steers nothing."""
    console().print(printable(text), markup=False)
