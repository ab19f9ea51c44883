"""`nextfill evaluate`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, MODEL, QUIET, Command, observer_of, with_model
from nextfill.config import EvaluateConfig
from nextfill.flags import CommandLine


def _run(line: CommandLine) -> Any:
    from nextfill.api.evaluating import evaluate_from

    return evaluate_from(with_model(line), line.problems, observer_of(line))


def _show(result: Any) -> None:
    from nextfill.show import show_evaluation

    show_evaluation(result)


EVALUATE = Command(
    "Score text with a model: perplexity, bits per byte, and what they are over.",
    EvaluateConfig,
    (MODEL, QUIET, JSON),
    _run,
    _show,
)
