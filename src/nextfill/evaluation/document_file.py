"""Write what each document costs into a file as it is scored, one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.errors import NextfillError
from nextfill.core.json_text import to_json
from nextfill.data.store.token_store import TokenStore
from nextfill.evaluation.comparison import ScoredModel
from nextfill.evaluation.scores import ScoredGroup

Decode = Callable[[Sequence[int]], str]


def written_documents(
    path: Path,
    store: TokenStore,
    groups: Iterator[ScoredGroup],
    words: Callable[[int, NDArray[np.float64]], list[dict[str, Any]]] | None = None,
) -> Iterator[ScoredGroup]:
    """Hand groups of scored documents on, each written first.

    Args:
        path: A new file; taken away again if not one document is written.
        store: The documents.
        groups: What they cost.
        words: Takes the number of a document and the nats of its tokens apart into its words.

    Yields:
        The groups. Each document is a line: its number in the data as ``record``, its ``nats``,
        ``targets``, ``bytes``, ``characters`` and ``words``, and with ``words`` also
        ``words_scored``.
    """
    done = size = 0
    with _reported(path, done):
        file = path.open("xb", buffering=0)  # nothing is left to be written when it is closed
    try:
        for group in groups:
            lines = [to_json(line) + "\n" for line in _lines(store, group, words)]
            data = "".join(lines).encode()
            with _reported(path, done):
                _write(file, data)
            done, size = done + len(lines), size + len(data)
            yield group
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"stopped; {path} holds {done} documents.") from stop
    finally:
        file.truncate(size)  # the last line may be there in part
        file.close()
        if done == 0:
            path.unlink(missing_ok=True)


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


@contextmanager
def _reported(path: Path, done: int) -> Iterator[None]:
    """Say of a file that cannot be written how many documents it holds."""
    try:
        yield
    except OSError as error:
        raise NextfillError(
            f"--out {path} cannot be written: {error.strerror or error}. It holds {done} documents."
        ) from error


def _lines(
    store: TokenStore,
    group: ScoredGroup,
    words: Callable[[int, NDArray[np.float64]], list[dict[str, Any]]] | None,
) -> Iterator[dict[str, Any]]:
    scores = group.scores
    for at, document in enumerate(scores.document.tolist()):
        line: dict[str, Any] = {
            "record": int(store.documents["record"][document]),
            "nats": float(scores.nats[at]),
            "targets": int(scores.targets[at]),
            "bytes": int(scores.bytes[at]),
            "characters": int(scores.characters[at]),
            "words": int(scores.words[at]),
        }
        if words is not None:
            nats = group.tokens.nats[group.tokens.of(document)]
            line["words_scored"] = words(document, nats.astype(np.float64))
        yield line


def write_compared(path: Path, store: TokenStore, models: Sequence[ScoredModel]) -> None:
    """Write what each document costs several models, one JSON object a line."""
    numbers = np.unique(np.concatenate([one.scores.document for one in models])).tolist()
    places = [{int(d): at for at, d in enumerate(one.scores.document)} for one in models]
    lines = []
    for number in numbers:
        row = store.documents[number]
        line: dict[str, Any] = {"record": int(row["record"])}
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
        raise NextfillError(
            f"--out {path} cannot be written: {error.strerror or error}."
        ) from error


def words_of(
    store: TokenStore, word_starts: Sequence[NDArray[np.bool_]], decode: Decode
) -> Callable[[int, NDArray[np.float64]], list[dict[str, Any]]]:
    """Return a function that takes the nats of a document's tokens apart into its words.

    Args:
        store: The documents.
        word_starts: Of each shard, whether a word begins at a token, ``[tokens] bool``.
        decode: Turns ids into the text that they spell, special tokens included.

    Returns:
        A function from a document's number and the nats of its tokens, ``[T] float64``, to its
        words: ``word``, which joined give the text that the tokens spell; ``nats``; ``tokens``.
    """

    def words(document: int, nats: NDArray[np.float64]) -> list[dict[str, Any]]:
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

    return words


def word_texts(ids: Sequence[int], first: Sequence[int], decode: Decode) -> list[str]:
    """Return the texts of words, which joined give the text of all of them.

    Example:
        >>> pieces = ["▁a", "▁", "b"]  # the space that begins a text is not part of it
        >>> decode = lambda ids: "".join(pieces[i] for i in ids).replace("▁", " ")[1:]
        >>> word_texts([0, 1, 2], [0, 1], decode)
        ['a', ' b']
    """
    text, bounds = decode(ids), [*first, len(ids)]
    # A word is what it adds to the one before it: decoders treat a text's beginning apart.
    texts = [decode(ids[: bounds[1]])]
    for start, (here, stop) in zip(bounds, pairwise(bounds[1:]), strict=False):
        texts.append(decode(ids[start:stop])[len(decode(ids[start:here])) :])
    return texts if "".join(texts) == text else _aligned(ids, bounds, texts, text, decode)


def _aligned(
    ids: Sequence[int], bounds: Sequence[int], texts: Sequence[str], text: str, decode: Decode
) -> list[str]:
    """Return the texts of words where those of some, alone, are not what stands in the whole text.

    A character whose bytes are divided between words goes to the first of them. Words are decoded
    together until what they spell is in the text, so that the cost is linear where that is soon.
    """
    found: list[str] = []
    at = done = 0  # characters of the text, and words, that are accounted for
    while done < len(texts):
        if text.startswith(texts[done], at):
            found.append(texts[done])
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
        found += [text[start:stop] for start, stop in pairwise([at, *ends])]
        at, done = ends[-1], done + len(ends)
    found[-1] += text[at:]
    return found
