"""Models side by side on the same documents, document by document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Objective, PseudoMetric
from nextfill.core.errors import ConfigError, DataError
from nextfill.evaluation.bootstrap import Interval, difference_interval
from nextfill.evaluation.difference import Difference
from nextfill.evaluation.figures import Evaluation, documents_text, leak_rows, window_rows
from nextfill.evaluation.metrics import summarize
from nextfill.evaluation.read_text import ReadText
from nextfill.evaluation.scores import DocumentScores
from nextfill.rendering.result_cards import card, card_lines, card_table, figure_text, text_table

LONGEST_NAME = 10
"""Characters of a name that a table of 80 has room for."""


@dataclass(frozen=True)
class ScoredModel:
    """What a model's evaluation came to, before anything is added up.

    Args:
        name: As the user wrote it.
        objective: What it is for.
        tokenizer: Fingerprint of its tokenizer.
        scores: Its documents.
        pseudo_metric: How tokens were hidden one by one, if they were.
    """

    name: str
    objective: Objective
    tokenizer: str
    scores: DocumentScores
    pseudo_metric: PseudoMetric | None = None


@dataclass(frozen=True)
class Comparison:
    """Several models on the same documents.

    Args:
        evaluations: Each model's figures, over the documents that all were scored on.
        differences: Of each pair of models, in the order they were given.
        same_tokens: Whether all predict the same tokens, so that perplexities can be compared.
        left_out: Documents that not all were scored on.
        leaks: By model the documents that also stand in its training data, counted, where those
            are known.
        settings: What the figures depend on, as `Evaluation` has it.
        texts: Documents token by token, as the last model saw them beside the first, where they
            are to be shown.
    """

    evaluations: Mapping[str, Evaluation]
    differences: Sequence[Difference]
    same_tokens: bool
    left_out: int = 0
    leaks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    texts: Sequence[ReadText] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "evaluations": {name: one.to_json() for name, one in self.evaluations.items()},
            "differences": [one.to_json() for one in self.differences],
            "same_tokens": self.same_tokens,
            "left_out": self.left_out,
            "leaks": self.leaks,
            "settings": self.settings,
            "texts": self.texts and [one.to_json() for one in self.texts],
        }

    def rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the table as text: its header, and a line for each model."""
        models = list(self.evaluations.values())
        table = {"bits per byte": [bits_of(one) for one in models]}
        if self.same_tokens:
            table = {"perplexity": [one.perplexity for one in models], **table}
        table = {k: values for k, values in table.items() if not all(map(math.isnan, values))}
        against = {one.second: one for one in self._with_first()}
        header = ("", *table, "change", "95% interval", "")
        rows = []
        for at, (name, label) in enumerate(self._labels().items()):
            cells = [figure_text(values[at]) for values in table.values()]
            one = against.get(name)
            rows.append((label, *cells, *(("", "", "") if one is None else one.told())))
        return header, rows

    def _labels(self) -> dict[str, str]:
        """Return what the table calls each model: its name, or a letter where names are long."""
        names = list(self.evaluations)
        if max(map(len, names)) <= LONGEST_NAME:
            return dict(zip(names, names, strict=True))
        return {name: ascii_uppercase[at % 26] * (at // 26 + 1) for at, name in enumerate(names)}

    def lines(self) -> list[str]:
        """Return what stands below the table."""
        one = next(iter(self.evaluations.values()))
        labels = self._labels()
        what = "perplexity" if self.same_tokens else "bits per byte"
        windows = [f"in windows of {' '.join(each).strip()}" for each in window_rows(self.settings)]
        found = [f"{label}: {name}" for name, label in labels.items() if label != name]
        found += [
            ", ".join([f"over {documents_text(one.documents)}, {one.bytes:,} bytes", *windows]),
            f"The change is that of the {what}, from {next(iter(labels.values()))}. The intervals "
            "are over documents, paired; one that holds 0 says that chance could explain the "
            "difference.",
        ]
        if not self.same_tokens:
            found.append(
                "The tokenizers differ, and with them what a token is: perplexities per token "
                "cannot be compared, bits per byte can."
            )
        if self.left_out:
            found.append(f"{self.left_out:,} documents that not all could be scored on, left out")
        if len({model.bytes for model in self.evaluations.values()}) > 1:
            found.append(
                "Not all score every document from its first byte on (a tokenizer without a start "
                "token, or --no-start-token), and what is not scored is no part of a model's bytes."
            )
        for name, leaks in self.leaks.items():
            found += [f"leaked documents of {name}: {told}, of {n}" for told, n in leak_rows(leaks)]
        return found

    def _with_first(self) -> list[Difference]:
        first = next(iter(self.evaluations))
        return [one for one in self.differences if one.first == first]

    def __repr__(self) -> str:
        return "\n".join([text_table("Comparison", *self.rows()), *self.lines()])

    def _repr_html_(self) -> str:
        texts = [text.card_part() for text in self.texts or ()]
        return card("Comparison", card_table(*self.rows()), card_lines(self.lines()), *texts)


def bits_of(evaluation: Evaluation) -> float:
    """Return the bits per byte, or pseudo bits per byte; NaN where a part is scored."""
    pseudo = evaluation.pseudo
    return evaluation.bits_per_byte if pseudo is None else pseudo.bits_per_byte


def check_comparable(models: Sequence[tuple[str, Objective, str]], *, pseudo: bool) -> None:
    """Refuse models whose figures cannot stand beside one another."""
    names = [name for name, _, _ in models]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError([f"{', '.join(sorted(twice))} is named twice: name each model once."])
    (first, objective, tokenizer), *others = models
    for name, other, fingerprint in others:
        if other != objective:
            raise ConfigError(
                [
                    f"{first} is {objective} and {name} is {other}: what they predict is not the "
                    "same, and no figure of theirs can be compared."
                ]
            )
        if objective == "masked" and fingerprint != tokenizer and not pseudo:
            raise ConfigError(
                [
                    f"{first} and {name} have different tokenizers, so that their blanks differ: "
                    "give --pseudo, which hides every token, and compare pseudo bits per byte."
                ]
            )


def compare_models(models: Sequence[ScoredModel]) -> Comparison:
    """Put models side by side on the documents that all of them were scored on."""
    shared = _shared([one.scores.document for one in models])
    if not len(shared):
        raise DataError("There is no document that all of the models could be scored on.")
    everything = np.unique(np.concatenate([one.scores.document for one in models]))
    kept = [replace(one, scores=one.scores[np.isin(one.scores.document, shared)]) for one in models]
    evaluations = {
        one.name: summarize(one.scores, one.objective, one.pseudo_metric) for one in kept
    }
    same_tokens = all(_same_tokens(kept[0], one) for one in kept[1:])
    if not same_tokens and all(math.isnan(bits_of(one)) for one in evaluations.values()):
        raise DataError(
            "The models have not the same blanks to fill in, so that nothing of theirs can be "
            "compared: give --pseudo, which hides every token."
        )
    return Comparison(
        evaluations=evaluations,
        differences=[difference(first, second) for first, second in combinations(kept, 2)],
        same_tokens=same_tokens,
        left_out=len(everything) - len(shared),
    )


def difference(first: ScoredModel, second: ScoredModel) -> Difference:
    """Return by how much a model differs from another, scored on the same documents."""
    scores, others = first.scores, second.scores
    bits = tokens = None
    if first.objective == "causal" or first.pseudo_metric is not None:
        nats = difference_interval((scores.nats, scores.bytes), (others.nats, others.bytes))
        bits = Interval(*(end / math.log(2) for end in nats))
    if _same_tokens(first, second):
        tokens = difference_interval((scores.nats, scores.targets), (others.nats, others.targets))
    found = bits or tokens or Interval(math.nan)
    winner = None
    if found.high < 0 or found.low > 0:
        winner = second.name if found.high < 0 else first.name
    return Difference(
        first=first.name,
        second=second.name,
        documents=len(scores.document),
        better=int(np.count_nonzero(others.nats < scores.nats)),
        bits_per_byte=bits,
        nats_per_token=tokens,
        winner=winner,
    )


def _same_tokens(first: ScoredModel, second: ScoredModel) -> bool:
    return first.tokenizer == second.tokenizer and np.array_equal(
        first.scores.targets, second.scores.targets
    )


def _shared(numbers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    shared = numbers[0]
    for other in numbers[1:]:
        shared = np.intersect1d(shared, other)
    return shared
