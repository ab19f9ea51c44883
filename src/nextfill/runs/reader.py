"""Read a run's files into plain numbers; how they are shown is not known here."""

from __future__ import annotations

import json
import math
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.checksums import check_files
from nextfill.core.errors import RunError
from nextfill.core.paths import user_path
from nextfill.core.url_redaction import without_secrets
from nextfill.evaluation.change import Measure, Scores, compare, number
from nextfill.evaluation.read_text import ReadText
from nextfill.evaluation.score_files import scores_file
from nextfill.runs.directory import RunDirectory

Columns = Mapping[str, NDArray[np.float64]]
"""One array per key, an entry per step; NaN where a file has no number."""

HELD_OUT = "held-out"
"""The set of the evaluations that name none."""

VALIDATION = "validation"
STEP_KEYS = ("step", "nats", "targets", "loss", "learning_rate", "grad_norm")
TIMING_KEYS = ("step", "tokens", "elapsed_s")
SCORE_KEYS = ("document", "nats", "targets", "bytes", "characters", "words")


@dataclass(frozen=True)
class EvaluatedSet:
    """The evaluations of one set of documents.

    Args:
        name: ``held-out``, ``validation`` or the name it was given.
        events: Its evaluations by step; ``nats`` and ``targets`` at least.
        before: The first of them.
        after: That of the weights that were kept, or else the last; None while there is only one.
        measures: The one against the other.
    """

    name: str
    events: Sequence[Mapping[str, Any]]
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None
    measures: Sequence[Measure]


@dataclass(frozen=True)
class RunFacts:
    """Everything the report shows.

    Args:
        path: The run directory, as it was named.
        config: Its settings, by section.
        measured: What was found at load.
        ledger: Where every record and token went.
        steps: Every optimizer step that holds.
        timing: How fast each was, when it was taken last.
        total_tokens: Tokens of all steps, with those that were taken again after a resume.
        total_s: Seconds of all of them.
        num_steps: Steps of the whole run; None where that cannot be known yet.
        end: How training ended: ``step``, ``kept`` and ``reason``; nothing before.
        finished: Whether the model is saved.
        sets: The evaluations, those of the held-out part first.
        samples: Texts continued: ``step``, ``prompt``, ``text``.
        texts: Held-out documents token by token, before beside after.
        missing: What could not be read, in words.
        num_events: Events in all.
    """

    path: Path
    config: Mapping[str, Any]
    measured: Mapping[str, Any]
    ledger: Mapping[str, Any]
    steps: Columns
    timing: Columns
    total_tokens: float
    total_s: float
    num_steps: int | None
    end: Mapping[str, Any]
    finished: bool
    sets: Sequence[EvaluatedSet]
    samples: Sequence[Mapping[str, Any]]
    texts: Sequence[ReadText]
    missing: Sequence[str]
    num_events: int = 0

    @property
    def last_step(self) -> int:
        """Steps taken so far."""
        return int(self.steps["step"][-1]) if len(self.steps["step"]) else 0


def gather(run: str | Path) -> RunFacts:
    """Read a run."""
    directory = RunDirectory(user_path(str(run), "RUN"))
    if not directory.config.is_file():
        expected = f"{directory.path} holds no run (expected {directory.config})."
        above = directory.path.absolute().parent
        hint = f" Did you mean {above}?" if (above / "config.toml").is_file() else ""
        raise RunError(expected + hint)
    check_files(directory.path, lambda name: "/" not in name)
    try:
        config = tomllib.loads(without_secrets(directory.config.read_text("utf-8")))
        events, timing = directory.read_events(), directory.read_timing()
    except ValueError as error:
        raise RunError(f"{directory.config} is damaged: {error}.") from error
    except OSError as error:
        raise RunError(f"{directory.path} cannot be read: {error}.") from error
    missing: list[str] = []
    measured, ledger = (_object(path, missing) for path in (directory.measured, directory.ledger))
    steps = _of_kind(events, "step")
    times = _columns(timing, TIMING_KEYS)
    end = next(iter(_of_kind(events, "end")[-1:]), {})
    return RunFacts(
        path=directory.path,
        config=config,
        measured=measured,
        ledger=ledger,
        steps=_columns(steps, STEP_KEYS),
        timing=_columns({entry.get("step"): entry for entry in timing}.values(), TIMING_KEYS),
        total_tokens=float(times["tokens"].sum()),
        total_s=float(times["elapsed_s"].sum()),
        num_steps=planned_steps(config, steps),
        end=end,
        finished=directory.model.is_dir(),  # which is there whole or not at all
        sets=_evaluated_sets(directory, events, end.get("kept"), missing),
        samples=_of_kind(events, "sample"),
        texts=_texts(directory.texts, missing),
        missing=missing,
        num_events=len(events),
    )


def planned_steps(config: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> int | None:
    """Return how many steps a run is to take, None where its files do not tell yet.

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


def _of_kind(events: Sequence[Mapping[str, Any]], *kinds: str) -> list[Mapping[str, Any]]:
    found = [event for event in events if event.get("event") in kinds]
    for event in found:
        if not isinstance(event.get("step"), int):
            raise RunError(f"events.jsonl is damaged: a {event['event']} event has no step.")
    return found


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


def _texts(path: Path, missing: list[str]) -> list[ReadText]:
    if not path.is_file():  # of a run that has not ended
        return []
    try:
        return [ReadText.from_json(one) for one in json.loads(path.read_bytes())["texts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        missing.append(f"{path.name} cannot be read: {error!r}.")
        return []


def _evaluated_sets(
    run: RunDirectory, events: Sequence[Mapping[str, Any]], kept: int | None, missing: list[str]
) -> list[EvaluatedSet]:
    by_name: dict[str, dict[int, Mapping[str, Any]]] = {}
    for event in _of_kind(events, "evaluation", "validation"):
        name = VALIDATION if event["event"] == "validation" else event.get("set") or HELD_OUT
        by_name.setdefault(str(name), {})[event["step"]] = event
    order = {HELD_OUT: 0, VALIDATION: 2}
    found = []
    for name in sorted(by_name, key=lambda name: order.get(name, 1)):
        of_set = [by_name[name][step] for step in sorted(by_name[name])]
        before, after = of_set[0], None
        scores = _scores(run, name, before, missing)
        if len(of_set) > 1:
            after = by_name[name].get(-1 if kept is None else kept, of_set[-1])
        after_scores = _scores(run, name, after, missing) if after else None
        measures = compare(before, after, scores, after_scores)
        found.append(EvaluatedSet(name, of_set, before, after, measures))
    return found


def _scores(
    run: RunDirectory, name: str, event: Mapping[str, Any], missing: list[str]
) -> Scores | None:
    """Return an evaluation's documents; without them, which is told, intervals are left out."""
    if name == VALIDATION:
        return None
    path = scores_file(run.evaluations, event["step"], None if name == HELD_OUT else name)
    check_files(run.path, lambda one: one == path.relative_to(run.path).as_posix())
    try:
        with np.load(path, allow_pickle=False) as file:
            scores = {key: np.asarray(file[key]) for key in SCORE_KEYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        missing.append(f"Intervals are left out: evaluations/{path.name} is unreadable ({error}).")
        return None
    agree = math.isclose(float(scores["nats"].sum()), number(event.get("nats")), rel_tol=1e-9)
    if not agree or len({len(column) for column in scores.values()}) > 1:
        missing.append(f"evaluations/{path.name} does not agree with events.jsonl and is left out.")
        return None
    return scores
