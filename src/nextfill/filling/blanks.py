"""Texts with blanks: found, turned into tokens, and refused with the place they stand at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from nextfill.core.errors import NextfillError
from nextfill.generation.prompts import PromptText, check_text, listed
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.tokenizer import mask_id_of
from nextfill.rendering.result_cards import answer_text

BLANK = "___"
"""The blank that needs no quotes in a shell."""

_SPELLINGS = ("<mask>", r"\[MASK\]", "_{3,}")


@dataclass(frozen=True)
class Blanks:
    """A text with blanks, as a model takes it.

    Args:
        text: The text as it was given.
        pieces: What stands before, between and after the blanks: one piece more than blanks.
        ids: Its token ids, with those that the tokenizer's own call puts around a text.
        places: Where among them the masks stand; at least one.
        after_space: Of each blank, whether the space before it belongs to it, so that its answers
            begin with one where the vocabulary tells such words apart.
    """

    text: str
    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    places: tuple[int, ...]
    after_space: tuple[bool, ...]


def check_blanks(loaded: LoadedModel, text: str) -> None:
    """Refuse a text that has no blank, or that the model cannot take."""
    encode_blanks(loaded, [PromptText(text)])


def encode_blanks(
    loaded: LoadedModel, texts: Sequence[PromptText], answer_tokens: int = 1
) -> list[Blanks]:
    """Find the blanks of texts, refusing at once all texts that cannot be used."""
    mask_id_of(loaded.tokenizer, loaded.name)
    found: list[Blanks] = []
    refused: list[str] = []
    for item in texts:
        try:
            found.append(_encode(loaded, item.text, answer_tokens))
        except NextfillError as error:
            refused.append(f"{item.where}: {error}" if item.where else str(error))
    if refused:
        raise NextfillError(listed(refused))
    return found


def _encode(loaded: LoadedModel, text: str, answer_tokens: int) -> Blanks:
    check_text(text, "text")
    tokenizer = loaded.tokenizer
    spellings = "|".join([re.escape(tokenizer.mask_token), *_SPELLINGS])
    marked, count = re.subn(spellings, lambda _: tokenizer.mask_token, text)
    call = tokenizer(marked, return_offsets_mapping=True, verbose=False)
    ids, spans = call["input_ids"], call["offset_mapping"]
    places = [at for at, token in enumerate(ids) if token == tokenizer.mask_token_id]
    _check_found(loaded, text, len(places), count)
    _check_length(loaded, len(ids), len(places), answer_tokens)
    ends = [0, *accumulate((stop for _, stop in spans), max)]
    pieces, after_space, end = [], [], 0
    for at in places:
        start, stop = spans[at]
        # A mask token may take the space before it, or after it, for its own.
        inner = marked[start:stop]
        start, stop = stop - len(inner.lstrip()), start + len(inner.rstrip())
        after_space.append(ends[at] < start and marked[start - 1] == " ")
        pieces.append(marked[end:start])
        end = stop
    pieces.append(marked[end:])
    return Blanks(text, tuple(pieces), tuple(ids), tuple(places), tuple(after_space))


def _check_found(loaded: LoadedModel, text: str, masks: int, blanks: int) -> None:
    kinds = dict.fromkeys([loaded.tokenizer.mask_token, "<mask>", "[MASK]"])
    spelt = f"{', '.join(kinds)} or {BLANK}"
    if not text.strip():
        raise NextfillError(f"The text is empty: give one with a blank, which is {spelt}.")
    if not max(masks, blanks):
        raise NextfillError(
            f"There is no blank in the text: put {spelt} where something is to be filled in."
        )
    if masks < blanks:
        raise NextfillError(
            f"The tokenizer of {loaded.name} finds {masks} of {blanks} blanks: put spaces around "
            "each."
        )


def _check_length(loaded: LoadedModel, length: int, masks: int, answer_tokens: int) -> None:
    limit = loaded.max_positions
    if limit is None or length + answer_tokens - 1 <= limit:
        return
    found = f"The text has {length} tokens, {masks} of them blank"
    if length > limit:
        raise NextfillError(f"{found}; the model has {limit} positions: give a shorter text.")
    raise NextfillError(
        f"{found}, and an answer may have {answer_tokens}; the model has {limit} positions: give "
        f"--answer-tokens {limit - length + 1} at most, or a shorter text."
    )


def filled_text(blanks: Blanks, answers: Sequence[str]) -> str:
    """Return the text as it was given, with answers in brackets in the place of its blanks."""
    told = [f"[{answer_text(answer)}]" for answer in answers]
    return "".join(a + b for a, b in zip(blanks.pieces, [*told, ""], strict=True))
