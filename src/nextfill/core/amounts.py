"""Numbers with their nouns, as a person writes them."""

from __future__ import annotations


def amount(number: int, noun: str) -> str:
    """Return a number and its noun, of which the plural ends in s.

    Example:
        >>> amount(1, "block"), amount(2_000, "masked token"), amount(0, "document")
        ('1 block', '2,000 masked tokens', '0 documents')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
