"""Sources of the built-in corpora."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial

from nextfill.config.prefixes import BUILTIN
from nextfill.data.document import Record, Source
from nextfill.data.records.slices import read_pieces, resolve


def open_builtin(spec: str, split: str | None) -> Source:
    """Make the source of built-in corpora, which hold whole modules out as ``test``."""
    from nextfill.data.corpora import builtin

    names = builtin.parse_names(spec.removeprefix(BUILTIN))
    pieces = resolve(
        split or "train", ["train", "test"], lambda s: sum(1 for _ in builtin.records(names, s))
    )
    determines = [
        (builtin.fingerprint(names, piece.split), piece.start, piece.stop) for piece in pieces
    ]

    def read() -> Iterator[Record]:
        rows = read_pieces(pieces, partial(builtin.records, names))
        for number, record in enumerate(rows):
            yield Record(number, record.value, record.where)

    digest = hashlib.sha256(json.dumps(determines).encode()).hexdigest()
    return Source(
        spec, digest, read, builtin.TEXT_FIELD, has_test_split=True, default_join=builtin.JOIN
    )
