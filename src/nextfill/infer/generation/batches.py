"""Which texts are made together: rows of like length, for a result that is the same as alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nextfill.infer.generation.draw import prompt_key
from nextfill.infer.prompts import Prompt
from nextfill.models.batching import Batching


@dataclass(frozen=True)
class Row:
    """One row of a batch: a prompt, and which of its texts is made.

    Args:
        number: The prompt's place among the prompts.
        prompt: The prompt.
        sample: Number of the text among all of this prompt, from 0, for the random numbers.
    """

    number: int
    prompt: Prompt
    sample: int


def make_rows(prompts: Sequence[Prompt], per_prompt: int, seen: Counter[int]) -> list[Row]:
    """Return the rows of some prompts, numbering the texts of a prompt that comes again on.

    Args:
        prompts: The prompts.
        per_prompt: Rows for each of them.
        seen: Texts so far, by `prompt_key`; is counted up.
    """
    rows = []
    for number, prompt in enumerate(prompts):
        key = prompt_key(prompt.ids)
        rows += [Row(number, prompt, seen[key] + n) for n in range(per_prompt)]
        seen[key] += per_prompt
    return rows


def like_length(rows: Sequence[Row], size: int, way: Batching) -> Iterator[list[Row]]:
    """Yield batches of rows, longest first, so that little is padded.

    Args:
        rows: At least one row.
        size: Rows of a batch at most.
        way: What the model allows.
    """
    size = 1 if way == "alone" else size
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: -len(row.prompt.ids)):
        other_length = batch and len(row.prompt.ids) != len(batch[0].prompt.ids)
        if len(batch) == size or (other_length and way == "equal"):
            yield batch
            batch = []
        batch.append(row)
    yield batch
