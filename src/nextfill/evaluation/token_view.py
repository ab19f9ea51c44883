"""The token view: documents worth showing, read token by token, with likelier tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Precision
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.document_file import word_texts
from nextfill.evaluation.scores import DocumentScores
from nextfill.rendering.html import Html
from nextfill.rendering.result_cards import card, card_text, token_style

if TYPE_CHECKING:
    from nextfill.models.loaded_model import LoadedModel
    from nextfill.models.step import StepModule
    from nextfill.objectives.scored_rows import ScoredRows

FEWEST_TARGETS = 16
"""Tokens below which the mean of a document says little; shorter ones come where it needs them."""

COSTS_MOST, COSTS_LEAST = "costs most", "costs least"


@dataclass(frozen=True)
class ScoredToken:
    """A token of a text and its surprisal by a model, and perhaps by another.

    Args:
        text: Its part of the text that the tokens spell.
        nats: Its surprisal; None where it was not predicted.
        other_nats: Its surprisal by another model.
        alternatives: The likeliest tokens in its place and their probabilities, likeliest first.
    """

    text: str
    nats: float | None
    other_nats: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()

    @property
    def change(self) -> float | None:
        """Nats above the other model's; below 0 where this one is the better."""
        if self.nats is None or self.other_nats is None:
            return None
        return self.nats - self.other_nats

    def card_part(self, *, compared: bool) -> tuple[str, str | None, str | None]:
        """Return its text, its style and its tooltip, for a card in a notebook."""
        if self.nats is None:
            return self.text, None, None
        tooltip = [f"{self.nats:.2f} nats"]
        if self.change is not None:
            tooltip.append(f"{self.change:+.2f}")
        tooltip += [f"{text!r} {probability:.1%}" for text, probability in self.alternatives]
        style = token_style(self.nats, self.change if compared else None)
        return self.text, style, "; ".join(tooltip)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        alternatives = [{"text": text, "probability": p} for text, p in self.alternatives]
        data = {"text": self.text, "nats": self.nats, "alternatives": alternatives}
        return data if self.other_nats is None else {**data, "other_nats": self.other_nats}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoredToken:
        """Return the token of plain data, as `to_json` makes them."""
        alternatives = tuple((one["text"], one["probability"]) for one in data["alternatives"])
        return cls(data["text"], data["nats"], data.get("other_nats"), alternatives)


def drawn_tokens(tokens: Sequence[ScoredToken]) -> list[tuple[ScoredToken, int]]:
    """Join tokens without a letter to the one before them, and count the tokens of each.

    A character of several tokens belongs to the first of them, so that the others could neither be
    seen nor pointed at; their nats are added to it.

    Example:
        >>> drawn_tokens([ScoredToken("\u732b", 2.0), ScoredToken("", 0.5)])[0]
        (ScoredToken(text='\u732b', nats=2.5, other_nats=None, alternatives=()), 2)
    """
    drawn: list[tuple[ScoredToken, int]] = []
    for token in tokens:
        if token.text or not drawn:
            drawn.append((token, 1))
            continue
        one, count = drawn[-1]
        nats, other = _sum(one.nats, token.nats), _sum(one.other_nats, token.other_nats)
        drawn[-1] = replace(one, nats=nats, other_nats=other), count + 1
    return drawn


def _sum(first: float | None, second: float | None) -> float | None:
    return first if second is None else second if first is None else first + second


@dataclass(frozen=True)
class ScoredText:
    """A text, token by token, with its surprisal by a model, and perhaps by another.

    Args:
        record: Number of its record in the data.
        tokens: Its tokens, the first of them.
        nats: Sum over all its predicted tokens, left out ones as well.
        targets: Predicted tokens.
        other_nats: The same sum by another model.
        left_out: Tokens after these.
        why: The reason to show this text.
        name: The file that its record is, if it is a whole one.
    """

    record: int
    tokens: tuple[ScoredToken, ...]
    nats: float
    targets: int
    other_nats: float | None = None
    left_out: int = 0
    why: str = ""
    name: str = ""

    @property
    def place(self) -> str:
        """The file of the text, or the number of its record."""
        return self.name or f"record {self.record}"

    @property
    def mean(self) -> float:
        """Nats per token of the whole text."""
        return self.nats / max(1, self.targets)

    @property
    def change(self) -> float | None:
        """Nats per token above the other model's; below 0 where this one is the better."""
        if self.other_nats is None:
            return None
        return (self.nats - self.other_nats) / max(1, self.targets)

    def heading(self) -> str:
        """Return its reason, its file or record, its nats per token, and their change."""
        why = f"{self.why}: " if self.why else ""
        change = "" if self.change is None else f" ({self.change:+.3f})"
        return f"{why}{self.place}, {self.mean:.3f} nats per token{change}"

    def _repr_html_(self) -> str:
        return card("Token by token", self.card_part())

    def card_part(self) -> Html:
        """Return the text in colour, for a card in a notebook."""
        compared = self.other_nats is not None
        tokens = [token.card_part(compared=compared) for token, _ in drawn_tokens(self.tokens)]
        return card_text(self.heading(), tokens)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        other = {} if self.other_nats is None else {"other_nats": self.other_nats}
        return {
            "record": self.record,
            **({"name": self.name} if self.name else {}),
            "why": self.why,
            "nats": self.nats,
            "targets": self.targets,
            **other,
            "tokens": [token.to_json() for token in self.tokens],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoredText:
        """Return the text of plain data, as `to_json` makes them."""
        tokens = tuple(map(ScoredToken.from_json, data["tokens"]))
        return cls(**{**data, "tokens": tokens})


def choose_documents(
    scores: DocumentScores, others: DocumentScores | None, number: int
) -> dict[int, str]:
    """Choose documents from both ends of their nats per token, or of their change in these.

    Returns:
        Their numbers and the reason for each: those that gained most against the other model, most
        first, then those that lost most, or gained least; or those that cost most and least.

    Example:
        >>> ones = np.full(3, 20)
        >>> cheap, dear = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 9.0])
        >>> made = lambda nats: DocumentScores(np.arange(3), nats, *[ones] * 5)
        >>> choose_documents(made(cheap), made(dear), 2)
        {2: 'gained most', 1: 'as before'}
    """
    if others is not None:
        shared = np.intersect1d(scores.document, others.document)
        scores = scores[np.isin(scores.document, shared)]
        others = others[np.isin(others.document, shared)]
    number = min(number, len(scores.targets))
    if number == 0:
        return {}
    long = scores.targets >= min(FEWEST_TARGETS, int(np.sort(scores.targets)[-number]))
    scores, others = scores[long], others and others[long]
    more = (scores.nats if others is None else scores.nats - others.nats) / scores.targets
    order = np.argsort(more, kind="stable")
    first, last = order[: (number + 1) // 2], order[::-1][: number // 2]
    if others is None:  # hard ones come first
        first, last = order[::-1][: (number + 1) // 2], order[: number // 2]
        return dict.fromkeys(scores.document[first].tolist(), COSTS_MOST) | dict.fromkeys(
            scores.document[last].tolist(), COSTS_LEAST
        )
    return {
        int(scores.document[at]): _why(float(more[at]), most_gained=at in first)
        for at in np.concatenate([first, last]).tolist()
    }


def _why(change: float, *, most_gained: bool) -> str:
    """Return the reason for a document at one end, perhaps that of those that gained most."""
    if change == 0:
        return "as before"
    if most_gained:
        return "gained most" if change < 0 else "lost least"
    return "lost most" if change > 0 else "gained least"


def read_texts(
    module: StepModule,
    loaded: LoadedModel,
    store: TokenStore,
    rows: ScoredRows,
    documents: Sequence[int],
    *,
    alternatives: int,
    most_tokens: int,
    batch_size: int,
    precision: Precision,
    other_nats: Sequence[NDArray[np.float32]] | None = None,
) -> list[ScoredText]:
    """Read documents token by token, and return their texts in the same order.

    Args:
        module: The step module around the model.
        loaded: The model and its tokenizer.
        store: The documents.
        rows: Their rows, with the targets.
        documents: Their numbers, ascending.
        alternatives: Likeliest tokens at each place.
        most_tokens: Tokens of a document at most; the rest are left out.
        batch_size: Rows per forward pass at most.
        precision: ``fp32`` or ``bf16``.
        other_nats: Of each document the nats of each token by another model, NaN where it is not
            predicted, ``[T] float32``.
    """
    from nextfill.evaluation.rows import read_rows  # brings PyTorch
    from nextfill.models.loss import nats_and_likeliest

    document, place, reading = read_rows(
        module,
        rows,
        nats_and_likeliest(alternatives),
        batch_size=batch_size,
        device=loaded.device,
        precision=precision,
    )
    speller = _Speller(loaded.tokenizer)
    texts = []
    for at, number in enumerate(documents):
        first, stop = np.searchsorted(document, [number, number + 1])
        read = {int(p): reading[first + n] for n, p in enumerate(place[first:stop])}
        nats = float(reading[first:stop, 0].sum(dtype=np.float64))
        ids = store.tokens(number).tolist()
        shown = ids[:most_tokens]
        pieces = word_texts(shown, range(len(shown)), speller.text) if shown else []
        others = None if other_nats is None else other_nats[at]
        other = None if others is None else float(np.nansum(others, dtype=np.float64))
        tokens = tuple(
            _token(piece, read.get(n), None if others is None else float(others[n]), speller)
            for n, piece in enumerate(pieces)
        )
        record = int(store.documents["record"][number])
        counts = int(stop - first), other, len(ids) - len(shown)
        texts.append(ScoredText(record, tokens, nats, *counts, name=store.record_name(record)))
    return texts


class _Speller:
    """Spells tokens; each id alone is decoded once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def one(self, token: int) -> str:
        """Return the text of a token, with the space that it begins with."""
        if token not in self._known:
            entry = str(self._tokenizer.convert_ids_to_tokens(token))
            # Byte-level BPE and SentencePiece have these for a space, which decoders drop.
            spaced = entry.startswith(("\u0120", "\u2581"))
            text = self.text([token])
            self._known[token] = f" {text}" if spaced and not text.startswith(" ") else text
        return self._known[token]


def _token(
    text: str, read: NDArray[np.float32] | None, other: float | None, speller: _Speller
) -> ScoredToken:
    if read is None:
        return ScoredToken(text, None)
    count = (len(read) - 1) // 2
    nats, ids = read[1 : 1 + count], read[1 + count :]
    alternatives = tuple(
        (speller.one(int(token)), float(np.exp(-cost)))
        for cost, token in zip(nats, ids, strict=True)
    )
    other_nats = None if other is None or np.isnan(other) else other
    return ScoredToken(text, float(read[0]), other_nats, alternatives)
