"""The result of `train`: a typed object that shows itself as text, HTML and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from nextfill.config.foreign.result_names import Result
from nextfill.core.amounts import amount
from nextfill.core.errors import RunError
from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.change_line import change_line
from nextfill.evaluation.figures import Evaluation
from nextfill.evaluation.plain_words import Hits, Verdict, change_words, plain_text, verdict_of
from nextfill.rendering.loss_curves import curves_of
from nextfill.rendering.result_cards import (
    card,
    card_lines,
    card_sample,
    card_table,
    figure_text,
    text_table,
)
from nextfill.runs.directory import RunDirectory
from nextfill.runs.new_words import NewWords
from nextfill.runs.quantization_cost import QuantizedBase
from nextfill.runs.result_rows import BEFORE_AND_AFTER, before_and_after
from nextfill.runs.stages import Stage

UNKNOWN = Interval(math.nan)
"""A change of which nothing is known."""


@dataclass(frozen=True)
class BeforeAfter:
    """A model's evaluations on one set before and after training.

    Args:
        before: Before the first step.
        after: With the weights that were kept.
        change: Nats per token after less before, with a 95% interval over documents, each compared
            with itself.
    """

    before: Evaluation
    after: Evaluation
    change: Interval = UNKNOWN

    @property
    def verdict(self) -> Verdict:
        """Whether the model got ``better`` or ``worse``; ``unclear`` where chance explains it."""
        return verdict_of(self.change)

    @property
    def in_words(self) -> str:
        """A sentence on how much better the model predicts the text."""
        before, after = (Hits(one.correct, one.targets) for one in (self.before, self.after))
        return plain_text(change_words(before, after, self.verdict, self.after.objective))

    @property
    def lines(self) -> list[str]:
        """That sentence, and the change that decides it with its interval, if it has one."""
        line = change_line(self.change, self.after.documents)
        return [self.in_words, *([line] if line else [])]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "change": self.change._asdict(),
            "verdict": self.verdict,
            "in_words": self.in_words,
        }


@dataclass(frozen=True)
class TeacherEvaluation:
    """The figures of a run's teacher on the held-out documents.

    Args:
        name: The teacher, as the user named it.
        evaluation: Its figures, of the same tokens as those of its student.
    """

    name: str
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"name": self.name, **self.evaluation.to_json()}


@dataclass(frozen=True)
class TrainResult(Result):
    """The outcome of a training run.

    Args:
        run: The run directory.
        model: The model's directory, a plain Hugging Face one.
        objective: ``causal`` or ``masked``.
        steps: Optimizer steps taken.
        tokens_per_second: Training tokens per second of training steps.
        kept_step: The step whose weights were kept: the last, or that with the best validation.
        end: Why training ended.
        before: The model's evaluation before the first step, on the held-out documents.
        after: The same with the weights that were kept.
        sets: Before and after on further evaluation sets, by name.
        ledger: Where every record and token went.
        samples: The texts continued, or filled in, at each evaluation: ``step``, ``prompt``,
            ``text``.
        report: The page with all of this; None if it could not be written.
        shared: Where the model is on the Hub, if it was pushed there.
        stages: The further stages of a run that was given other steps later.
        change: Nats per token after less before, with a 95% interval over documents, each compared
            with itself.
        teacher: The teacher of a distillation on the held-out documents; None without one.
        new_words: The words that got tokens of their own, and the model without them; None where
            there are none.
        quantized_base: The weights below the adapter that were held in 4 bits, and what that cost;
            None where all were whole.
    """

    _HELD_OUT: ClassVar[str] = "after."

    run: str
    model: str
    objective: str
    steps: int
    kept_step: int
    end: str
    tokens_per_second: float
    before: Evaluation
    after: Evaluation
    sets: Mapping[str, BeforeAfter]
    ledger: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    report: str | None = None
    shared: str | None = None
    stages: Sequence[Stage] = ()
    change: Interval = UNKNOWN
    teacher: TeacherEvaluation | None = None
    new_words: NewWords | None = None
    quantized_base: QuantizedBase | None = None

    @property
    def held_out(self) -> BeforeAfter:
        """Before and after on the held-out documents."""
        return BeforeAfter(self.before, self.after, self.change)

    @property
    def verdict(self) -> Verdict:
        """Whether the model got ``better`` or ``worse``; ``unclear`` where chance explains it."""
        return self.held_out.verdict

    @property
    def in_words(self) -> str:
        """A sentence on how much better the model predicts the held-out documents."""
        return self.held_out.in_words

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        sets = {name: one.to_json() for name, one in self.sets.items()}
        plain = asdict(self) | self.held_out.to_json() | {"sets": sets}
        if self.new_words is not None and self.new_words.without is not None:
            plain["new_words"]["without"] = self.new_words.without.to_json()
        del plain["teacher"], plain["quantized_base"]
        if self.quantized_base is not None:
            plain["quantized_base"] = self.quantized_base.to_json()
        return plain if self.teacher is None else {**plain, "teacher": self.teacher.to_json()}

    def __repr__(self) -> str:
        lines = []
        for title, one in _sets(self):
            rows = before_and_after(one.before, one.after)
            lines += [*one.lines, text_table(title, BEFORE_AND_AFTER, rows)]
        return "\n".join([*lines, *_facts(self)])

    def _repr_html_(self) -> str:
        parts = []
        for title, one in _sets(self):
            rows = before_and_after(one.before, one.after)
            parts += [card_lines([*one.lines, title]), card_table(BEFORE_AND_AFTER, rows)]
        with suppress(RunError):  # a result is shown whatever has become of the run's files
            curves = curves_of(RunDirectory(Path(self.run)).read_events())
            parts += [curves.loss_chart(), curves.perplexity_chart()]
        if self.samples:
            prompt, text = (str(self.samples[-1][key]) for key in ("prompt", "text"))
            parts.append(card_sample(prompt, text))
        return card(f"Run {self.run}", *parts, card_lines(_facts(self)))


def _sets(result: TrainResult) -> list[tuple[str, BeforeAfter]]:
    """Return before and after of each set of documents, under its title."""
    sets = [(f"Evaluation set {name}", one) for name, one in result.sets.items()]
    return [("Held-out documents", result.held_out), *sets]


def _facts(result: TrainResult) -> list[str]:
    after = result.after
    token = "masked token" if after.objective == "masked" else "token"
    return [
        f"over {amount(after.targets, token)} of {amount(after.documents, 'document')}; "
        f"95% interval after: {figure_text(after.interval[0])} to {figure_text(after.interval[1])}",
        *teacher_lines(result),
        steps_text(result),
        *[stage.sentence() for stage in result.stages],
        *new_word_lines(result),
        *quantized_base_lines(result),
        f"run:    {result.run}",
        f"model:  {result.model}",
        *([f"report: {result.report}"] if result.report else []),
        *([f"shared: {result.shared}"] if result.shared else []),
    ]


def teacher_lines(result: TrainResult) -> list[str]:
    """Return a line on the teacher and its perplexity, in a list, or none."""
    if result.teacher is None:
        return []
    perplexity = figure_text(result.teacher.evaluation.perplexity)
    return [f"distilled from {result.teacher.name}, perplexity {perplexity} on the same documents"]


def new_word_lines(result: TrainResult) -> list[str]:
    """Return sentences on the words that got tokens of their own; none without any."""
    return [] if result.new_words is None else result.new_words.lines(result.after)


def quantized_base_lines(result: TrainResult) -> list[str]:
    """Return sentences on the weights that were held in 4 bits; none where all were whole."""
    return [] if result.quantized_base is None else result.quantized_base.lines(result.before)


def steps_text(result: TrainResult) -> str:
    """Return a sentence on the steps: their number, the step kept, and their speed."""
    kept = "" if result.kept_step == result.steps else f"; the best, {result.kept_step:,}, is kept"
    stopped = " (stopped early)" if result.end == "early stopping" else ""
    rate = result.tokens_per_second
    speed = f"at {rate:,.0f} tokens per second" if math.isfinite(rate) else "timing.jsonl is lost"
    steps = f"{result.steps:,} step{'' if result.steps == 1 else 's'}"
    return f"{steps}{stopped}{kept}, {speed}"
