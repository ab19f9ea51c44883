"""What an evaluation leaves in a run directory: each document's nats and sizes."""

from __future__ import annotations

import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextfill.core.atomic_write import write_file
from nextfill.evaluation.scores import DocumentScores, TokenScores


def scores_file(evaluations: Path, step: int, name: str | None = None) -> Path:
    """Return where an evaluation's documents lie.

    Example:
        >>> scores_file(Path("evaluations"), 12, "general").name
        'step-00000012.general.npz'
    """
    return evaluations / f"step-{step:08d}{'' if name is None else f'.{name}'}.npz"


def write_scores(file: Path, scores: DocumentScores) -> None:
    """Keep each document's nats and sizes, from which every evaluation figure follows."""
    file.parent.mkdir(exist_ok=True)
    with write_file(file, owned=True) as beside, beside.open("wb") as stream:
        np.savez(stream, **asdict(scores))


def tokens_file(evaluations: Path, step: int) -> Path:
    """Return where the nats of each held-out token lie."""
    return evaluations / f"tokens-{step:08d}.npz"


def write_tokens(file: Path, tokens: TokenScores) -> None:
    """Keep what each token cost, in half precision: for looking at, figures come from documents.

    Of each document the number of targets and of each target its place and its nats are kept: 6
    bytes a token, and 2 where the places follow one another from the first.
    """
    document, count = np.unique(tokens.document, return_counts=True)
    nats = np.minimum(tokens.nats, np.finfo(np.float16).max).astype(np.float16)
    columns: dict[str, Any] = {"document": document, "targets": count, "nats": nats}
    if not np.array_equal(tokens.place, _in_a_row(count)):
        columns["place"] = tokens.place.astype(np.uint32)
    file.parent.mkdir(exist_ok=True)
    with write_file(file, owned=True) as beside, beside.open("wb") as stream:
        np.savez(stream, **columns)


def read_tokens(file: Path) -> TokenScores | None:
    """Return what each token cost, or None where that was not kept."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            count, nats = kept["targets"], kept["nats"].astype(np.float32)
            document = np.repeat(kept["document"], count)
            place = kept["place"].astype(np.int64) if "place" in kept else _in_a_row(count)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return TokenScores(document, place, nats, np.zeros(len(nats), np.bool_))


def _in_a_row(count: NDArray[np.int64]) -> NDArray[np.int64]:
    first = np.cumsum(count) - count
    return np.arange(int(count.sum())) - np.repeat(first, count)


def read_scores(file: Path) -> DocumentScores | None:
    """Return what was kept, or None where there is nothing, or not all that is needed."""
    wanted = [item.name for item in fields(DocumentScores)]
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            return DocumentScores(**{name: kept[name] for name in wanted})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
