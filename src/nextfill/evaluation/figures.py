"""The figures of an evaluation and the difference between two models, with their plain forms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from nextfill.config import Objective, PseudoMetric
from nextfill.config.foreign.result_names import Result
from nextfill.core.amounts import amount, part_of
from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.change_line import in_percent, paired_text
from nextfill.evaluation.leak_counts import leak_rows
from nextfill.evaluation.plain_words import Hits, change_words, plain_text, share_words, verdict_of
from nextfill.evaluation.token_view import ScoredText
from nextfill.rendering.result_cards import card, card_lines, card_table, figure_text, text_table

FIGURES = ("figure", "value", "over")
"""Columns of `figure_rows`."""

NO_INTERVAL = "none: it takes two documents"

CONTEXT = ("base", "leaks", "settings", "left_out", "texts", "correct", "in_words")
"""Of an evaluation's plain form what is no figure of its own: context, and figures told anew."""


@dataclass(frozen=True)
class PseudoFigures:
    """A masked model's figures if it predicts each token from all the others.

    They are no likelihoods of the text, and compare with those of masked models alone.

    Args:
        metric: ``original``, or ``within-word``: the later tokens of its word are hidden as well.
        log_likelihood: Summed, in nats.
        perplexity: exp(-log_likelihood / tokens).
        word_perplexity: exp(-log_likelihood / words).
        byte_perplexity: exp(-log_likelihood / bytes).
        character_perplexity: exp(-log_likelihood / characters).
        bits_per_byte: -log_likelihood / (bytes x ln 2).
    """

    metric: PseudoMetric
    log_likelihood: float
    perplexity: float
    word_perplexity: float
    byte_perplexity: float
    character_perplexity: float
    bits_per_byte: float


@dataclass(frozen=True)
class BaseEvaluation:
    """The figures of a model's base on the same documents, and the difference from it."""

    name: str
    evaluation: Evaluation
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        figures = self.evaluation.to_json()
        return {"name": self.name, **figures, "difference": self.difference.to_json()}


@dataclass(frozen=True)
class Evaluation(Result):
    """The figures of a model on a set of documents, with every denominator.

    Args:
        nats: Summed negative log-likelihood, float64.
        targets: Tokens scored.
        documents: Documents scored.
        words: Words, separated by white space.
        bytes: UTF-8 bytes.
        characters: Characters.
        perplexity: exp(nats / targets).
        word_perplexity: exp(nats / words); NaN for a masked model, which scores a part of them.
        byte_perplexity: exp(nats / bytes); NaN for a masked model.
        character_perplexity: exp(nats / characters); NaN for a masked model.
        bits_per_byte: nats / (bytes x ln 2); comparable between tokenizers; NaN for a masked model.
        standard_error: Of the nats per target, over documents.
        interval: 95% interval of the perplexity, from resampled documents.
        accuracy: Share of the targets that the model thought likeliest.
        groups: The same by group, with ``--by``.
        objective: ``causal`` or ``masked``, by which a target is defined.
        pseudo: The figures of a masked model that sees all other tokens, with ``--pseudo``; nats,
            targets and perplexity belong to these then.
        base: The model that this one was made from, where it is known.
        leaks: Counts of documents that are also in the training data: ``checked``, ``too_short``,
            ``exact``, ``near``, ``tokens``; None where those data are not known.
        settings: Settings that the figures depend on: ``data``, ``block_size``; of a causal model
            also ``stride`` and ``start_token``.
        left_out: Records and documents in no figure, counted by reason.
        texts: Documents token by token, with ``--show``.
    """

    nats: float
    targets: int
    documents: int
    words: int
    bytes: int
    characters: int
    perplexity: float
    word_perplexity: float
    byte_perplexity: float
    character_perplexity: float
    bits_per_byte: float
    standard_error: float
    interval: tuple[float, float]
    accuracy: float
    groups: Mapping[str, Evaluation] | None = None
    objective: Objective = "causal"
    pseudo: PseudoFigures | None = None
    base: BaseEvaluation | None = field(default=None, compare=False)
    leaks: Mapping[str, int] | None = field(default=None, compare=False)
    settings: Mapping[str, Any] | None = field(default=None, compare=False)
    left_out: Mapping[str, int] | None = field(default=None, compare=False)
    texts: Sequence[ScoredText] | None = field(default=None, compare=False)

    @property
    def correct(self) -> int:
        """Targets that the model thought likeliest."""
        return round(self.accuracy * self.targets)

    @property
    def in_words(self) -> str:
        """How many tokens of a hundred it has right, and whether that is better than its base."""
        base, hits = self.base, Hits(self.correct, self.targets)
        if base is None:
            return plain_text(share_words(hits, self.objective))
        one, difference = base.evaluation, base.difference
        before = Hits(one.correct, one.targets) if difference.nats_per_token else None
        return plain_text(change_words(before, hits, verdict_of(difference.main), self.objective))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON, with ``pseudo_`` before the names of pseudo-figures."""
        return {**self._figures(), "correct": self.correct, "in_words": self.in_words}

    def _figures(self) -> dict[str, Any]:
        figures = asdict(replace(self, groups=None, base=None, texts=None))
        pseudo = figures.pop("pseudo")
        if self.groups is not None:
            figures["groups"] = {name: one._figures() for name, one in self.groups.items()}
        figures["base"] = None if self.base is None else self.base.to_json()
        figures["texts"] = None if self.texts is None else [one.to_json() for one in self.texts]
        return figures | {f"pseudo_{name}": value for name, value in (pseudo or {}).items()}

    def in_a_line(self) -> str:
        """Return the perplexity, and bits per byte or targets, for a line of progress."""
        bits = self.bits_per_byte
        noun = "masked token" if self.objective == "masked" else "token"
        return f"perplexity {self.perplexity:.2f}, " + (
            f"over {amount(self.targets, noun)}"
            if math.isnan(bits)
            else f"{bits:.3f} bits per byte"
        )

    def __repr__(self) -> str:
        return f"{self.in_words}\n" + text_table("Evaluation", FIGURES, figure_rows(self))

    def _repr_html_(self) -> str:
        parts = [card_lines([self.in_words]), card_table(FIGURES, figure_rows(self))]
        return card("Evaluation", *parts, *(text.card_part() for text in self.texts or ()))


@dataclass(frozen=True)
class Difference:
    """The difference between two models on the same documents, below 0 where the second is better.

    Args:
        first: Name of the first model.
        second: Name of the second model.
        documents: Documents that both were scored on.
        better: Documents that cost the second model fewer nats.
        bits_per_byte: With a 95% interval over documents; None where a model scores a part of the
            text only.
        nats_per_token: The same; None where the models predict different tokens.
        winner: The better model, None where the interval includes 0.
    """

    first: str
    second: str
    documents: int
    better: int
    bits_per_byte: Interval | None
    nats_per_token: Interval | None
    winner: str | None

    @property
    def main(self) -> Interval:
        """The difference that decides: in nats per token, or in bits per byte of other tokens."""
        return self.nats_per_token or self.bits_per_byte or Interval(math.nan)

    @property
    def perplexity_percent(self) -> Interval | None:
        """The difference of perplexities per token in percent, where the tokens are the same."""
        if self.nats_per_token is None:
            return None
        return in_percent(self.nats_per_token)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON, with the value, low and high of each difference."""
        data: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        data["perplexity_percent"] = self.perplexity_percent
        return {
            key: value._asdict() if isinstance(value, Interval) else value
            for key, value in data.items()
        }

    def cells(self) -> tuple[str, str, str]:
        """Return the difference as text, its interval, and the verdict on the second model."""
        percent, bits = self.perplexity_percent, self.bits_per_byte
        change, interval = "", ""
        if percent is not None:
            change = f"{percent.value:+.1f}%"
            interval = f"{percent.low:+.1f} to {percent.high:+.1f}"
        elif bits is not None:
            change, interval = f"{bits.value:+.4f}", f"{bits.low:+.4f} to {bits.high:+.4f}"
        if self.documents < 2:
            interval = NO_INTERVAL
        verdicts = {self.second: "better", self.first: "worse"}
        return change, interval, verdicts.get(self.winner or "", "unclear")


def figure_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return the name, value and denominator of each figure as text."""
    pseudo = evaluation.pseudo
    masked = "masked " if evaluation.objective == "masked" and pseudo is None else ""
    tokens = amount(evaluation.targets, f"{masked}token")
    words = amount(evaluation.words, "word")
    documents, size = amount(evaluation.documents, "document"), amount(evaluation.bytes, "byte")
    characters = amount(evaluation.characters, "character")
    source = evaluation if pseudo is None else pseudo
    kind = "" if pseudo is None else "pseudo-"
    over_text = [
        (f"{kind}word perplexity", source.word_perplexity, words),
        (f"{kind}byte perplexity", source.byte_perplexity, size),
        (f"{kind}character perplexity", source.character_perplexity, characters),
        (f"{kind}bits per byte", source.bits_per_byte, size),
    ]
    metric = "" if pseudo is None else f" ({pseudo.metric})"
    summed = []
    if pseudo is not None:
        summed = [("pseudo-log-likelihood", f"{pseudo.log_likelihood:,.1f} nats", tokens)]
    return [
        *summed,
        (f"{kind}perplexity{metric}", figure_text(evaluation.perplexity), tokens),
        ("  95% interval", interval_text(evaluation.interval), documents),
        *(
            (name, figure_text(value), over)
            for name, value, over in over_text
            if not math.isnan(value)
        ),
        ("accuracy", f"{evaluation.accuracy:.1%}", tokens),
        *(
            (f"perplexity of {name}", figure_text(one.perplexity), amount(one.targets, "token"))
            for name, one in (evaluation.groups or {}).items()
        ),
        *_base_rows(evaluation),
        *(("leaked documents", *row) for row in leak_rows(evaluation.leaks)),
        *(("windows", *row) for row in window_rows(evaluation.settings)),
    ]


def _base_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    base = evaluation.base
    if base is None:
        return []
    change, interval, verdict = base.difference.cells()
    better = f"{part_of(base.difference.better, base.difference.documents, 'document')} cost less"
    figure, value = "perplexity", base.evaluation.perplexity
    if base.difference.nats_per_token is None:  # of other tokens, which do not compare
        figure, value = "bits per byte", base.evaluation.bits_per_byte
    return [
        (f"{base.name}: {figure}", figure_text(value), "the model it began from"),
        (f"  change from it ({verdict})", change, better),
        ("  95% interval", interval, paired_text(base.difference.documents)),
    ]


def window_rows(settings: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the length of the windows that tokens were predicted in, and their kind, as text.

    Example:
        >>> window_rows({"block_size": 256, "stride": 128, "start_token": True})
        [('256 tokens', 'stride 128')]
    """
    if settings is None:
        return []
    stride = settings.get("stride")
    kinds = [] if stride is None else [f"stride {stride:,}"]
    kinds += ["no start token"] if settings.get("start_token") is False else []
    if "context_field" in settings:
        fields = (settings["context_field"] or "the context", settings["text_field"] or "the text")
        kinds.append("{1} after {0}".format(*fields))
    return [(f"{settings['block_size']:,} tokens", ", ".join(kinds))]


def interval_text(interval: tuple[float, float]) -> str:
    """Return an interval as text, or that there is none of a single document.

    Example:
        >>> interval_text((1.5, 2.25)), interval_text((math.nan, math.nan))
        ('1.500 to 2.250', 'none: it takes two documents')
    """
    low, high = interval
    return NO_INTERVAL if math.isnan(low) else f"{figure_text(low)} to {figure_text(high)}"
