"""The numbered records of files: of all, or of some that follow each other by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.document import Record, Source
from nextfill.data.records.files import File, ReadOptions, Row
from nextfill.data.records.slices import Piece, read_pieces
from nextfill.data.records.unreadable_files import UnreadableFileError, is_out_of_reach


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


def divided(
    source: Source,
    files: Sequence[File],
    options: ReadOptions,
    read_file: Callable[[ReadOptions, File], Iterator[Row]],
    most: int,
) -> list[Source]:
    """Return the records of a source's files as so many sources at most, in their order.

    Each numbers its records from 0, may have none, and has shapes of tables and counts of what is
    beside text of its own.
    """
    size = -(-len(files) // most)
    parts: list[Source] = []
    for first in range(0, len(files), size):
        group = files[first : first + size]
        own = replace(options, beside_text={}, tables=None if options.tables is None else {})
        part = replace(
            source,
            read=partial(
                _read, [*enumerate(group, first)], partial(read_file, own), len(files) > 1
            ),
            beside_text=own.beside_text,
            tables={} if own.tables is None else own.tables,
            noted_fields=set(),
            files={file.name: file.format for file in group},
            contents={},
            whole_files=(),
            check=lambda: None,
            unreadable=None,
            divided=None,
        )
        parts.append(part)
    return parts


def _read(
    files: Sequence[tuple[int, File]], read_file: Callable[[File], Iterator[Row]], several: bool
) -> Iterator[Record]:
    """Yield the records of some files, each with its place among all, which are ``several``."""
    numbers = count()
    for at, file in files:
        try:
            for where, value in read_file(file):
                yield Record(next(numbers), value, where)
        except DataError as error:
            if is_out_of_reach(error) or not several:
                raise
            raise UnreadableFileError(str(error), at) from error
