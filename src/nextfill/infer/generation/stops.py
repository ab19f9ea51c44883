"""Stop strings: where a text ends, and how much of it can be shown while it grows.

Found in the text and not in the tokens, so that it does not matter how a stop string falls into
tokens. The prompt does not count, nor does a stop string that begins in it.
"""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str], start: int = 0) -> int | None:
    r"""Return where the stop string begins that is complete first, or None.

    Args:
        text: A continuation.
        stops: The stop strings, none empty.
        start: Characters of the text within which none may end.

    Returns:
        The length of the text to keep. What it is does not change as the text grows.

    Example:
        >>> cut("one\n\ntwo", ["two", "\n\n"])
        3
    """
    found = []
    for stop in stops:
        at = text.find(stop, max(0, start - len(stop) + 1))
        if at >= 0:
            found.append((at + len(stop), at))
    return min(found)[1] if found else None


def settled(text: str, stops: Sequence[str]) -> int:
    r"""Return how much of a text without stop strings none can begin in any more.

    Example:
        >>> settled("one\n", ["\n\n"])
        3
    """
    longest = max((len(stop) for stop in stops), default=0)
    for at in range(max(0, len(text) - longest + 1), len(text)):
        if any(stop.startswith(text[at:]) for stop in stops):
            return at
    return len(text)
