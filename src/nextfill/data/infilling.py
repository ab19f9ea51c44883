"""Training documents whose middle comes last, so that a causal model learns to fill it in.

A document is cut in two places among its characters, before anything is packed. Which documents,
in what order, and where, follows from the seed and the document's number alone: neither the batch
that it is read in nor what was read before it has a part in it. The tokens lie in a store of their
own, with the same documents under the same numbers, so that the held-out part, which stays in the
order it was written in, is told from the ordinary store.

Source: Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import InfillingConfig, Objective
from nextfill.core.errors import ConfigError
from nextfill.data.infilling_tokens import InfillingTokens, find_infilling_tokens, no_tokens
from nextfill.data.packing.order import philox
from nextfill.data.store.encoder import Encoded, Encoder
from nextfill.data.store.store_cache import join_stores
from nextfill.data.store.token_store import TokenStore

Kinds = NDArray[np.int8]

AS_IT_IS, PREFIX_FIRST, SUFFIX_FIRST, TOO_SHORT = range(4)
"""What becomes of a document."""

_DRAWS = 4
"""Random numbers of a document: one step of Philox's counter."""


@dataclass(frozen=True)
class Infilling:
    """Which documents are cut, and where.

    Args:
        tokens: The tokens around the parts.
        rate: Share of the documents.
        spm_rate: Share of these whose suffix comes first.
        min_characters: Characters of a document that is cut, at least.
        seed: Decides it all, together with a document's number.
        max_middle: Characters of a middle, at most; None, up to the whole document.

    Example:
        >>> tokens = InfillingTokens(7, 8, 9, None, ("<PRE>", "<SUF>", "<MID>"))
        >>> infilling = Infilling(tokens, rate=1.0, spm_rate=0.0, min_characters=4)
        >>> infilling.kinds(np.array([11, 3])).tolist()  # by their characters
        [1, 3]
        >>> infilling.cut("Hello world", number=0)
        ('Hell', 'o wo', 'rld')
    """

    tokens: InfillingTokens
    rate: float
    spm_rate: float
    min_characters: int
    seed: int = 0
    max_middle: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all that determines the tokens of documents, for the key of their store."""
        tokens = self.tokens
        # Without a limit the key is what it was before there was one, and so are its stores.
        limit = {} if self.max_middle is None else {"max_middle": self.max_middle}
        return {
            **limit,
            "version": 1,
            "rate": self.rate,
            "spm_rate": self.spm_rate,
            "min_characters": self.min_characters,
            "seed": self.seed,
            "tokens": [tokens.prefix, tokens.suffix, tokens.middle, tokens.end],
        }

    def kinds(self, characters: NDArray[np.integer[Any]], first: int = 0) -> Kinds:
        """Say what becomes of documents, ``[documents] int8``.

        Args:
            characters: Their lengths, ``[documents]``.
            first: Number of the first of them.
        """
        draws = _fractions(self._draws(first, len(characters)))
        of_cut = np.where(draws[:, 1] < self.spm_rate, SUFFIX_FIRST, PREFIX_FIRST)
        kinds = np.where(draws[:, 0] < self.rate, of_cut, AS_IT_IS)
        return np.where(characters < self.min_characters, TOO_SHORT, kinds).astype(np.int8)

    def cut(self, text: str, number: int) -> tuple[str, str, str]:
        """Cut a document into prefix, middle and suffix, at two places of equal chances.

        With a limit every length of a middle up to it is as likely, and then every place. Any of
        the three may be empty, as in the paper.
        """
        first, second = self._draws(number, 1)[0, 2:].tolist()
        if self.max_middle is None:
            places = len(text) + 1
            start, stop = sorted(draw * places >> 64 for draw in (first, second))
        else:
            length = first * (min(self.max_middle, len(text)) + 1) >> 64
            start = second * (len(text) - length + 1) >> 64
            stop = start + length
        return text[:start], text[start:stop], text[stop:]

    def _draws(self, first: int, count: int) -> NDArray[np.uint64]:
        """Return the random numbers of documents, ``[count, 4] uint64``."""
        bits = philox("infilling", self.seed)
        bits.advance(first)
        return bits.random_raw(_DRAWS * count).reshape(count, _DRAWS)

    def encode(self, encoder: Encoder, texts: Sequence[str], first: int) -> Encoded:
        """Encode documents, of which the first has a number, as they are trained on.

        Prefix, middle and suffix are encoded apart, so that no token spans two of them. Middle and
        suffix go on from other text: no space is put before them.
        """
        kinds = self.kinds(np.array([len(text) for text in texts], np.int64), first)
        is_cut = (kinds == PREFIX_FIRST) | (kinds == SUFFIX_FIRST)
        cuts = {at: self.cut(texts[at], first + at) for at in np.flatnonzero(is_cut).tolist()}
        begun = _rows(
            *encoder.encode([cuts[at][0] if at in cuts else one for at, one in enumerate(texts)])
        )
        later = _rows(
            *encoder.of_continuations.encode([part for one in cuts.values() for part in one[1:]])
        )
        middles = {at: later[2 * place : 2 * place + 2] for place, at in enumerate(cuts)}
        rows = []
        for at, row in enumerate(begun):
            if at in middles:
                middle, after = middles[at]
                parts = self.tokens.around(
                    (row, middle, after),
                    lambda token: np.array([token], encoder.dtype),
                    suffix_first=bool(kinds[at] == SUFFIX_FIRST),
                )
                rows.append(np.concatenate(parts))
            else:
                rows.append(row)
        lengths = np.array([len(row) for row in rows], np.int64)
        return np.concatenate([np.empty(0, encoder.dtype), *rows]), lengths


def infilling_of(
    settings: InfillingConfig,
    tokenizer: Any,
    objective: Objective | None,
    *,
    name: str,
    seed: int,
    can_add: bool = False,
) -> Infilling | None:
    """Return the infilling that settings ask for, None if they ask for none.

    Args:
        settings: The settings.
        tokenizer: A transformers tokenizer, or the facts of one.
        objective: The objective of the model that the data are for.
        name: The name of the model in messages.
        seed: Decides what is cut.
        can_add: Whether the tokenizer may be given tokens that it lacks.

    Raises:
        ConfigError: The model is masked, or the tokenizer lacks what marks the parts of a text.
    """
    if not settings.rate:
        return None
    flag = f"--fim-rate {settings.rate:g}"
    if objective == "masked":
        raise ConfigError(
            [
                f"{flag} is for causal models, and {name} is a masked one, which fills in blanks "
                "anyway: leave it out."
            ]
        )
    tokens = find_infilling_tokens(tokenizer, settings.tokens)
    if tokens is None:
        raise no_tokens(flag, name, can_add=can_add)
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise ConfigError(
            [
                f"{flag}: the tokenizer of {name} has no end token, by which a model learns where "
                "a middle ends: give one that has."
            ]
        )
    return Infilling(
        tokens,
        settings.rate,
        settings.spm_rate,
        settings.min_characters,
        seed,
        settings.max_middle,
    )


def _fractions(raw: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return numbers in [0, 1) of 53 bits each."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _rows(ids: NDArray[Any], lengths: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(ids, np.cumsum(lengths)[:-1]) if len(lengths) else []


@dataclass(frozen=True)
class Infilled:
    """The documents of a store as they are trained on, under the same numbers.

    Args:
        store: Their tokens.
        kinds: What became of each, ``[documents] int8``.
    """

    store: TokenStore
    kinds: Kinds

    @classmethod
    def none_of(cls, store: TokenStore) -> Infilled:
        """Return the documents of a store as they are."""
        return cls(store, np.full(store.num_documents, AS_IT_IS, np.int8))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, ``[documents] int64``."""
        return np.asarray(self.store.documents["tokens"], np.int64)

    def counts(
        self, documents: NDArray[np.int64], store: TokenStore, *, room: int
    ) -> dict[str, int]:
        """Count what became of training documents.

        Args:
            documents: Their numbers.
            store: The store of the documents as they are.
            room: Tokens of a document that fit into a block.
        """
        kinds, lengths = self.kinds[documents], self.lengths[documents]
        is_cut = (kinds == PREFIX_FIRST) | (kinds == SUFFIX_FIRST)
        before = np.asarray(store.documents["tokens"][documents], np.int64)
        return {
            "documents": int(is_cut.sum()),
            "prefix_first": int((kinds == PREFIX_FIRST).sum()),
            "suffix_first": int((kinds == SUFFIX_FIRST).sum()),
            "as_they_are": int((kinds == AS_IT_IS).sum()),
            "too_short": int((kinds == TOO_SHORT).sum()),
            "longer_than_a_block": int((is_cut & (lengths > room)).sum()),
            "tokens_added": int(lengths.sum() - before.sum()),
        }


def join_infilled(each: Sequence[Infilled], sources: Sequence[int]) -> Infilled:
    """Join the documents of several stores, in their order, each of a source."""
    kinds = np.concatenate([one.kinds for one in each])
    return Infilled(join_stores([one.store for one in each], sources), kinds)
