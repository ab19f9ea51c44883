"""Question and answer records of unique text, as JSON lines of any size.

Sentences of the documentation of Python are drawn, and a fifth of their words are others, so that
no two documents are the same and no cache of documents is of use. The same size and seed give the
same bytes; 100 MB take two to three seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
REPLACED = 0.2
"""Share of a sentence's words that are others."""

ROWS_AT_ONCE = 500
TITLE_CHARACTERS = 80


class UniqueText:
    """A source of texts, each of some sentences with words replaced."""

    def __init__(self, seed: int) -> None:
        import nextfill

        rows = nextfill.read_records("builtin:stdlib-docs")
        texts = (text for row in rows for text in row["answers"]["text"])
        sentences = [
            one.split() for text in texts for one in SENTENCE_END.split(text) if one.strip()
        ]
        self._sizes = np.array([len(one) for one in sentences])
        self._begins = np.cumsum(self._sizes) - self._sizes
        self._words = np.array([word for one in sentences for word in one], object)
        self._random = np.random.default_rng(seed)

    def texts(self, sentences: np.ndarray) -> list[str]:
        """Return texts of so many sentences each, ``[texts]``."""
        drawn = self._random.integers(len(self._sizes), size=int(sentences.sum()))
        sizes = self._sizes[drawn]
        ends = np.cumsum(sizes)
        place = np.arange(ends[-1]) + np.repeat(self._begins[drawn] - (ends - sizes), sizes)
        replaced = np.flatnonzero(self._random.random(len(place)) < REPLACED)
        place[replaced] = self._random.integers(len(self._words), size=len(replaced))
        words = self._words[place].tolist()
        stops = ends[np.cumsum(sentences) - 1].tolist()
        return [
            " ".join(words[start:stop]) for start, stop in zip([0, *stops], stops, strict=False)
        ]

    def rows(self) -> Iterator[tuple[str, list[str], list[int]]]:
        """Yield titles with their answers and the scores of these, without an end."""
        while True:
            answers = self._random.integers(1, 5, ROWS_AT_ONCE)
            last = np.cumsum(answers).tolist()
            titles = self.texts(np.ones(ROWS_AT_ONCE, int))
            texts = self.texts(self._random.integers(2, 13, last[-1]))
            scores = self._random.integers(1, 91, last[-1]).tolist()
            for title, start, stop in zip(titles, [0, *last], last, strict=False):
                yield title[:TITLE_CHARACTERS], texts[start:stop], scores[start:stop]


def write_rows(path: Path, megabytes: float, seed: int = 0) -> None:
    """Write records with so many million characters of answers."""
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for number, (title, texts, scores) in enumerate(UniqueText(seed).rows()):
            answers = {"text": texts, "score": scores}
            row = {"q_id": f"q{number}", "title": title, "answers": answers}
            file.write(json.dumps(row) + "\n")
            written += sum(map(len, texts))
            if written >= megabytes * 1e6:
                return
