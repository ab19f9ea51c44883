"""What ranks do together, in the words of messages on the loss of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nextfill.core.shell_command import shell_command

ENDED = "an error"
"""The place of a rank that tells its error, as others gather."""


def _resumption(run: str | None) -> str:
    again = "with --resume"
    if run is not None:
        again = f"with: {shell_command('train', '--out', run, '--resume')}"
    return f"The run goes on from its newest checkpoint {again}"


@dataclass(frozen=True)
class Task:
    """What ranks do together, in the words of messages.

    Args:
        name: A noun.
        going_on: How to go on after the loss of a rank, by the directory of the run if known.
        alone: What to type where this rank is alone by intent, if that can be.
        only_gathers: Whether they have no other operation in common than gathering a place and an
            object, in which the error of one can be told.
    """

    name: str
    going_on: Callable[[str | None], str]
    alone: str = ""
    only_gathers: bool = False


TRAINING = Task("training", _resumption)
EVALUATION = Task(
    "evaluation",
    lambda run: "Begin it again: nothing of it was kept but the whole lines of --out.",
    " Where one of them alone is to evaluate, give it --nproc 1.",
    only_gathers=True,
)
