"""`nextfill prepare`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, QUIET, Command, observer_of
from nextfill.config import PrepareConfig
from nextfill.flags import CommandLine


def _run_prepare(line: CommandLine) -> Any:
    from nextfill.api.preparing import prepare_from

    return prepare_from(line.given, line.problems, observer_of(line))


def _show_prepare(result: Any) -> None:
    from nextfill.show import show_preparation

    show_preparation(result)


PREPARE = Command(
    "Read, tokenize and divide data; print where every token went.",
    PrepareConfig,
    (QUIET, JSON),
    _run_prepare,
    _show_prepare,
)
