"""Numbers with their nouns, and types with their articles, as a person writes them."""

from __future__ import annotations

_VOWELS = "aeiou"


def amount(number: int, noun: str) -> str:
    """Return a number and its noun, of which the plural is regular.

    Example:
        >>> amount(1, "block"), amount(2_000, "masked token"), amount(0, "entry")
        ('1 block', '2,000 masked tokens', '0 entries')
    """
    return f"{number:,} {_plural(noun, number)}"


def part_of(number: int, whole: int, noun: str) -> str:
    """Return how many there are of a whole, whose number the noun goes by.

    Example:
        >>> part_of(0, 1, "document"), part_of(1, 2_000, "document")
        ('0 of 1 document', '1 of 2,000 documents')
    """
    return f"{number:,} of {amount(whole, noun)}"


def verb(number: int, singular: str, plural: str) -> str:
    """Return the form of a verb that goes with a number of things.

    Example:
        >>> verb(1, "stands", "stand"), verb(0, "is", "are")
        ('stands', 'are')
    """
    return singular if number == 1 else plural


def with_article(value: object) -> str:
    """Return the name of a value's type with its article; None and bytes have none.

    Example:
        >>> with_article([]), with_article(3), with_article(None)
        ('a list', 'an int', 'None')
    """
    name = type(value).__name__
    if isinstance(value, bytes | None):
        return "None" if value is None else name
    return noun_with_article(name)


def noun_with_article(noun: str) -> str:
    """Return a noun with its article.

    Example:
        >>> noun_with_article("HDF5 file"), noun_with_article("Excel workbook")
        ('an HDF5 file', 'an Excel workbook')
    """
    is_spelt = noun[0] == "H" and noun[1:2].isupper()  # aitch
    return f"{'an' if noun[0].lower() in _VOWELS or is_spelt else 'a'} {noun}"


def _plural(noun: str, number: int) -> str:
    if number == 1:
        return noun
    if noun.endswith("y") and noun[-2:-1] not in _VOWELS:
        return f"{noun[:-1]}ies"
    return f"{noun}s"
