"""Blanks in texts, and the target words that alone may fill them, as tokens of a masked model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from nextfill.core.amounts import part_of
from nextfill.core.errors import NextfillError, nearest
from nextfill.generation.prompts import PromptText, check_text, encode_each
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.tokenizer import mask_id_of
from nextfill.rendering.result_cards import answer_text

BLANK = "___"
"""The blank that needs no quotes in a shell."""

_SPELLINGS = ("<mask>", r"\[MASK\]", "_{3,}")

_SPACE, _WORD_START, _GOES_ON = "Ġ", "▁", "##"
"""A space in byte-level vocabularies, and the mark before every word in others."""

_LONGEST_LOOKED_UP = 50
_SHORTEST_NEAR = 4
"""Characters of a target for which near entries are searched, in a time that grows with them."""


@dataclass(frozen=True)
class Blanks:
    """A text with blanks, ready for a model.

    Args:
        text: The text of the user.
        pieces: Its parts before, between and after the blanks: one piece more than blanks.
        ids: Its token ids, with those that the tokenizer's own call puts around a text.
        places: Positions of the masks among them; at least one.
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


_LONGEST_ANSWER = 8
"""Tokens up to which an answer of several is worth a hint."""


def encode_blanks(
    loaded: LoadedModel, texts: Sequence[PromptText], answer_tokens: int = 1
) -> list[Blanks]:
    """Find the blanks of texts, refusing at once all unusable texts.

    A blank is the model's own mask token, ``<mask>``, ``[MASK]``, or three underscores or more;
    answers of ``answer_tokens`` must fit into the model's positions.
    """
    mask_id_of(loaded.tokenizer, loaded.name)  # refuses a tokenizer without one
    return encode_each(texts, lambda text: _encode(loaded, text, answer_tokens))


def _encode(loaded: LoadedModel, text: str, answer_tokens: int) -> Blanks:
    check_text(text, "text")
    tokenizer = loaded.tokenizer
    spellings = "|".join([re.escape(tokenizer.mask_token), *_SPELLINGS])
    marked, count = re.subn(spellings, lambda _: tokenizer.mask_token, text)
    call = tokenizer(marked, return_offsets_mapping=True, verbose=False)
    ids, spans = call["input_ids"], call["offset_mapping"]
    places = [at for at, token in enumerate(ids) if token == tokenizer.mask_token_id]
    _check_masks(loaded, text, len(places), count)
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


def _check_masks(loaded: LoadedModel, text: str, masks: int, blanks: int) -> None:
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
            f"The tokenizer of {loaded.name} finds {part_of(masks, blanks, 'blank')}: put spaces "
            "around "
            "each."
        )


def _check_length(loaded: LoadedModel, length: int, masks: int, answer_tokens: int) -> None:
    limit = loaded.max_positions
    if limit is None or length + answer_tokens - 1 <= limit:
        return
    count = f"The text has {length} tokens, {masks} of them blank"
    if length > limit:
        raise NextfillError(f"{count}; the model has {limit} positions: give a shorter text.")
    raise NextfillError(
        f"{count}, and an answer may have {answer_tokens}; the model has {limit} positions: give "
        f"--answer-tokens {limit - length + 1} at most, or a shorter text."
    )


def filled_text(blanks: Blanks, answers: Sequence[str]) -> str:
    """Return the text of the user with answers in brackets in the place of its blanks."""
    shown = [f"[{answer_text(answer)}]" for answer in answers]
    return "".join(a + b for a, b in zip(blanks.pieces, [*shown, ""], strict=True))


def target_ids(
    tokenizer: Any, targets: Sequence[str], *, after_space: bool
) -> tuple[int, ...] | None:
    """Return the tokens of targets without repeats, or None, for all tokens, without targets.

    A target means the token of the word with a space before it, where the blank follows a space and
    there is such a token; else the vocabulary's entry of just this name, or the one token that the
    tokenizer makes of it. All that are not one token are refused at once, with near entries.

    Source:
        transformers' pipeline knows entries only by their own names, and takes the first token of
        a target that is none.
    """
    if not targets:
        return None
    vocabulary = tokenizer.get_vocab()
    tokens: dict[int, None] = {}
    problems = []
    for target in targets:
        check_text(target, "target")
        spaced = _one_token(tokenizer, f" {target}") if after_space else None
        exact = vocabulary.get(target, _one_token(tokenizer, target))
        token = exact if spaced is None else spaced
        if token is None:
            problems.append(_target_problem(tokenizer, vocabulary, target, after_space=after_space))
        else:
            tokens[token] = None
    if problems:
        raise NextfillError("\n".join(problems))
    return tuple(tokens)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _one_token(tokenizer: Any, text: str) -> int | None:
    ids = _ids(tokenizer, text)
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def _target_problem(
    tokenizer: Any, vocabulary: dict[str, int], target: str, *, after_space: bool
) -> str:
    ids = _ids(tokenizer, f" {target}" if after_space else target)
    shown = repr(target if len(target) <= _LONGEST_LOOKED_UP else target[:_LONGEST_LOOKED_UP] + "…")
    if not ids or tokenizer.unk_token_id in ids:
        problem = f"The vocabulary has no token for the target {shown}"
    else:
        parts = ", ".join(repr(tokenizer.decode([token])) for token in ids[:8])
        more = f" and {len(ids) - 8} more" if len(ids) > 8 else ""
        problem = f"The target {shown} is not one token but {len(ids)}: {parts}{more}"
    near = ""
    if len(target) <= _LONGEST_LOOKED_UP:
        wanted = target.strip() if after_space else target
        names = (_as_typed(name, after_space=after_space) for name in _words_of(vocabulary))
        # A piece of the target is near by its letters, and no word that anybody means.
        long = dict.fromkeys(one for one in names if len(one.strip()) >= _SHORTEST_NEAR)
        near = nearest(wanted, long)
    if not 1 < len(ids) <= _LONGEST_ANSWER:
        return f"{problem}. Give words that are one token each.{near}"
    command = f"--answer-tokens {len(ids)}"
    return (
        f"{problem}. Give words that are one token each.{near} Answers may have so many where no "
        f"targets are given; in the place of --targets type: {command}"
    )


def _words_of(vocabulary: Iterable[str]) -> Iterable[str]:
    """Return the entries that begin a word, where a vocabulary marks these or the others."""
    begun = [name for name in vocabulary if name.startswith((_SPACE, _WORD_START))]
    return begun or [name for name in vocabulary if not name.startswith(_GOES_ON)]


def _as_typed(name: str, *, after_space: bool) -> str:
    """Return an entry as a user types it, with its space where the blank follows none."""
    if name.startswith(_SPACE):
        return name.replace(_SPACE, "" if after_space else " ", 1)
    return name.removeprefix(_WORD_START)
