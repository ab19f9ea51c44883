"""`nextfill evaluate`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, MODEL, QUIET, Command, observer_of, with_model
from nextfill.config import EvaluateConfig
from nextfill.flags import Argument, CommandLine

OTHERS = Argument("others", "further models, compared with the first on the same documents", "*")


def _run_evaluate(line: CommandLine) -> Any:
    from nextfill.api.evaluating import evaluate_from

    others = line.arguments.others
    return evaluate_from(with_model(line), line.problems, others, observer_of(line))


def _show_evaluate(result: Any) -> None:
    from nextfill.infer.evaluation.comparison import Comparison
    from nextfill.show import show_comparison, show_evaluation

    show = show_comparison if isinstance(result, Comparison) else show_evaluation
    show(result)


EVALUATE = Command(
    "Score text with a model: perplexity, bits per byte, and what they are over.",
    EvaluateConfig,
    (MODEL, OTHERS, QUIET, JSON),
    _run_evaluate,
    _show_evaluate,
)
