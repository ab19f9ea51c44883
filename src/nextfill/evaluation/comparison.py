"""A comparison of models on the same documents, document by document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import numpy as np

from nextfill.config import Objective
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.bootstrap import Interval, difference_interval
from nextfill.evaluation.change_line import is_few
from nextfill.evaluation.figures import (
    Difference,
    Evaluation,
    window_rows,
)
from nextfill.evaluation.leak_counts import leak_rows
from nextfill.evaluation.metrics import groups_of, summarize
from nextfill.evaluation.plain_words import Hits, comparison_words, plain_text, verdict_of
from nextfill.evaluation.scores import ScoredModel
from nextfill.evaluation.token_view import ScoredText
from nextfill.rendering.result_cards import card, card_lines, card_table, figure_text, text_table

LONGEST_NAME = 10
"""Characters of a name that a table of 80 has room for."""


@dataclass(frozen=True)
class Comparison:
    """The figures of several models on the same documents, and their differences.

    Args:
        evaluations: Each model's figures, over the documents that all could score.
        differences: Of each pair of models, in their order.
        same_tokens: Whether all predict the same tokens, so that perplexities can be compared.
        left_out: Documents that not all could score.
        leaks: By model the counts of documents in its training data, where those are known.
        settings: Settings that the figures depend on, as `Evaluation` has them.
        texts: Documents token by token, by the last model beside the first, with ``--show``.
        groups: The same by group, with ``--by``.
    """

    evaluations: Mapping[str, Evaluation]
    differences: Sequence[Difference]
    same_tokens: bool
    left_out: int = 0
    leaks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settings: Mapping[str, Any] | None = None
    texts: Sequence[ScoredText] | None = None
    groups: Mapping[str, Comparison] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "evaluations": {name: one.to_json() for name, one in self.evaluations.items()},
            "differences": [one.to_json() for one in self.differences],
            "same_tokens": self.same_tokens,
            "left_out": self.left_out,
            "leaks": self.leaks,
            "settings": self.settings,
            "texts": self.texts and [one.to_json() for one in self.texts],
            "in_words": self.words(),
            "groups": self.groups and {name: one.to_json() for name, one in self.groups.items()},
        }

    def words(self) -> list[str]:
        """Return a sentence on each model after the first: whether it predicts the text better."""
        first, *others = self.evaluations
        found = {one.second: one for one in self.differences if one.first == first}
        return [self._words(found[name]) for name in others]

    def _words(self, one: Difference) -> str:
        models = [self.evaluations[name] for name in (one.first, one.second)]
        first, second = (Hits(model.correct, model.targets) for model in models)
        hits = None if one.nats_per_token is None else (first, second)
        verdict, objective = verdict_of(one.main), models[0].objective
        return plain_text(comparison_words((one.first, one.second), hits, verdict, objective))

    def rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the table as text: its header, and a row for each model."""
        models = list(self.evaluations.values())
        table = {"bits per byte": [bits_of(one) for one in models]}
        if self.same_tokens:
            table = {"perplexity": [one.perplexity for one in models], **table}
        table = {k: values for k, values in table.items() if not all(map(math.isnan, values))}
        first = next(iter(self.evaluations))
        changes = {one.second: one.cells() for one in self.differences if one.first == first}
        header = ("", *table, "change", "95% interval", "")
        rows = []
        for at, (name, label) in enumerate(self._labels().items()):
            cells = [figure_text(values[at]) for values in table.values()]
            rows.append((label, *cells, *changes.get(name, ("", "", ""))))
        return header, rows

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Return the title, header and rows of a table of all documents, and of one per group."""
        groups = self.groups or {}
        of_groups = [(f"{name}: {one.size()}", *one.rows()) for name, one in groups.items()]
        return [("Comparison", *self.rows()), *of_groups]

    def size(self) -> str:
        """Return the documents and bytes that the figures are over, as text."""
        one = next(iter(self.evaluations.values()))
        return f"{amount(one.documents, 'document')}, {amount(one.bytes, 'byte')}"

    def _labels(self) -> dict[str, str]:
        """Return the label of each model in the table: its name, or a letter if names are long."""
        names = list(self.evaluations)
        if max(map(len, names)) <= LONGEST_NAME:
            return dict(zip(names, names, strict=True))
        return {name: ascii_uppercase[at % 26] * (at // 26 + 1) for at, name in enumerate(names)}

    def lines(self) -> list[str]:
        """Return the notes below the table."""
        labels = self._labels()
        main = "perplexity" if self.same_tokens else "bits per byte"
        windows = [f"in windows of {' '.join(each).strip()}" for each in window_rows(self.settings)]
        notes = [f"{label}: {name}" for name, label in labels.items() if label != name]
        notes += [
            ", ".join([f"over {self.size()}", *windows]),
            f"The change is that of the {main}, from {next(iter(labels.values()))}. The intervals "
            "are over documents, paired; one that holds 0 says that chance could explain the "
            "difference.",
        ]
        if is_few(one := next(iter(self.evaluations.values())).documents):
            notes.append(f"So few documents as {one} make the intervals wide.")
        if not self.same_tokens:
            notes.append(
                "The tokenizers differ, and with them what a token is: perplexities per token "
                "cannot be compared, bits per byte can."
            )
        if self.left_out:
            notes.append(
                f"{amount(self.left_out, 'document')} that not all could be scored on, left out"
            )
        if len({model.bytes for model in self.evaluations.values()}) > 1:
            notes.append(
                "Not all score every document from its first byte on (a tokenizer without a start "
                "token, or --no-start-token), and what is not scored is no part of a model's bytes."
            )
        for name, leaks in self.leaks.items():
            notes += [f"leaked documents of {name}: {m}, of {n}" for m, n in leak_rows(leaks)]
        return notes

    def __repr__(self) -> str:
        tables = [text_table(*table) for table in self.tables()]
        return "\n".join([*self.words(), *tables, *self.lines()])

    def _repr_html_(self) -> str:
        texts = [text.card_part() for text in self.texts or ()]
        words, lines = card_lines(self.words()), card_lines(self.lines())
        of_groups = [
            part
            for title, header, rows in self.tables()[1:]
            for part in (card_lines([title]), card_table(header, rows))
        ]
        return card("Comparison", words, card_table(*self.rows()), lines, *of_groups, *texts)


def bits_of(evaluation: Evaluation) -> float:
    """Return bits per byte, or pseudo bits per byte; NaN of a masked model without ``--pseudo``."""
    pseudo = evaluation.pseudo
    return evaluation.bits_per_byte if pseudo is None else pseudo.bits_per_byte


def check_comparable(models: Sequence[tuple[str, Objective, str]], *, pseudo: bool) -> None:
    """Refuse models whose figures cannot be compared.

    A model is given by its name, its objective, and its tokenizer's fingerprint.
    """
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
    """Compare at least two models on the documents that all of them were scored on."""
    shared = reduce(np.intersect1d, [one.scores.document for one in models])
    if not len(shared):
        raise DataError("There is no document that all of the models could be scored on.")
    everything = np.unique(np.concatenate([one.scores.document for one in models]))
    models = [
        replace(one, scores=one.scores[np.isin(one.scores.document, shared)]) for one in models
    ]
    evaluations = {
        one.name: summarize(one.scores, one.objective, one.pseudo_metric) for one in models
    }
    same_tokens = all(_same_tokens(models[0], one) for one in models[1:])
    if not same_tokens and all(math.isnan(bits_of(one)) for one in evaluations.values()):
        raise DataError(
            "The models have not the same blanks to fill in, so that nothing of theirs can be "
            "compared: give --pseudo, which hides every token."
        )
    return Comparison(
        evaluations=evaluations,
        differences=[difference(first, second) for first, second in combinations(models, 2)],
        same_tokens=same_tokens,
        left_out=len(everything) - len(shared),
    )


def compare_groups(
    models: Sequence[ScoredModel], store: TokenStore, by: str
) -> dict[str, Comparison]:
    """Compare models on the documents of each group, the one with most text first.

    The documents that not all of the models could be scored on are in no group.
    """
    shared = reduce(np.intersect1d, [one.scores.document for one in models])
    compared = {}
    for name, members in groups_of(shared, store, by).items():
        documents = shared[members]
        compared[name] = compare_models(
            [
                replace(one, scores=one.scores[np.isin(one.scores.document, documents)])
                for one in models
            ]
        )
    first = models[0].name
    return dict(sorted(compared.items(), key=lambda item: -item[1].evaluations[first].targets))


def difference(first: ScoredModel, second: ScoredModel) -> Difference:
    """Return the difference between two models that were scored on the same documents."""
    scores, others = first.scores, second.scores
    bits = tokens = None
    if first.objective == "causal" or first.pseudo_metric is not None:
        nats = difference_interval((scores.nats, scores.bytes), (others.nats, others.bytes))
        bits = Interval(*(end / math.log(2) for end in nats))
    if _same_tokens(first, second):
        tokens = difference_interval((scores.nats, scores.targets), (others.nats, others.targets))
    found = Difference(
        first=first.name,
        second=second.name,
        documents=len(scores.document),
        better=int(np.count_nonzero(others.nats < scores.nats)),
        bits_per_byte=bits,
        nats_per_token=tokens,
        winner=None,
    )
    winners = {"better": second.name, "worse": first.name}
    return replace(found, winner=winners.get(verdict_of(found.main)))


def _same_tokens(first: ScoredModel, second: ScoredModel) -> bool:
    return first.tokenizer == second.tokenizer and np.array_equal(
        first.scores.targets, second.scores.targets
    )
