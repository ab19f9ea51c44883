"""The reader of a run directory: its facts for the page and the card, its result for the caller."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import TrainConfig
from nextfill.config.layers import build
from nextfill.config.recipe_file import read_run_settings
from nextfill.core.amounts import amount
from nextfill.core.checksums import STAGES, check_files
from nextfill.core.errors import RunError
from nextfill.core.model_folders import folders_within, refuse_checkpoint, run_of_name
from nextfill.core.paths import nearest_path, user_path
from nextfill.core.progress import HELD_OUT
from nextfill.core.url_redaction import without_secrets
from nextfill.evaluation.metrics import number
from nextfill.evaluation.token_view import ScoredText
from nextfill.runs.directory import RunDirectory
from nextfill.runs.evaluated_sets import (
    TEACHER,
    EvaluatedSet,
    Event,
    before_after_of,
    by_set_of,
    evaluated_sets,
    evaluation_of,
    of_kind,
)
from nextfill.runs.new_words import NewWords, new_words_of
from nextfill.runs.quantization_cost import QUANTIZATION, QuantizedBase, quantized_base_of
from nextfill.runs.results import TeacherEvaluation, TrainResult
from nextfill.runs.router_steps import router_steps
from nextfill.runs.stages import Stage, stage_of_event

Columns = Mapping[str, NDArray[np.float64]]
"""One array per key, an entry per step; NaN where a file has no number."""

STEP_KEYS = ("step", "nats", "targets", "loss", "learning_rate", "grad_norm")
TIMING_KEYS = ("step", "tokens", "elapsed_s")


@dataclass(frozen=True)
class RunFacts:
    """The contents of a run directory, in plain numbers, for its page and its card.

    Args:
        path: The run directory, as the user wrote it.
        measured: Findings at load: isolation, device, versions.
        steps: Every optimizer step, once also where a resume took it again.
        timing: Tokens and seconds of each step, as it was taken last.
        total_tokens: Tokens of all steps, with those that were taken again after a resume.
        total_s: Seconds of all of them.
        mfu: Share of a GPU's peak that they used; None where it is unknown, as on a CPU.
        num_steps: Steps of the whole run; None where the files do not tell yet.
        end: The end of training: ``step``, ``kept`` and ``reason``; empty before.
        finished: Whether the model is saved, after the last stage of the run.
        stages: The further stages of a run that was given other steps later.
        sets: The evaluations, those of the held-out part first.
        texts: Held-out documents token by token, before beside after.
        missing: A sentence on each file that could not be read.
        teacher: The figures of a distillation's teacher on the held-out part; empty without one.
        new_words: The words that got tokens of their own; None where there are none.
        quantized_base: The weights that were held in 4 bits; None where all were whole.
        router: The figures of a mixture's router (`router_steps`).
    """

    path: Path
    config: Mapping[str, Any]
    measured: Mapping[str, Any]
    ledger: Mapping[str, Any]
    steps: Columns
    timing: Columns
    total_tokens: float
    total_s: float
    mfu: float | None
    num_steps: int | None
    end: Event
    finished: bool
    sets: Sequence[EvaluatedSet]
    samples: Sequence[Event]
    texts: Sequence[ScoredText]
    missing: Sequence[str]
    num_events: int = 0
    stages: Sequence[Stage] = ()
    teacher: Event = field(default_factory=dict)
    new_words: NewWords | None = None
    quantized_base: QuantizedBase | None = None
    router: Columns = field(default_factory=dict)

    @property
    def last_step(self) -> int:
        """Number of steps taken so far."""
        return int(self.steps["step"][-1]) if len(self.steps["step"]) else 0

    @property
    def steps_text(self) -> str:
        """The steps taken so far in words, with the further stages among them."""
        stages = ", ".join(f"stage {one.stage} from step {one.step:,} on" for one in self.stages)
        return f"{amount(self.last_step, 'step')}{f' ({stages})' if stages else ''}"


def read_run(run: str | Path) -> RunFacts:
    """Read a run that is finished, stopped or under way; refuse damaged files of its own."""
    directory = RunDirectory(user_path(str(run), "RUN"))
    refuse_checkpoint(directory.path)
    if not directory.config.is_file():
        expected = f"{directory.path} holds no run (expected {directory.config})."
        above = directory.path.absolute().parent
        is_inside = (above / "config.toml").is_file()
        near = run_of_name(directory.path) or nearest_path(directory.path, folders_only=True)
        hint = f" Did you mean {above}?" if is_inside else near
        if within := folders_within(directory.path):
            hint = f" {within}"
        raise RunError(expected + hint)
    check_files(directory.path, lambda name: "/" not in name or name.startswith(f"{STAGES}/"))
    try:
        config = tomllib.loads(without_secrets(directory.config.read_text("utf-8")))
        events, timing = directory.read_events(), directory.read_timing()
    except ValueError as error:
        raise RunError(f"{directory.config} is damaged: {error}.") from error
    except OSError as error:
        raise RunError(f"{directory.path} cannot be read: {error}.") from error
    missing: list[str] = []
    measured, ledger = (_object(path, missing) for path in (directory.measured, directory.ledger))
    steps = of_kind(events, "step")
    times = _columns(timing, TIMING_KEYS)
    end = next(iter(of_kind(events, "end")[-1:]), {})
    return RunFacts(
        path=directory.path,
        config=config,
        measured=measured,
        ledger=ledger,
        steps=_columns(steps, STEP_KEYS),
        timing=_columns({entry.get("step"): entry for entry in timing}.values(), TIMING_KEYS),
        total_tokens=float(times["tokens"].sum()),
        total_s=float(times["elapsed_s"].sum()),
        mfu=mean_utilization(timing),
        num_steps=planned_steps(config, steps),
        end=end,
        # It is there whole or not at all; while there is no end, it is of an earlier stage.
        finished=bool(end) and directory.model.is_dir(),
        sets=evaluated_sets(directory, events, end.get("kept"), missing),
        samples=of_kind(events, "sample"),
        texts=_texts(directory.texts, missing),
        missing=missing,
        num_events=len(events),
        stages=_stages(events),
        teacher=next(iter(of_kind(events, TEACHER)), {}),
        new_words=_new_words(events),
        quantized_base=_quantized_base(events),
        router=router_steps(steps),
    )


def _new_words(events: Sequence[Event]) -> NewWords | None:
    """Return the new words of a run, None where it has none."""
    for event in of_kind(events, "new tokens")[-1:]:
        without = event["without"]
        return new_words_of(event, None if without is None else evaluation_of(without))
    return None


def _quantized_base(events: Sequence[Event]) -> QuantizedBase | None:
    """Return the base of a run that was held in 4 bits, None where it was not."""
    for event in of_kind(events, QUANTIZATION)[-1:]:
        without = event["without"]
        return quantized_base_of(event, None if without is None else evaluation_of(without))
    return None


def _stages(events: Sequence[Event]) -> list[Stage]:
    """Return the further stages of a run, once each where a resume recorded one again."""
    found = {event["step"]: event for event in of_kind(events, "stage")}
    return [stage_of_event(found[step]) for step in sorted(found)]


def planned_steps(config: Mapping[str, Any], steps: Sequence[Event]) -> int | None:
    """Return the number of steps of a whole run, None where its files do not tell yet.

    Example:
        >>> planned_steps({"training": {"epochs": 1.5}}, [{"step": 2, "epoch": 0.25}])
        12
    """
    training = config.get("training")
    training = training if isinstance(training, Mapping) else {}
    if isinstance(training.get("max_steps"), int):
        return int(training["max_steps"])
    if not steps:
        return None
    epoch, step = number(steps[-1].get("epoch")), number(steps[-1].get("step"))
    total = number(training.get("epochs")) * round(step / epoch) if epoch > 0 else math.nan
    return math.ceil(total) if math.isfinite(total) else None


def _columns(records: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> Columns:
    records = list(records)
    return {
        key: np.array([number(record.get(key)) for record in records], np.float64) for key in keys
    }


def _object(path: Path, missing: list[str]) -> Mapping[str, Any]:
    if not path.is_file():
        missing.append(f"There is no {path.name}.")
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        missing.append(f"{path.name} cannot be read: {error}.")
        return {}
    if not isinstance(value, dict):
        missing.append(f"{path.name} holds no object.")
        return {}
    return value


def _texts(path: Path, missing: list[str]) -> list[ScoredText]:
    if not path.is_file():  # of a run that has not ended
        return []
    try:
        return [ScoredText.from_json(one) for one in json.loads(path.read_bytes())["texts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        missing.append(f"{path.name} cannot be read: {error!r}.")
        return []


def mean_utilization(timing: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the share of a GPU's peak over the time of some steps, None without any.

    Example:
        >>> mean_utilization([{"elapsed_s": 1.0, "mfu": 0.25}, {"elapsed_s": 3.0, "mfu": 0.5}])
        0.4375
    """
    known = [(one["elapsed_s"], one["mfu"]) for one in timing if one.get("mfu") is not None]
    seconds = math.fsum(s for s, _ in known)
    return math.fsum(s * mfu for s, mfu in known) / seconds if seconds else None


def train_result(run: str | Path) -> TrainResult:
    """Read the result of a finished run, equal to the one that `train` returned."""
    directory = RunDirectory(Path(run))
    config = build(TrainConfig, [read_run_settings(directory.path)])
    events, timing = directory.read_events(), directory.read_timing()
    end = of_kind(events, "end")[-1]
    tokens, seconds = (sum(entry[key] for entry in timing) for key in ("tokens", "elapsed_s"))
    by_set = by_set_of(events, "evaluation")
    ends = {
        name: before_after_of(directory, name, by_set[name][0], by_set[name][end["kept"]])
        for name in (HELD_OUT, *config.replay.sets, *config.evaluation.sets)
    }
    held_out = ends.pop(HELD_OUT)
    return TrainResult(
        run=str(directory.path),
        model=str(directory.model),
        objective=config.objective or "causal",
        steps=end["step"],
        kept_step=end["kept"],
        end=end["reason"],
        tokens_per_second=tokens / seconds if seconds else math.nan,
        before=held_out.before,
        after=held_out.after,
        sets=ends,
        ledger=json.loads(directory.ledger.read_text("utf-8")),
        samples=[
            {key: value for key, value in sample.items() if key != "event"}
            for sample in of_kind(events, "sample")
        ],
        report=str(directory.report) if directory.report.is_file() else None,
        stages=_stages(events),
        change=held_out.change,
        teacher=_teacher(config, events),
        new_words=_new_words(events),
        quantized_base=_quantized_base(events),
    )


def _teacher(config: TrainConfig, events: Sequence[Event]) -> TeacherEvaluation | None:
    name, found = config.distillation.teacher, of_kind(events, TEACHER)
    if name is None or not found:
        return None
    return TeacherEvaluation(name, evaluation_of(found[0]))
