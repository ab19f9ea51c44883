"""What the verbs return: small typed objects, each with its plain form for ``--json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextfill.config import TrainConfig
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_run_settings
from nextfill.core.errors import RunError
from nextfill.evaluation.figures import BESIDE, Evaluation
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


@dataclass(frozen=True)
class BeforeAfter:
    """A model's evaluations on one set before and after training."""

    before: Evaluation
    after: Evaluation


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to.

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
        report: The page that shows all this; None if it could not be written.
        shared: Where the model is on the Hub, if it was pushed there.
    """

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

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        sets = {
            name: {"before": one.before.to_json(), "after": one.after.to_json()}
            for name, one in self.sets.items()
        }
        ends = {"before": self.before.to_json(), "after": self.after.to_json()}
        return asdict(self) | ends | {"sets": sets}

    def __repr__(self) -> str:
        tables = [text_table(title, BEFORE_AND_AFTER, rows) for title, rows in _tables(self)]
        return "\n".join([*tables, *_facts(self)])

    def _repr_html_(self) -> str:
        parts = []
        for title, rows in _tables(self):
            parts += [card_lines([title]), card_table(BEFORE_AND_AFTER, rows)]
        with suppress(RunError):  # a result is shown whatever has become of the run's files
            curves = curves_of(RunDirectory(Path(self.run)).read_events())
            parts += [curves.loss_chart(), curves.perplexity_chart()]
        if self.samples:
            prompt, text = (str(self.samples[-1][key]) for key in ("prompt", "text"))
            parts.append(card_sample(prompt, text))
        return card(f"Run {self.run}", *parts, card_lines(_facts(self)))


@dataclass(frozen=True)
class PrepareResult:
    """What preparing made.

    Args:
        store: Folder of the training part's token store.
        held_out_store: Folder of the held-out part's, which may be the same.
        blocks: Training blocks.
        block_size: Tokens per block.
        ledger: Where every record and token went.
        reused: Whether the stores were already in the cache.
        stores: Folders of all token stores; of several sources each has one or two.
    """

    store: str
    held_out_store: str
    blocks: int
    block_size: int
    ledger: Mapping[str, Any]
    reused: bool
    stores: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)

    def __repr__(self) -> str:
        return text_table("Ledger", (), ledger_rows(self.ledger)) + f"\n{self._summary()}"

    def _repr_html_(self) -> str:
        rows = card_table((), ledger_rows(self.ledger))
        return card("Ledger", rows, card_lines([self._summary()]))

    def _summary(self) -> str:
        there = " (already there)" if self.reused else ""
        return f"{self.blocks:,} blocks of {self.block_size} tokens in {self.store}{there}"


BEFORE_AND_AFTER = ("", "before", "after", "after / before")
"""What the columns of `before_and_after` are."""


def before_and_after(before: Evaluation, after: Evaluation) -> list[tuple[str, str, str, str]]:
    """Return the figures that training was to lower, as text: name, before, after, ratio."""
    pairs = [
        ("perplexity", before.perplexity, after.perplexity),
        ("bits per byte", before.bits_per_byte, after.bits_per_byte),
        ("word perplexity", before.word_perplexity, after.word_perplexity),
    ]
    then = after.groups or {}
    pairs += [
        (f"perplexity of {name}", one.perplexity, then[name].perplexity)
        for name, one in (before.groups or {}).items()
        if name in then
    ]
    return [
        (name, figure_text(first), figure_text(last), f"{last / first if first else math.nan:.3f}")
        for name, first, last in pairs
        if not math.isnan(first)  # of a masked model
    ]


def ledger_rows(ledger: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a ledger counts, as text: name and count, reasons one by one."""
    rows = []
    for name, value in ledger.items():
        if isinstance(value, int):
            rows.append((name.replace("_", " "), f"{value:,}"))
        elif isinstance(value, str):
            rows.append((name.replace("_", " "), value))
        elif isinstance(value, Mapping):
            flat = {reason.replace("_", " "): number for reason, number in value.items()}
            rows += [(f"{name.replace('_', ' ')}: {row}", n) for row, n in ledger_rows(flat)]
    return rows


def _tables(result: TrainResult) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    pairs = {"Held-out documents": BeforeAfter(result.before, result.after)}
    pairs |= {f"Evaluation set {name}": one for name, one in result.sets.items()}
    return [(title, before_and_after(one.before, one.after)) for title, one in pairs.items()]


def _facts(result: TrainResult) -> list[str]:
    after = result.after
    masked = "masked " if after.objective == "masked" else ""
    return [
        f"over {after.targets:,} {masked}tokens of {after.documents:,} documents; "
        f"95% interval after: {figure_text(after.interval[0])} to {figure_text(after.interval[1])}",
        steps_text(result),
        f"run:    {result.run}",
        f"model:  {result.model}",
        *([f"report: {result.report}"] if result.report else []),
        *([f"shared: {result.shared}"] if result.shared else []),
    ]


def steps_text(result: TrainResult) -> str:
    """Say how many steps were taken, which were kept, and how fast they were."""
    kept = "" if result.kept_step == result.steps else f"; the best, {result.kept_step:,}, is kept"
    stopped = " (stopped early)" if result.end == "early stopping" else ""
    rate = result.tokens_per_second
    speed = f"at {rate:,.0f} tokens per second" if math.isfinite(rate) else "timing.jsonl is lost"
    steps = f"{result.steps:,} step{'' if result.steps == 1 else 's'}"
    return f"{steps}{stopped}{kept}, {speed}"


def train_result(run: str | Path) -> TrainResult:
    """Read the result of a finished run back from its files.

    Args:
        run: The run directory.

    Returns:
        The same that `train` returned.
    """
    directory = RunDirectory(Path(run))
    config = build(TrainConfig, [read_run_settings(directory.path)])
    held_out = dict(evaluations_of(directory))
    sets = {name: dict(evaluations_of(directory, name)) for name in config.evaluation.sets}
    end = directory.read_events("end")[-1]
    kept = end["kept"]
    timing = directory.read_timing()
    seconds = sum(item["elapsed_s"] for item in timing)
    samples = directory.read_events("sample")
    return TrainResult(
        run=str(directory.path),
        model=str(directory.model),
        objective=config.objective or "causal",
        steps=end["step"],
        kept_step=kept,
        end=end["reason"],
        tokens_per_second=sum(item["tokens"] for item in timing) / seconds if seconds else math.nan,
        before=held_out[0],
        after=held_out[kept],
        sets={name: BeforeAfter(by_step[0], by_step[kept]) for name, by_step in sets.items()},
        ledger=json.loads(directory.ledger.read_text("utf-8")),
        samples=[{k: v for k, v in sample.items() if k != "event"} for sample in samples],
        report=str(directory.report) if directory.report.is_file() else None,
    )


def evaluations_of(run: RunDirectory, name: str | None = None) -> list[tuple[int, Evaluation]]:
    """Return the evaluations of a run so far, by step.

    Args:
        run: The run.
        name: Of which evaluation set; None for the held-out part.

    Returns:
        Steps and evaluations, in order.
    """
    found = []
    for event in run.read_events("evaluation"):
        if event.get("set") == name:
            figures = {k: v for k, v in event.items() if k not in ("event", "step", "set")}
            found.append((event["step"], _evaluation(figures)))
    return found


def _evaluation(figures: Mapping[str, Any]) -> Evaluation:
    """Return an evaluation of its plain form, NaN in the place of null."""
    numbers = {k: _number(v) for k, v in figures.items() if k not in BESIDE}
    low, high = figures["interval"]
    groups = figures.get("groups")
    if groups is not None:
        groups = {name: _evaluation(one) for name, one in groups.items()}
    return Evaluation(**numbers | {"interval": (_number(low), _number(high)), "groups": groups})


def _number(value: Any) -> Any:
    """Return NaN where the file has null, for a figure that is not defined."""
    return math.nan if value is None else value
