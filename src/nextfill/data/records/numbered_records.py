"""The numbered records of files: of all, or of some that follow each other by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.document import Record
from nextfill.data.records.files import Row
from nextfill.data.records.slices import Piece, read_pieces


def by_number(rows: Iterator[Row], name: str) -> Iterator[Row]:
    """Name records by their number: nobody saw the lines of a file that live data were put into."""
    return ((f"{name} (record {n})", value) for n, (_, value) in enumerate(rows))


def numbered(
    name: str, split: str | None, pieces: tuple[Piece, ...], rows: Callable[[str], Iterator[Row]]
) -> Iterator[Record]:
    """Yield the rows of the pieces as numbered records; none at all is an error."""
    number = -1
    for number, (where, value) in enumerate(read_pieces(pieces, rows)):
        yield Record(number, value, where)
    if number < 0:
        total = sum(1 for _ in rows(pieces[0].split))
        effect = f", so --split {split!r} selects none" if split and total else ""
        raise DataError(
            f"{name}: holds {amount(total, 'record') if total else 'no records'}{effect}."
        )
