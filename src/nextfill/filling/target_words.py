"""Words that alone may fill a blank: found in the vocabulary, or refused with what is near."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nextfill.core.errors import NextfillError, nearest
from nextfill.generation.prompts import check_text

_SPACE, _WORD_START = "Ġ", "▁"
"""What byte-level vocabularies write for a space, and others before every word."""

_LONGEST_LOOKED_UP = 50
"""Characters of a word for which near ones are looked for; that takes time with its length."""


def target_ids(
    tokenizer: Any, targets: Sequence[str], *, after_space: bool
) -> tuple[int, ...] | None:
    """Return the tokens that targets stand for.

    A target stands for the token of the word with a space before it, where the blank follows a
    space and there is such a token; else for the vocabulary's entry of just this name, or the one
    token that the tokenizer makes of it.

    Source:
        transformers' pipeline knows entries only by their own names, and takes the first token of
        a target that is none.
    """
    if not targets:
        return None
    vocabulary = tokenizer.get_vocab()
    found: dict[int, None] = {}
    problems = []
    for target in targets:
        check_text(target, "target")
        spaced = _one_token(tokenizer, f" {target}") if after_space else None
        exact = vocabulary.get(target, _one_token(tokenizer, target))
        token = exact if spaced is None else spaced
        if token is None:
            problems.append(_problem(tokenizer, vocabulary, target, after_space=after_space))
        else:
            found[token] = None
    if problems:
        raise NextfillError("\n".join(problems))
    return tuple(found)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _one_token(tokenizer: Any, text: str) -> int | None:
    ids = _ids(tokenizer, text)
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def _problem(tokenizer: Any, vocabulary: dict[str, int], target: str, *, after_space: bool) -> str:
    ids = _ids(tokenizer, f" {target}" if after_space else target)
    shown = repr(target if len(target) <= _LONGEST_LOOKED_UP else target[:_LONGEST_LOOKED_UP] + "…")
    if not ids or tokenizer.unk_token_id in ids:
        told = f"The vocabulary has no token for the target {shown}"
    else:
        parts = ", ".join(repr(tokenizer.decode([token])) for token in ids[:8])
        more = f" and {len(ids) - 8} more" if len(ids) > 8 else ""
        told = f"The target {shown} is not one token but {len(ids)}: {parts}{more}"
    near = ""
    if len(target) <= _LONGEST_LOOKED_UP:
        names = (_shown(name, after_space=after_space) for name in vocabulary)
        near = nearest(target.strip() if after_space else target, dict.fromkeys(names))
    return f"{told}. Give words that are one token each.{near}"


def _shown(name: str, *, after_space: bool) -> str:
    """Return an entry as a user types it: where no space is before the blank, theirs is told."""
    if name.startswith(_SPACE):
        return name.replace(_SPACE, "" if after_space else " ", 1)
    return name.removeprefix(_WORD_START)
