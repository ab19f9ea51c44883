"""What a command is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nextfill.config.flags import Argument, CommandLine

QUIET = Argument("--quiet", "no progress on stderr")
JSON = Argument("--json", "print one JSON object on stdout, and nothing else there")
MODEL = Argument("model", "run directory, folder, Hub id or builtin:NAME")


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Args:
        summary: What it does, in a line.
        root: Its config class, whose fields are its flags.
        arguments: Its arguments that are not settings.
        run: Does it; returns the result, of which ``--json`` prints the plain form.
        show: Prints the result for a person.
        quickstart: Returns what settings default to where no model of one's own is named.
    """

    summary: str
    root: type
    arguments: tuple[Argument, ...]
    run: Callable[[CommandLine], Any]
    show: Callable[[Any], None]
    quickstart: Callable[[], Mapping[tuple[str, ...], Any]] | None = None


def observer_of(line: CommandLine) -> Any:
    """Return who is told of progress: the terminal, or nobody with ``--quiet``."""
    from nextfill.core.progress import Silent
    from nextfill.terminal.progress_bar import Terminal

    return Silent() if line.arguments.quiet else Terminal()


def with_model(line: CommandLine) -> list[Any]:
    """Return the settings with the model that was named before the flags."""
    from nextfill.config.layers import Assignment

    return [Assignment(("model", "name"), line.arguments.model, "MODEL"), *line.given]
