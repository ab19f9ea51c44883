"""What the verbs return: small typed objects, each with its plain form for ``--json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextfill.config import TrainConfig
from nextfill.infer.figures import Evaluation
from nextfill.recipe import build, read_recipe
from nextfill.training.run import RunDirectory


@dataclass(frozen=True)
class TrainResult:
    """What a training run came to.

    Args:
        run: The run directory.
        model: The model's directory, a plain Hugging Face one.
        objective: ``causal``.
        steps: Optimizer steps taken.
        tokens_per_second: Training tokens per second of training steps.
        before: The model's evaluation before the first step, on the held-out documents.
        after: The same after the last step.
        ledger: Where every record and token went.
        samples: The texts continued at each evaluation: ``step``, ``prompt``, ``text``.
    """

    run: str
    model: str
    objective: str
    steps: int
    tokens_per_second: float
    before: Evaluation
    after: Evaluation
    ledger: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)


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
    """

    store: str
    held_out_store: str
    blocks: int
    block_size: int
    ledger: Mapping[str, Any]
    reused: bool

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)


def train_result(run: str | Path) -> TrainResult:
    """Read the result of a finished run back from its files.

    Args:
        run: The run directory.

    Returns:
        The same that `train` returned.
    """
    directory = RunDirectory(Path(run))
    config = build(TrainConfig, [read_recipe(directory.config)])
    evaluations = evaluations_of(directory)
    events = directory.read_events()
    timing = [json.loads(line) for line in directory.timing.read_text("utf-8").splitlines()]
    seconds = sum(item["elapsed_s"] for item in timing)
    samples = [event for event in events if event["event"] == "sample"]
    return TrainResult(
        run=str(directory.path),
        model=str(directory.model),
        objective=config.objective,
        steps=max(event["step"] for event in events),
        tokens_per_second=sum(item["tokens"] for item in timing) / seconds,
        before=evaluations[0][1],
        after=evaluations[-1][1],
        ledger=json.loads(directory.ledger.read_text("utf-8")),
        samples=[{k: v for k, v in sample.items() if k != "event"} for sample in samples],
    )


def evaluations_of(run: RunDirectory) -> list[tuple[int, Evaluation]]:
    """Return the evaluations of a run so far, by step."""
    found = []
    for event in run.read_events():
        if event["event"] == "evaluation":
            figures = {k: v for k, v in event.items() if k not in ("event", "step")}
            low, high = figures["interval"]
            figures["interval"] = (_number(low), _number(high))
            figures = {k: v if k == "groups" else _number(v) for k, v in figures.items()}
            found.append((event["step"], Evaluation(**figures)))
    return found


def _number(value: Any) -> Any:
    """Return NaN where the file has null, for a figure that is not defined."""
    return math.nan if value is None else value
