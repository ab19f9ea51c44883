"""The evaluations of a run by the set of documents, read from its events and files of scores."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nextfill.config import Objective
from nextfill.core.checksums import check_files
from nextfill.core.errors import RunError
from nextfill.core.progress import HELD_OUT
from nextfill.evaluation.figures import CONTEXT, Evaluation
from nextfill.evaluation.metrics import Measure, Scores, compare_evaluations, difference_of, number
from nextfill.evaluation.plain_words import (
    Count,
    change_words,
    hits_of,
    share_words,
    verdict_of,
)
from nextfill.evaluation.scores import read_scores, scores_file
from nextfill.runs.directory import RunDirectory
from nextfill.runs.results import BeforeAfter

Event = Mapping[str, Any]

VALIDATION = "validation"
SCORE_KEYS = ("document", "nats", "targets", "bytes", "characters", "words")


@dataclass(frozen=True)
class EvaluatedSet:
    """The evaluations of one set of documents.

    Args:
        name: ``held-out``, ``validation`` or the name of a further set.
        events: The evaluations by step; ``nats`` and ``targets`` at least.
        before: The first of them.
        after: That of the weights that were kept, or else the last; None while there is only one.
        measures: The figures before and after, with their change.
    """

    name: str
    events: Sequence[Event]
    before: Event
    after: Event | None
    measures: Sequence[Measure]

    def words(self, subject: str = "it", text: str = "your text") -> list[str | Count]:
        """Return a sentence on how well the model predicts the set; none of evaluations without it.

        An old run, or a validation, has not kept how many tokens were right.
        """
        before, after = hits_of(self.before), hits_of(self.after)
        objective: Objective = "masked" if self.before.get("objective") == "masked" else "causal"
        if self.after is None:
            return [] if before is None else share_words(before, objective, subject)
        change = next((m.change for m in self.measures if m.key == "nats_per_token"), None)
        if before is None or after is None or change is None:
            return []
        verdict = verdict_of(change)
        return change_words(before, after, verdict, objective, subject=subject, text=text)


def of_kind(events: Sequence[Event], *kinds: str) -> list[Event]:
    """Return the events of some kinds; refuse one without a step."""
    found = [event for event in events if event.get("event") in kinds]
    for event in found:
        if not isinstance(event.get("step"), int):
            raise RunError(f"events.jsonl is damaged: a {event['event']} event has no step.")
    return found


def by_set_of(events: Sequence[Event], *kinds: str) -> dict[str, dict[int, Event]]:
    """Return the evaluations of each set, by step."""
    by_set: dict[str, dict[int, Event]] = {}
    for event in of_kind(events, *kinds):
        name = VALIDATION if event["event"] == "validation" else event.get("set") or HELD_OUT
        by_set.setdefault(str(name), {})[event["step"]] = event
    return by_set


def evaluated_sets(
    run: RunDirectory, events: Sequence[Event], kept: int | None, missing: list[str]
) -> list[EvaluatedSet]:
    """Return the evaluations of each set, those of the held-out part first."""
    by_set = by_set_of(events, "evaluation", "validation")
    order = {HELD_OUT: 0, VALIDATION: 2}
    found = []
    for name in sorted(by_set, key=lambda name: order.get(name, 1)):
        by_step = by_set[name]
        of_set = [by_step[step] for step in sorted(by_step)]
        before, after = of_set[0], None
        scores = _scores(run, name, before, missing)
        if len(of_set) > 1:
            after = by_step.get(-1 if kept is None else kept, of_set[-1])
        after_scores = _scores(run, name, after, missing) if after else None
        measures = compare_evaluations(before, after, scores, after_scores)
        found.append(EvaluatedSet(name, of_set, before, after, measures))
    return found


def _scores(run: RunDirectory, name: str, event: Event, missing: list[str]) -> Scores | None:
    """Return the scores of an evaluation's documents; None leaves the intervals out."""
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


def before_after_of(run: RunDirectory, name: str, first: Event, last: Event) -> BeforeAfter:
    """Return two evaluations of a set, and the change; without their scores it has no interval."""
    of_set = None if name == HELD_OUT else name
    files = [scores_file(run.evaluations, event["step"], of_set) for event in (first, last)]
    before, after = (None if scores is None else vars(scores) for scores in map(read_scores, files))
    change = difference_of(first, last, before, after)
    return BeforeAfter(evaluation_of(first), evaluation_of(last), change)


def evaluation_of(event: Mapping[str, Any]) -> Evaluation:
    """Return an evaluation from its plain form, NaN in the place of null."""

    def plain(value: Any) -> Any:
        return math.nan if value is None else value

    about_event = ("event", "step", "set")
    numbers = {k: plain(v) for k, v in event.items() if k not in CONTEXT and k not in about_event}
    low, high = event["interval"]
    groups = event.get("groups")
    if groups is not None:
        groups = {name: evaluation_of(one) for name, one in groups.items()}
    return Evaluation(**numbers | {"interval": (plain(low), plain(high)), "groups": groups})
