"""Two runs on the same held-out documents: whether they are, and how far their figures differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextfill.evaluation.bootstrap import Interval, difference_interval
from nextfill.evaluation.metrics import exp_or_inf
from nextfill.evaluation.scores import DocumentScores, read_scores, scores_file
from nextfill.runs.directory import RunDirectory
from nextfill.runs.evaluated_sets import EvaluatedSet
from nextfill.runs.reader import RunFacts

_OF_DOCUMENTS = ("document", "characters", "words")


@dataclass(frozen=True)
class RunPair:
    """The second of two runs less the first, after training, document by document.

    Args:
        documents: Documents of both; 0 where they cannot be compared.
        perplexity: The change in percent; None where the runs predict other tokens.
        bits_per_byte: The difference; None of masked models.
        reason: Why they cannot be compared, in a sentence; empty where they can.
    """

    documents: int = 0
    perplexity: Interval | None = None
    bits_per_byte: Interval | None = None
    reason: str = ""


def held_out_of(facts: RunFacts) -> EvaluatedSet | None:
    """Return the evaluations of a run's held-out part, None before the first."""
    return next((one for one in facts.sets if one.name == "held-out"), None)


def last_scores(facts: RunFacts) -> DocumentScores | None:
    """Return the scores of a run's held-out documents after training, None where there are none."""
    one = held_out_of(facts)
    event = None if one is None else one.after or one.before
    if event is None:
        return None
    return read_scores(scores_file(RunDirectory(facts.path).evaluations, event["step"]))


def compare_runs(first: RunFacts, second: RunFacts) -> RunPair:
    """Compare the last evaluations of two runs; documents are paired by what they are."""
    kinds = {_objective(one) for one in (first, second)}
    if len(kinds) > 1:
        return RunPair(reason="one predicts the next token, and the other fills in blanks.")
    scores, others = last_scores(first), last_scores(second)
    if scores is None or others is None:
        return RunPair(reason="one of them has no readable evaluation of its held-out documents.")
    if not _same_documents(first, second, scores, others):
        return RunPair(
            reason="their held-out documents are not the same, so that a difference may be one of "
            "the texts and not of the models."
        )
    same_tokens = bool(np.array_equal(scores.targets, others.targets))
    if kinds == {"masked"} and not same_tokens:
        return RunPair(reason="their blanks are not the same.")
    tokens = bits = None
    if same_tokens:
        nats = difference_interval((scores.nats, scores.targets), (others.nats, others.targets))
        tokens = Interval(*(_percent(end) for end in nats))
    if kinds == {"causal"}:
        nats = difference_interval((scores.nats, scores.bytes), (others.nats, others.bytes))
        bits = Interval(*(end / math.log(2) for end in nats))
    return RunPair(len(scores.document), tokens, bits)


def _objective(facts: RunFacts) -> str:
    one = held_out_of(facts)
    return "masked" if one is not None and one.before.get("objective") == "masked" else "causal"


def _same_documents(
    first: RunFacts, second: RunFacts, scores: DocumentScores, others: DocumentScores
) -> bool:
    """Tell by the digest of the text, and by the number and size of each document."""
    digests: Sequence[object] = [
        (one.ledger.get("content_sha256") or [None])[-1] for one in (first, second)
    ]
    if digests[0] is None or digests[0] != digests[1]:
        return False
    return all(np.array_equal(getattr(scores, key), getattr(others, key)) for key in _OF_DOCUMENTS)


def _percent(nats: float) -> float:
    return math.nan if math.isnan(nats) else 100 * (exp_or_inf(nats) - 1)
