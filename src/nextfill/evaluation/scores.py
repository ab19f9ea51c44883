"""Scores of documents and tokens, nats and counts before any sum of them, and their files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nextfill.config import Objective, PseudoMetric
from nextfill.core.atomic_write import write_file
from nextfill.core.errors import DataError
from nextfill.data.store.token_store import TokenStore

NOTHING_TO_SCORE = (
    "The documents have no token to score: give more text, or longer; to a masked model also a "
    "higher --mask-rate, or another --mask-seed."
)

REPLACEMENT = "\ufffd"
"""A decoder's sign for incomplete bytes of a character."""

MOST_BYTES_OF_A_CHARACTER = 4
LOOK_AHEAD = 8
"""Tokens within which the text goes on after the first, or after its character."""

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""Errors of a file of scores that is missing, damaged, or from an older version."""

Decode = Callable[[Sequence[int]], str]
"""Turns ids into the text that they spell."""


@dataclass(frozen=True)
class DocumentScores:
    """Nats of documents, and their sizes in every unit; all arrays are ``[D]``.

    Args:
        document: Number of the document in its store, int64.
        nats: Summed negative log-likelihood, float64.
        targets: Tokens scored, int64.
        bytes: UTF-8 bytes of the text scored, int64.
        characters: Characters scored, int64.
        words: Words, separated by white space, int64.
        correct: Tokens scored that the model thought likeliest, int64.
    """

    document: NDArray[np.int64]
    nats: NDArray[np.float64]
    targets: NDArray[np.int64]
    bytes: NDArray[np.int64]
    characters: NDArray[np.int64]
    words: NDArray[np.int64]
    correct: NDArray[np.int64]

    def __getitem__(self, some: NDArray[np.bool_]) -> DocumentScores:
        """Return the scores of some documents, chosen by a mask ``[D] bool``."""
        return DocumentScores(**{f.name: getattr(self, f.name)[some] for f in fields(self)})


@dataclass(frozen=True)
class TokenScores:
    """Nats of targets, in the order of the documents; all arrays are ``[N]``.

    Args:
        document: Number of its document in the store, ascending, int64.
        place: Its position among the tokens of its document, from 0, int64; ascending in each.
        nats: Its negative log-likelihood, float32, as computed.
        correct: Whether the model thought it likeliest.
    """

    document: NDArray[np.int64]
    place: NDArray[np.int64]
    nats: NDArray[np.float32]
    correct: NDArray[np.bool_]

    def of(self, document: int) -> slice:
        """Return the range of the targets of a document."""
        first, stop = np.searchsorted(self.document, [document, document + 1]).tolist()
        return slice(first, stop)

    def spread(self, document: int, length: int) -> NDArray[np.float32]:
        """Return the nats of each token of a document, ``[length]``; NaN for all but targets."""
        here = self.of(document)
        nats = np.full(length, np.nan, np.float32)
        nats[self.place[here]] = self.nats[here]
        return nats


@dataclass(frozen=True)
class ScoredGroup:
    """The scores of some whole documents and of their tokens; one without a target has none."""

    scores: DocumentScores
    tokens: TokenScores


@dataclass(frozen=True)
class ScoredModel:
    """A model and the scores of its documents.

    Args:
        name: The user's name of it.
        objective: ``causal`` or ``masked``.
        tokenizer: Fingerprint of its tokenizer.
        scores: Its documents.
        pseudo_metric: The way in which tokens were hidden one by one, if they were.
        tokens: Its tokens, for 21 bytes of memory each; None where nobody needs them.
    """

    name: str
    objective: Objective
    tokenizer: str
    scores: DocumentScores
    pseudo_metric: PseudoMetric | None = None
    tokens: TokenScores | None = None


_Scores = TypeVar("_Scores", DocumentScores, TokenScores)


def join_scores(parts: Sequence[DocumentScores]) -> DocumentScores:
    """Join the scores of groups of documents, refusing those without a single target."""
    if not any(len(part.document) for part in parts):
        raise DataError(NOTHING_TO_SCORE)
    return _join(parts)


def join_tokens(parts: Sequence[TokenScores]) -> TokenScores:
    """Join the targets of groups of documents."""
    return _join(parts)


def _join(parts: Sequence[_Scores]) -> _Scores:
    kind = type(parts[0])
    names = [field.name for field in fields(kind)]
    return kind(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def sum_by_document(store: TokenStore, tokens: TokenScores) -> DocumentScores:
    """Add up the targets of each document, in float64; its sizes are those of what is learnt."""
    numbers, row = np.unique(tokens.document, return_inverse=True)
    most = len(numbers)
    nats = np.zeros(most)
    np.add.at(nats, row, tokens.nats)
    documents, contexts = store.documents[numbers], store.contexts
    size, characters, words = (
        documents[unit].astype(np.int64) - (0 if contexts is None else contexts[unit][numbers])
        for unit in ("bytes", "characters", "words")
    )
    return DocumentScores(
        document=numbers,
        nats=nats,
        targets=np.bincount(row, minlength=most),
        bytes=size,
        characters=characters,
        words=words,
        correct=np.bincount(row[tokens.correct], minlength=most),
    )


def without_first(scores: DocumentScores, store: TokenStore, decode: Decode) -> DocumentScores:
    """Subtract the text of each document's first token, which has no context, from its sizes.

    Where the record's own context stands before its text, nothing is subtracted.
    """
    contexts = store.contexts
    unscored = [
        _size_of_first(store.tokens(number), decode)
        if contexts is None or contexts["tokens"][number] == 0
        else (0, 0, 0)
        for number in scores.document.tolist()
    ]
    size, characters, words = np.array(unscored, np.int64).reshape(-1, 3).T
    return replace(
        scores,
        bytes=scores.bytes - size,
        characters=scores.characters - characters,
        words=scores.words - words,
    )


def _size_of_first(ids: NDArray[np.unsignedinteger], decode: Decode) -> tuple[int, int, int]:
    """Measure the text of a document's first token in bytes, characters and words.

    A character of several tokens leaves whole with the first of them; a word that the second token
    goes on with does not count.
    """
    most = min(len(ids), MOST_BYTES_OF_A_CHARACTER)
    pieces = (decode(ids[:count].tolist()) for count in range(1, most + 1))
    first = next((piece for piece in pieces if REPLACEMENT not in piece), None)
    if first is None:  # the text itself has that character, or the vocabulary lacks the first
        first = decode(ids[:1].tolist())
    rest = decode(ids[:LOOK_AHEAD].tolist())[len(first) :]
    goes_on = bool(first and rest) and not first[-1].isspace() and not rest[0].isspace()
    return len(first.encode()), len(first), len(first.split()) - goes_on


def scores_file(evaluations: Path, step: int, name: str | None = None) -> Path:
    """Return the path of an evaluation's document scores; no ``name`` means the held-out part.

    Example:
        >>> scores_file(Path("evaluations"), 12, "general").name
        'step-00000012.general.npz'
    """
    return evaluations / f"step-{step:08d}{'' if name is None else f'.{name}'}.npz"


def tokens_file(evaluations: Path, step: int) -> Path:
    """Return the path of an evaluation's token scores, of the held-out part."""
    return evaluations / f"tokens-{step:08d}.npz"


def write_scores(file: Path, scores: DocumentScores) -> None:
    """Write each document's nats and sizes, from which every evaluation figure follows."""
    _write(file, asdict(scores))


def write_tokens(file: Path, tokens: TokenScores) -> None:
    """Write the nats of each token in half precision, for display; figures come from documents.

    Of each document the file has the number of targets, and of each target its place and its nats:
    6 bytes a token, and 2 where the places follow one another from the first.
    """
    document, count = np.unique(tokens.document, return_counts=True)
    nats = np.minimum(tokens.nats, np.finfo(np.float16).max).astype(np.float16)
    columns: dict[str, Any] = {"document": document, "targets": count, "nats": nats}
    if not np.array_equal(tokens.place, _consecutive(count)):
        columns["place"] = tokens.place.astype(np.uint32)
    _write(file, columns)


def _write(file: Path, columns: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    with write_file(file, owned=True) as beside, beside.open("wb") as stream:
        np.savez(stream, **columns)


def read_tokens(file: Path) -> TokenScores | None:
    """Return the nats of each token, or None without a readable file."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as columns:
            count, nats = columns["targets"], columns["nats"].astype(np.float32)
            document = np.repeat(columns["document"], count)
            place = columns["place"].astype(np.int64) if "place" in columns else _consecutive(count)
    except _UNREADABLE:
        return None
    return TokenScores(document, place, nats, np.zeros(len(nats), np.bool_))


def _consecutive(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places 0, 1, 2, ... of each document's targets."""
    first = np.cumsum(count) - count
    return np.arange(int(count.sum())) - np.repeat(first, count)


def read_scores(file: Path) -> DocumentScores | None:
    """Return each document's nats and sizes, or None without a readable file of all of them."""
    names = [item.name for item in fields(DocumentScores)]
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as columns:
            return DocumentScores(**{name: columns[name] for name in names})
    except _UNREADABLE:
        return None
