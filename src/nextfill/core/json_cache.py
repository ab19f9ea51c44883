"""What the cache remembers: small JSON files that are believed only while they are whole.

Each holds what it is about, so that one in another's place is not believed, and a checksum of
itself. What is not there, or not whole, is worked out again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from nextfill.core.checksums import canonical_json, is_whole, sealed
from nextfill.core.shared_folders import make_folder, write_for_group

_ABOUT = "about"
_FACTS = "facts"

UNREADABLE = (OSError, ValueError, RecursionError)
"""What reading JSON raises where the file is not there, or holds something else."""


def remember(file: Path, about: object, facts: object) -> None:
    """Write facts down; where that cannot be done, they are worked out again next time."""
    text = json.dumps(sealed({_ABOUT: about, _FACTS: facts}))
    with suppress(OSError):
        make_folder(file.parent)
        with write_for_group(file) as beside:
            beside.write_text(text, encoding="utf-8")


def recall(file: Path, about: object) -> Any:
    """Return the facts of `remember`, None where gone, damaged or about another thing."""
    try:
        known = json.loads(file.read_bytes())
    except UNREADABLE:
        return None
    if not is_whole(known) or canonical_json(known.get(_ABOUT)) != canonical_json(about):
        return None
    return known.get(_FACTS)
