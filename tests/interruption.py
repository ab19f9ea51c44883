"""Runs that are interrupted at a chosen step, as by Ctrl-C, by an error, or by a kill."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from nextfill.training import loop


@contextmanager
def interrupted(
    before: int | None = None, *, after: int | None = None, by: BaseException | None = None
) -> Iterator[None]:
    """Interrupt the training inside before or after a step: by SIGINT, or by the given error."""
    real: Callable[..., Any] = loop.take_step

    def take_step(setup: Any, optimizer: Any, step: int, *batch: Any) -> Any:
        if step == before:
            _interrupt(by)
        taken = real(setup, optimizer, step, *batch)
        if after is not None and step + 1 == after:
            _interrupt(by)
        return taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", take_step)
        yield


def _interrupt(error: BaseException | None) -> None:
    if error is not None:
        raise error
    signal.raise_signal(signal.SIGINT)
