"""Answers of several tokens: so many masks, filled most confident first, by beams.

For each length up to the longest, the blank becomes that many masks. Of every beam the model is
asked about all masks that are left, and the one that it is surest of is filled, in as many ways as
there are beams; the likeliest of all ways are the next beams. Lengths are compared by the mean
log-probability of a token, each taken when it was filled.

Source:
    Jiang et al. 2020, X-FACTR, section 4: confidence order and its choice of a length. We keep
    several beams where it keeps one, and leave out its second pass over what is filled.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from nextfill.filling.blanks import Blanks
from nextfill.filling.candidates import Candidate, Candidates, Masked

Span = tuple[float, tuple[int, ...]]
"""An answer: the mean log-probability of its tokens, in nats, and their ids."""


@dataclass(frozen=True)
class _Beam:
    """An answer that is partly found: None where a mask is left."""

    tokens: tuple[int | None, ...]
    nats: float = 0.0

    @property
    def left(self) -> list[int]:
        return [at for at, token in enumerate(self.tokens) if token is None]


def find_spans(
    candidates: Candidates,
    blanks: Sequence[tuple[Blanks, int]],
    *,
    top_k: int,
    answer_tokens: int,
) -> list[list[Span]]:
    """Find the likeliest answers of up to so many tokens."""
    found: list[list[Span]] = [[] for _ in blanks]
    for length in range(1, answer_tokens + 1):
        for spans, beams in zip(found, _search(candidates, blanks, length, top_k), strict=True):
            for beam in beams:
                tokens = tuple(token for token in beam.tokens if token is not None)
                spans.append((beam.nats / length, tokens))
    return [heapq.nlargest(top_k, spans, key=lambda span: span[0]) for spans in found]


def _search(
    candidates: Candidates, blanks: Sequence[tuple[Blanks, int]], length: int, top_k: int
) -> list[list[_Beam]]:
    special = set(candidates.loaded.tokenizer.all_special_ids) if length > 1 else set()
    beams = [[_Beam((None,) * length)] for _ in blanks]
    for _ in range(length):
        rows = [
            _masked(candidates, text, number, beam)
            for (text, number), some in zip(blanks, beams, strict=True)
            for beam in some
        ]
        options = iter(candidates(rows, top_k + len(special)))
        # No two ways are alike: beams that part do so in the mask that both were surest of.
        ways = [
            [way for beam in some for way in _ways(beam, next(options), special)] for some in beams
        ]
        beams = [heapq.nlargest(top_k, some, key=lambda way: way.nats) for some in ways]
    return beams


def _masked(candidates: Candidates, text: Blanks, number: int, beam: _Beam) -> Masked:
    mask = candidates.loaded.tokenizer.mask_token_id
    at = text.places[number]
    inner = [mask if token is None else token for token in beam.tokens]
    places = tuple(at + left for left in beam.left)
    return Masked((*text.ids[:at], *inner, *text.ids[at + 1 :]), places, (None,) * len(places))


def _ways(beam: _Beam, options: Sequence[Sequence[Candidate]], special: set[int]) -> list[_Beam]:
    """Return a beam with its surest mask filled, in every way."""
    allowed = [[option for option in mask if option[1] not in special] for mask in options]
    surest = max(range(len(allowed)), key=lambda n: allowed[n][0][0])
    at = beam.left[surest]
    return [
        _Beam((*beam.tokens[:at], token, *beam.tokens[at + 1 :]), beam.nats + nats)
        for nats, token in allowed[surest]
    ]
