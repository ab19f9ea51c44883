"""The figures of an evaluation, and their plain forms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nextfill.config import Objective, PseudoMetric
from nextfill.evaluation.difference import Difference
from nextfill.evaluation.read_text import ReadText
from nextfill.rendering.result_cards import card, card_table, figure_text, text_table


def window_rows(settings: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return how long the text was that a token was predicted from, as text.

    Example:
        >>> window_rows({"block_size": 256, "stride": 128, "start_token": True})
        [('256 tokens', 'stride 128')]
    """
    if settings is None:
        return []
    stride = settings.get("stride")
    told = [] if stride is None else [f"stride {stride:,}"]
    told += ["no start token"] if settings.get("start_token") is False else []
    return [(f"{settings['block_size']:,} tokens", ", ".join(told))]


def documents_text(count: int) -> str:
    """Return a number of documents as text.

    Example:
        >>> documents_text(1), documents_text(1200)
        ('1 document', '1,200 documents')
    """
    return f"{count:,} document{'' if count == 1 else 's'}"


def interval_text(interval: tuple[float, float]) -> str:
    """Return an interval as text; a single document has none.

    Example:
        >>> interval_text((1.5, 2.25)), interval_text((math.nan, math.nan))
        ('1.500 to 2.250', 'unknown')
    """
    low, high = interval
    return "unknown" if math.isnan(low) else f"{figure_text(low)} to {figure_text(high)}"


def leak_rows(leaks: Mapping[str, int] | None) -> list[tuple[str, str]]:
    """Return what was found of leaks, as text, and over what; nothing where none was looked for.

    Example:
        >>> leak_rows({"checked": 9, "too_short": 0, "exact": 2, "near": 1, "tokens": 70})
        [('3 (2 exact, 1 near)', '9 documents')]
    """
    if leaks is None:
        return []
    exact, near = leaks["exact"], leaks["near"]
    told = f"{exact + near:,} ({exact:,} exact, {near:,} near)" if exact + near else "0"
    return [(told, documents_text(leaks["checked"]))]


FIGURES = ("figure", "value", "over")
"""What the columns of `figure_rows` are."""


@dataclass(frozen=True)
class PseudoFigures:
    """A masked model's figures where each token is predicted from all the others.

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
class Beside:
    """Another model's figures on the same documents.

    Args:
        name: The model.
        evaluation: Its figures.
        difference: From it to the model that is evaluated.
    """

    name: str
    evaluation: Evaluation
    difference: Difference

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        figures = self.evaluation.to_json()
        return {"name": self.name, **figures, "difference": self.difference.to_json()}


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a set of documents, with every denominator.

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
        interval: 95% interval of the perplexity, from documents drawn anew.
        accuracy: Share of the targets that the model thought likeliest.
        groups: The same by group, where a column was asked for.
        objective: ``causal`` or ``masked``: what a target is.
        pseudo: What every token costs a masked model that sees all the others, if that was asked
            for; the nats, targets and perplexity are those then.
        base: The model that this one was made from, where it is known.
        leaks: Documents that also stand in the training data, counted: ``checked``, ``too_short``,
            ``exact``, ``near``, ``tokens``; None where those data are not known.
        settings: What the figures depend on: ``data``, ``block_size``; of a causal model also
            ``stride`` and ``start_token``.
        left_out: What of the data is in no figure, counted by reason.
        texts: Documents token by token, where they are to be shown.
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
    # What stands beside the figures is no part of them.
    base: Beside | None = field(default=None, compare=False)
    leaks: Mapping[str, int] | None = field(default=None, compare=False)
    settings: Mapping[str, Any] | None = field(default=None, compare=False)
    left_out: Mapping[str, int] | None = field(default=None, compare=False)
    texts: Sequence[ReadText] | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data, those of a pseudo-likelihood by names of their own."""
        figures = asdict(replace(self, groups=None, base=None, texts=None))
        pseudo = figures.pop("pseudo")
        if self.groups is not None:
            figures["groups"] = {name: one.to_json() for name, one in self.groups.items()}
        figures["base"] = None if self.base is None else self.base.to_json()
        figures["texts"] = None if self.texts is None else [one.to_json() for one in self.texts]
        return figures | {f"pseudo_{name}": value for name, value in (pseudo or {}).items()}

    def in_a_line(self) -> str:
        """Return the perplexity, and what it can be judged by, for a line of progress."""
        bits = self.bits_per_byte
        tokens = "masked tokens" if self.objective == "masked" else "tokens"
        return f"perplexity {self.perplexity:.2f}, " + (
            f"over {self.targets:,} {tokens}" if math.isnan(bits) else f"{bits:.3f} bits per byte"
        )

    def __repr__(self) -> str:
        return text_table("Evaluation", FIGURES, figure_rows(self))

    def _repr_html_(self) -> str:
        texts = [text.card_part() for text in self.texts or ()]
        return card("Evaluation", card_table(FIGURES, figure_rows(self)), *texts)


BESIDE = ("base", "leaks", "settings", "left_out", "texts")
"""What stands beside the figures of an evaluation, and is no part of them."""


def figure_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Return each figure as text, with what it is over: name, value, denominator."""
    pseudo = evaluation.pseudo
    masked = "masked " if evaluation.objective == "masked" and pseudo is None else ""
    tokens, words = f"{evaluation.targets:,} {masked}tokens", f"{evaluation.words:,} words"
    documents, size = documents_text(evaluation.documents), f"{evaluation.bytes:,} bytes"
    characters = f"{evaluation.characters:,} characters"
    groups = evaluation.groups or {}
    of = evaluation if pseudo is None else pseudo
    kind = "" if pseudo is None else "pseudo-"
    over_text = [
        (f"{kind}word perplexity", of.word_perplexity, words),
        (f"{kind}byte perplexity", of.byte_perplexity, size),
        (f"{kind}character perplexity", of.character_perplexity, characters),
        (f"{kind}bits per byte", of.bits_per_byte, size),
    ]
    told = "" if pseudo is None else f" ({pseudo.metric})"
    summed = []
    if pseudo is not None:
        summed = [("pseudo-log-likelihood", f"{pseudo.log_likelihood:,.1f} nats", tokens)]
    return [
        *summed,
        (f"{kind}perplexity{told}", figure_text(evaluation.perplexity), tokens),
        ("  95% interval", interval_text(evaluation.interval), documents),
        *(
            (name, figure_text(value), over)
            for name, value, over in over_text
            if not math.isnan(value)
        ),
        ("accuracy", f"{evaluation.accuracy:.1%}", tokens),
        *(
            (f"perplexity of {name}", figure_text(one.perplexity), f"{one.targets:,} tokens")
            for name, one in groups.items()
        ),
        *_base_rows(evaluation),
        *(("leaked documents", told, over) for told, over in leak_rows(evaluation.leaks)),
        *(("windows", told, over) for told, over in window_rows(evaluation.settings)),
    ]


def _base_rows(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    base = evaluation.base
    if base is None:
        return []
    change, interval, verdict = base.difference.told()
    better = f"{base.difference.better:,} of {base.difference.documents:,} documents cost less"
    return [
        (f"{base.name}: perplexity", figure_text(base.evaluation.perplexity), "made from it"),
        (f"  change from it ({verdict})", change, better),
        ("  95% interval", interval, "documents, paired"),
    ]
