"""Read documents token by token: what each token costs, and the likeliest ones in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Precision
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.document_file import word_texts
from nextfill.evaluation.length_batches import read_rows
from nextfill.evaluation.read_text import ReadText, ReadToken
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.loss import nats_and_likeliest
from nextfill.models.step import StepModule
from nextfill.objectives.scored_rows import ScoredRows


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
) -> list[ReadText]:
    """Read documents token by token.

    Args:
        module: The step module around the model.
        loaded: The model and its tokenizer.
        store: The documents.
        rows: Their rows, with the targets.
        documents: Their numbers, ascending.
        alternatives: Likeliest tokens to tell at each place.
        most_tokens: Tokens of a document to tell.
        batch_size: Rows per forward pass at most.
        precision: ``fp32`` or ``bf16``.
        other_nats: Of each document what each token costs another model, NaN where it is not
            predicted, ``[T]``.

    Returns:
        The texts, in the order of the documents.
    """
    document, place, found = read_rows(
        module,
        rows,
        nats_and_likeliest(alternatives),
        batch_size=batch_size,
        device=loaded.device,
        precision=precision,
    )
    spelled = _Spelled(loaded.tokenizer)
    texts = []
    for at, number in enumerate(documents):
        first, stop = np.searchsorted(document, [number, number + 1])
        read = {int(p): found[first + n] for n, p in enumerate(place[first:stop])}
        nats = float(found[first:stop, 0].sum(dtype=np.float64))
        ids = store.tokens(number).tolist()
        shown = ids[:most_tokens]
        pieces = word_texts(shown, range(len(shown)), spelled.text) if shown else []
        others = None if other_nats is None else other_nats[at]
        other = None if others is None else float(np.nansum(others, dtype=np.float64))
        tokens = tuple(
            _token(piece, read.get(n), None if others is None else float(others[n]), spelled)
            for n, piece in enumerate(pieces)
        )
        record = int(store.documents["record"][number])
        left_out = len(ids) - len(shown)
        texts.append(ReadText(record, tokens, nats, int(stop - first), other, left_out))
    return texts


class _Spelled:
    """Spells tokens, each id decoded once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def one(self, token: int) -> str:
        """Return what a token adds to a text, the space that it begins with included."""
        if token not in self._known:
            entry = self._tokenizer.convert_ids_to_tokens(token)
            spaced = str(entry).startswith(("\u0120", "\u2581"))  # what byte-level BPE and
            text = self.text([token])  # SentencePiece write for a space; decoders drop it
            self._known[token] = f" {text}" if spaced and not text.startswith(" ") else text
        return self._known[token]


def _token(
    text: str, read: NDArray[np.float32] | None, other: float | None, spelled: _Spelled
) -> ReadToken:
    if read is None:
        return ReadToken(text, None)
    count = (len(read) - 1) // 2
    nats, ids = read[1 : 1 + count], read[1 + count :]
    alternatives = tuple(
        (spelled.one(int(token)), float(np.exp(-cost)))
        for cost, token in zip(nats, ids, strict=True)
    )
    known = None if other is None or np.isnan(other) else other
    return ReadToken(text, float(read[0]), known, alternatives)
