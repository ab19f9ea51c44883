"""The text that a model and its exported form are compared on: Python's documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nextfill.core.amounts import amount
from nextfill.core.errors import ModelError
from nextfill.generation.prompts import encode_prompts, name_prompts
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.tokenizer import mask_id_of

NAME = "Python's documentation"
NUM_ROWS, NUM_PROMPTS, NEW_TOKENS = 8, 50, 16
NOT_SCORED = -1

_LENGTH = 128
_CHARACTERS = 3000
"""Of a piece of text for a row; 128 tokens take some 500."""
_WORDS = 8
_EVERY = 7
"""One in so many tokens is hidden from a masked model."""


@dataclass(frozen=True)
class ComparisonText:
    """Texts as token ids.

    Args:
        rows: Texts to score, each of one length.
        targets: The tokens that are predicted at the places of each row, or `NOT_SCORED`.
        prompts: Beginnings to continue, of a causal model; texts with a hidden token, of a masked.
        num_bytes: Bytes of the tokens that are scored; None of a masked model.
    """

    rows: tuple[tuple[int, ...], ...]
    targets: tuple[tuple[int, ...], ...]
    prompts: tuple[tuple[int, ...], ...]
    num_bytes: int | None

    @property
    def places(self) -> int:
        """The number of tokens that are scored."""
        return sum(one != NOT_SCORED for row in self.targets for one in row)


def texts(num_characters: int) -> Iterator[str]:
    """Yield pieces of Python's documentation, which every machine with Python has.

    They are ASCII alone: llama.cpp tells no odds of a token that is half a character.
    """
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", "ignore").decode()
    for start in range(0, len(text), num_characters):
        yield text[start : start + num_characters]


def comparison_text(loaded: LoadedModel) -> ComparisonText:
    """Return the text for a model, as its tokenizer has it.

    Raises:
        ModelError: If the tokenizer makes too few tokens of it.
    """
    limit = loaded.max_positions
    length = _LENGTH if limit is None else min(_LENGTH, limit)
    rows = []
    for piece in texts(_CHARACTERS):
        ids = _ids(loaded.tokenizer, piece, length)
        rows += [tuple(ids)] if len(ids) == length else []
        if len(rows) == NUM_ROWS:
            break
    else:
        raise ModelError(
            f"The tokenizer of {loaded.name} makes too few tokens of {NAME} to compare an "
            f"exported model on: found {amount(len(rows), 'row')} of {length}, expected {NUM_ROWS}."
        )
    causal = loaded.objective == "causal"
    return _causal(loaded, rows, length) if causal else _masked(loaded, rows, length)


def _ids(tokenizer: Any, text: str, length: int) -> list[int]:
    found = tokenizer(text, truncation=True, max_length=length, verbose=False)["input_ids"]
    return [int(one) for one in found]


def _beginnings() -> list[str]:
    """Return the first words of sentences, each of another kind."""
    found = dict.fromkeys(
        " ".join(words[:_WORDS])
        for piece in texts(_CHARACTERS)
        if len(words := re.sub(r"^\S*\s", "", piece).split()) >= _WORDS
    )
    return [*found][:NUM_PROMPTS]


def _causal(loaded: LoadedModel, rows: list[tuple[int, ...]], length: int) -> ComparisonText:
    new = min(NEW_TOKENS, length // 2)
    beginnings = _fitting(loaded, _beginnings(), length - new)
    prompts = encode_prompts(loaded, name_prompts(beginnings), new)
    decoded = [loaded.tokenizer.decode(list(row[1:])) for row in rows]
    return ComparisonText(
        tuple(rows),
        tuple((*row[1:], NOT_SCORED) for row in rows),
        tuple(prompt.ids for prompt in prompts),
        sum(len(text.encode("utf-8", "replace")) for text in decoded),
    )


def _fitting(loaded: LoadedModel, beginnings: Sequence[str], most: int) -> list[str]:
    """Return beginnings of so few words that a model of few positions can go on with them."""
    fitting = []
    for text in beginnings:
        words = text.split()
        while len(words) > 1 and len(loaded.tokenizer(" ".join(words))["input_ids"]) > most - 2:
            words.pop()
        fitting.append(" ".join(words))
    return fitting


def _masked(loaded: LoadedModel, rows: list[tuple[int, ...]], length: int) -> ComparisonText:
    mask, special = mask_id_of(loaded.tokenizer, loaded.name), set(loaded.tokenizer.all_special_ids)
    hidden, targets = [], []
    for row in rows:
        chosen = {at for at in range(3, length, _EVERY) if row[at] not in special}
        hidden.append(tuple(mask if at in chosen else one for at, one in enumerate(row)))
        targets.append(tuple(one if at in chosen else NOT_SCORED for at, one in enumerate(row)))
    prompts = []
    for text in _beginnings():
        ids = _ids(loaded.tokenizer, text, length)
        ids[min(len(ids) - 1, 3)] = mask
        prompts.append(tuple(ids))
    return ComparisonText(tuple(hidden), tuple(targets), tuple(prompts), None)
