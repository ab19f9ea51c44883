"""Texts token by token where there are no colours: the dearest words, with their nats beside them.

A number behind every token leaves nothing to read, so that they stand behind whole words, and
behind a tenth of these at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nextfill.core.streams import printable
from nextfill.evaluation.token_view import ScoredToken, drawn_tokens
from nextfill.rendering.result_cards import CHANGE_LEVELS, COST_LEVELS

LONGEST_WORD = 24
"""Characters from which on a word ends with a token: not all languages put spaces between words."""

MARKED = 0.1
"""Most words of a text that have a number, as a share."""

LEAST_COST, LEAST_CHANGE = COST_LEVELS[2], CHANGE_LEVELS[1]
"""Nats of a word, and of its change, below which it has none."""


@dataclass(frozen=True)
class _Word:
    """A word with the white space around it, and its nats, or their change."""

    text: str
    number: float | None


def marked_text(tokens: Sequence[ScoredToken], *, compared: bool) -> str:
    """Return a text with the nats of its dearest words in brackets behind these.

    Args:
        tokens: The tokens of the text.
        compared: Whether the numbers are changes of the nats, the largest of either sign.

    Example:
        >>> tokens = [ScoredToken(" sto", 3.0), ScoredToken("rm", 2.5), ScoredToken(" and", 0.5)]
        >>> marked_text(tokens, compared=False)
        ' storm [5.5] and'
    """
    words = list(_words(tokens, compared=compared))
    least = LEAST_CHANGE if compared else LEAST_COST
    sizes = {at: abs(one.number) for at, one in enumerate(words) if one.number is not None}
    most = max(1, round(MARKED * len(words)))
    dearest = sorted((at for at in sizes if sizes[at] >= least), key=lambda at: -sizes[at])[:most]
    return "".join(
        _marked(one, "+" if compared else "") if at in dearest else one.text
        for at, one in enumerate(words)
    )


def marks_legend(other: str | None) -> str:
    """Return what the numbers in brackets mean, beside another model's where it is named."""
    if other is None:
        return (
            "In brackets behind a word: its nats, the more the less the model expected it; the "
            f"dearest tenth of the words have them, where {LEAST_COST:g} or more."
        )
    return (
        f"In brackets behind a word: its nats less those by {printable(other)}, so above 0 where "
        "it is dearer; the tenth of the words that differ most have them, where "
        f"{LEAST_CHANGE:g} or more."
    )


def _words(tokens: Sequence[ScoredToken], *, compared: bool) -> Iterator[_Word]:
    """Yield the words of a text, of which each begins with the white space before it."""
    text, number = "", None
    for token, _ in drawn_tokens(tokens):
        begins = token.text[:1].isspace() or text[-1:].isspace() or len(text) >= LONGEST_WORD
        if text.strip() and begins:
            yield _Word(printable(text), number)
            text, number = "", None
        text += token.text
        own = token.change if compared else token.nats
        if own is not None:
            number = own + (number or 0)
    yield _Word(printable(text), number if text.strip() else None)


def _marked(word: _Word, sign: str) -> str:
    text = word.text.rstrip()
    return f"{text} [{word.number:{sign}.1f}]{word.text[len(text) :]}"
