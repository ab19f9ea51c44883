"""Documents that begin with a context: their tokens, and what of their sizes is the context's.

Context and text are encoded apart, so that no token spans the two: the ids of the context are those
that a prompt has at generation, and the first token of the text is predicted from the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nextfill.data.document import Document
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.token_store import CONTEXT
from nextfill.data.word_counts import count_words


def context_rows(batch: Sequence[Document]) -> NDArray[np.void] | None:
    """Return rows of `CONTEXT` without tokens; None where documents have no contexts."""
    if not any(document.context is not None for document in batch):
        return None
    contexts = [document.text[: document.context or 0] for document in batch]
    learnt = [document.text[document.context or 0 :].encode() for document in batch]
    rows = np.zeros(len(batch), CONTEXT)
    rows["bytes"] = [len(context.encode()) for context in contexts]
    rows["characters"] = [len(context) for context in contexts]
    # A word that both share is the text's.
    rows["words"] = count_words([one.text.encode() for one in batch]) - count_words(learnt)
    return rows


def encode_apart(
    encoder: Encoder, batch: Sequence[Document]
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64], NDArray[np.int64]]:
    """Encode the context and the text of documents apart.

    Returns:
        The ids of all documents in a row, ``[tokens]``; the tokens of each document, and those of
        its context, ``[documents] int64``.
    """
    cut = [document.context or 0 for document in batch]
    contexts, in_contexts = encoder.encode([d.text[:at] for d, at in zip(batch, cut, strict=True)])
    texts = [d.text[at:] for d, at in zip(batch, cut, strict=True)]
    goes_on = in_contexts > 0
    first, in_first = encoder.encode(
        [text for text, on in zip(texts, goes_on, strict=True) if not on]
    )
    later, in_later = encoder.of_continuations.encode(
        [text for text, on in zip(texts, goes_on, strict=True) if on]
    )
    in_texts = np.empty(len(batch), np.int64)
    in_texts[goes_on], in_texts[~goes_on] = in_later, in_first
    ids = np.empty(len(contexts) + len(first) + len(later), encoder.dtype)
    lengths = np.stack([in_contexts, in_texts], axis=1).reshape(-1)
    # Of each document the part that a position belongs to: its context, or a text of either kind.
    kinds = np.stack([np.zeros(len(batch), np.int64), 1 + goes_on], axis=1).reshape(-1)
    kind = np.repeat(kinds, lengths)
    ids[kind == 0], ids[kind == 1], ids[kind == 2] = contexts, first, later
    return ids, in_contexts + in_texts, in_contexts
