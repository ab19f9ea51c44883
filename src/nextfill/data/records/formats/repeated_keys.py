"""Keys that stand twice in one object of JSON."""

from __future__ import annotations

from nextfill.core.json_text import repeated_key
from nextfill.data.records.fields.field_errors import MOST_SEEN
from nextfill.data.records.files import warn_once

LONGEST_LOOK = 1 << 16
"""Characters of a value in which a key that stands twice is looked for."""


class RepeatedKeys:
    """Tells of a key that stands twice in an object, by the first values of a file.

    Python keeps the last of its values, as most readers do. A look at all values would take as
    long as reading them.
    """

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._left = most

    @property
    def are_looked_at(self) -> bool:
        """Whether no further value is looked at."""
        return not self._left

    def look_at(self, where: str, text: str) -> None:
        """Look at the text of a value."""
        if not self._left or len(text) > LONGEST_LOOK:
            return
        self._left -= 1
        if key := repeated_key(text):
            self._left = 0
            warn_once(
                f"{where}: {key!r} stands twice in one object: the last of its values is read",
                ["repeated key", key, text[:1000]],
            )
