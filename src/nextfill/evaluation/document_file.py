"""A file of document scores, by one model or several: one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.amounts import amount
from nextfill.core.json_text import to_json
from nextfill.core.output_file import new_lines, write_error
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.scores import Decode, ScoredGroup, ScoredModel

SplitWords = Callable[[int, NDArray[np.float64]], list[dict[str, Any]]]
"""Splits a document, by its number and the nats of its tokens, ``[T]``, into words.

A word has its ``word``, its ``nats`` and its ``tokens``; joined, the words give the text that the
tokens spell.
"""


def write_documents(
    path: Path,
    store: TokenStore,
    groups: Iterator[ScoredGroup],
    split_words: SplitWords | None = None,
) -> Iterator[ScoredGroup]:
    """Yield groups of scored documents once they are in a new file, a line each.

    A line has the number of the document's record, its file if it is a whole one (``name``), its
    ``nats``, ``targets``, ``bytes``, ``characters`` and ``words``, and with ``split_words`` also
    ``words_scored``. The file consists of whole lines after an error or an interruption, and is
    removed if there are none.
    """
    done = 0
    try:
        with new_lines(path, lambda: f"{amount(done, 'document')}") as add:
            for group in groups:
                lines = [to_json(line) + "\n" for line in _lines(store, group, split_words)]
                add("".join(lines))
                done += len(lines)
                yield group
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"stopped; {path} holds {amount(done, 'document')}.") from stop


def _lines(
    store: TokenStore, group: ScoredGroup, split_words: SplitWords | None
) -> Iterator[dict[str, Any]]:
    scores = group.scores
    for at, document in enumerate(scores.document.tolist()):
        line: dict[str, Any] = {
            **_place(store, int(store.documents["record"][document])),
            "nats": float(scores.nats[at]),
            "targets": int(scores.targets[at]),
            "bytes": int(scores.bytes[at]),
            "characters": int(scores.characters[at]),
            "words": int(scores.words[at]),
        }
        if split_words is not None:
            nats = group.tokens.nats[group.tokens.of(document)]
            line["words_scored"] = split_words(document, nats.astype(np.float64))
        yield line


def _place(store: TokenStore, record: int) -> dict[str, Any]:
    name = store.record_name(record)
    return {"record": record, "name": name} if name else {"record": record}


def write_comparison(path: Path, store: TokenStore, models: Sequence[ScoredModel]) -> None:
    """Write the scores of each document by several models into a new file, a line a document.

    A model that could not score a document has null there. After an error there is no file.
    """
    numbers = np.unique(np.concatenate([one.scores.document for one in models])).tolist()
    places = [{int(d): at for at, d in enumerate(one.scores.document)} for one in models]
    lines = []
    for number in numbers:
        row = store.documents[number]
        line = _place(store, int(row["record"]))
        for key in ("nats", "targets", "bytes"):
            line[key] = {
                one.name: getattr(one.scores, key)[at[number]].item() if number in at else None
                for one, at in zip(models, places, strict=True)
            }
        lines.append(to_json(line) + "\n")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise write_error(f"--out {path}", error) from error


def word_splitter(
    store: TokenStore, word_starts: Sequence[NDArray[np.bool_]], decode: Decode
) -> SplitWords:
    """Return the function that splits documents of a store into their words.

    Args:
        store: The documents.
        word_starts: Of each shard, whether a word begins at a token, ``[tokens] bool``.
        decode: Turns ids into the text that they spell, special tokens included.
    """

    def split(document: int, nats: NDArray[np.float64]) -> list[dict[str, Any]]:
        row = store.documents[document]
        offset, shard = int(row["offset"]), int(store.shard_of(np.array([document]))[0])
        starts = word_starts[shard][offset : offset + len(nats)].copy()
        starts[0] = True
        first = np.flatnonzero(starts)
        summed = np.add.reduceat(nats, first).tolist()
        counts = np.diff(np.append(first, len(nats))).tolist()
        texts = word_texts(store.tokens(document).tolist(), first.tolist(), decode)
        return [
            {"word": text, "nats": cost, "tokens": count}
            for text, cost, count in zip(texts, summed, counts, strict=True)
        ]

    return split


def word_texts(ids: Sequence[int], first: Sequence[int], decode: Decode) -> list[str]:
    """Return the texts of words, which joined give the text of all of them.

    ``first`` has the places of the tokens that words begin with, ascending from 0.

    Example:
        >>> pieces = ["▁a", "▁", "b"]  # the space that begins a text is not part of it
        >>> decode = lambda ids: "".join(pieces[i] for i in ids).replace("▁", " ")[1:]
        >>> word_texts([0, 1, 2], [0, 1], decode)
        ['a', ' b']
    """
    text, bounds = decode(ids), [*first, len(ids)]
    # A word is its addition to the one before it: decoders treat a text's beginning apart.
    texts = [decode(ids[: bounds[1]])]
    for start, (here, stop) in zip(bounds, pairwise(bounds[1:]), strict=False):
        texts.append(decode(ids[start:stop])[len(decode(ids[start:here])) :])
    return texts if "".join(texts) == text else _aligned(ids, bounds, texts, text, decode)


def _aligned(
    ids: Sequence[int], bounds: Sequence[int], texts: Sequence[str], text: str, decode: Decode
) -> list[str]:
    """Return the texts of words where those of some, alone, differ from their part of the text.

    A character whose bytes are divided between words goes to the first of them. Words are decoded
    together until their text is in the whole one, so that the cost is linear where that is soon.
    """
    aligned: list[str] = []
    at = done = 0  # characters of the text, and words, so far
    while done < len(texts):
        if text.startswith(texts[done], at):
            aligned.append(texts[done])
            at, done = at + len(texts[done]), done + 1
            continue
        context = bounds[max(0, done - 1)]
        before = len(decode(ids[context : bounds[done]]))
        ends: list[int] = []
        for stop in bounds[done + 1 :]:
            spelled = decode(ids[context:stop])[before:]
            ends.append(at + len(spelled))
            if text.startswith(spelled, at):
                break
        else:
            ends[-1] = len(text)
        ends = np.minimum.accumulate(ends[::-1])[::-1].tolist()
        aligned += [text[start:stop] for start, stop in pairwise([at, *ends])]
        at, done = ends[-1], done + len(ends)
    aligned[-1] += text[at:]
    return aligned
