"""Files divided among readers: whole ones that follow each other, and ranges of large ones.

A range begins where one reading would begin a record, too: after the end of a line, after a blank
line where documents are paragraphs, with a row group of Parquet. What one reading knows from lines
before is had otherwise: numbers of lines are counted once a message needs them, and what is looked
at in the first records of a file is in its first range.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, pairwise
from typing import BinaryIO

from nextfill.core.errors import DataError
from nextfill.data.document import Record, Source
from nextfill.data.records.fields.field_errors import MOST_SEEN
from nextfill.data.records.files import File, ReadOptions, Row
from nextfill.data.records.formats.column_tables import row_groups
from nextfill.data.records.formats.compression import reading
from nextfill.data.records.formats.file_formats import txt_mode
from nextfill.data.records.formats.repeated_keys import LONGEST_LOOK
from nextfill.data.records.formats.text_lines import count_lines
from nextfill.data.records.range_stream import FileRange, range_stream
from nextfill.data.records.unreadable_files import UnreadableFileError, is_out_of_reach

LEAST_BYTES = 1 << 24
"""The least of a file that is worth a reader of its own."""

_PIECE = 1 << 16
_LINE_END = re.compile(rb"\n")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LONGEST_END = 3

Piece = tuple[int, File]
"""A file, or a range of one, with the file's place among all of the source."""


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
    groups = _groups(files, options, most)
    return [_part(source, group, options, read_file, len(files) > 1) for group in groups]


def _part(
    source: Source,
    pieces: Sequence[Piece],
    options: ReadOptions,
    read_file: Callable[[ReadOptions, File], Iterator[Row]],
    several: bool,
) -> Source:
    """Return some pieces of a source, of ``several`` files or one, as a source."""
    own = replace(options, beside_text={}, tables=None if options.tables is None else {})
    part = replace(
        source,
        read=partial(_read, pieces, partial(read_file, own), several),
        beside_text=own.beside_text,
        tables={} if own.tables is None else own.tables,
        noted_fields=set(),
        files={file.name: file.format for _, file in pieces},
        contents={},
        whole_files=(),
        check=lambda: None,
        unreadable=None,
        divided=None,
    )
    if all(file.range is None or file.range.before is not None for _, file in pieces):
        return part

    def recounted() -> Source:
        counted = [(at, _with_lines_before(file)) for at, file in pieces]
        return _part(source, counted, options, read_file, several)

    return replace(part, recounted=recounted)


def _read(
    pieces: Sequence[Piece], read_file: Callable[[File], Iterator[Row]], several: bool
) -> Iterator[Record]:
    numbers = count()
    for at, file in pieces:
        try:
            for where, value in read_file(_confined(file)):
                yield Record(next(numbers), value, where)
        except DataError as error:
            if is_out_of_reach(error) or not several:
                raise
            raise UnreadableFileError(str(error), at) from error


@dataclass(frozen=True)
class _Sized:
    """A piece and its bytes."""

    piece: Piece
    size: int


def _groups(files: Sequence[File], options: ReadOptions, most: int) -> list[list[Piece]]:
    """Divide files among so many readers at most: by their number, where none is large."""
    sizes = [_size(file) for file in files]
    # One group may be left over, of what is smaller than each of the others.
    target = max(LEAST_BYTES, -(-sum(sizes) // max(1, most - 1)))
    sized: list[_Sized] = []
    for at, (file, size) in enumerate(zip(files, sizes, strict=True)):
        ranges = _ranges(file, size, options, target) if size > target and most > 1 else []
        sized += [_Sized((at, one), its) for one, its in ranges or [(file, size)]]
    if len(sized) == len(files):
        each = -(-len(files) // most)
        whole = [*enumerate(files)]
        return [whole[first : first + each] for first in range(0, len(files), each)]
    groups: list[list[Piece]] = [[]]
    room = target
    for one in sized:
        if room <= 0:
            groups.append([])
            room = target
        groups[-1].append(one.piece)
        room -= one.size
    return groups


def _size(file: File) -> int:
    """Return the bytes of a file as it is stored; 0 where that is not known before reading."""
    if not file.seeks:
        return 0
    try:
        with reading(file.name), file.raw() as stream:
            return stream.seek(0, io.SEEK_END) if stream.seekable() else 0
    except DataError:  # told by whoever reads it
        return 0


def _ranges(file: File, size: int, options: ReadOptions, target: int) -> list[tuple[File, int]]:
    """Return the ranges of a file, with their bytes, of about ``target`` each; or none."""
    if file.compression or file.encoding:
        return []
    try:
        if file.format == "parquet":
            return _ranges_of_rows(file, row_groups(file), target)
        by_line = file.format == "jsonl" or (
            file.format in ("txt", "md") and txt_mode(options, file.format) == "line"
        )
        by_paragraph = (
            file.format in ("txt", "md") and txt_mode(options, file.format) == "paragraph"
        )
        if by_line or by_paragraph:
            mark = _LINE_END if by_line else _BLANK_LINE
            with reading(file.name), file.raw() as stream:
                least = _end_of_first_lines(stream) if file.format == "jsonl" else 0
                cuts = _cuts(stream, size, mark, least, target)
            return _ranges_of_lines(file, [0, *cuts, size]) if cuts else []
    except DataError:  # told by whoever reads it
        pass
    return []


def _ranges_of_rows(
    file: File, groups: Sequence[tuple[int, int]], target: int
) -> list[tuple[File, int]]:
    found: list[tuple[File, int]] = []
    begin = rows = before = size = 0
    for number, (of_group, its) in enumerate(groups):
        rows, size = rows + of_group, size + its
        if size >= target or number == len(groups) - 1:
            one = FileRange(begin, number + 1, before)
            found.append((replace(file, range=one), size))
            begin, before, size = number + 1, rows, 0
    return found if len(found) > 1 else []


def _ranges_of_lines(file: File, places: Sequence[int]) -> list[tuple[File, int]]:
    ranges = [FileRange(begin, end, None if begin else 0) for begin, end in pairwise(places)]
    return [(replace(file, range=one), one.end - one.begin) for one in ranges]


def _confined(file: File) -> File:
    """Return a file whose stream is its range, if it has one of lines."""
    to = file.range
    if to is None or file.format == "parquet":
        return file
    return replace(file, raw=lambda: range_stream(file.raw(), to.begin, to.end))


def _with_lines_before(file: File) -> File:
    """Return a range with the lines before it counted."""
    if file.range is None or file.range.before is not None:
        return file
    before = _confined(replace(file, range=FileRange(0, file.range.begin, 0)))
    return replace(file, range=replace(file.range, before=count_lines(before)))


def _end_of_first_lines(stream: BinaryIO) -> int:
    """Return where the lines end in which a reader looks for keys that stand twice."""
    left = MOST_SEEN
    for line in stream:
        left -= bool(line.strip()) and len(line) <= LONGEST_LOOK
        if not left:
            break
    return stream.tell()


def _cuts(
    stream: BinaryIO, size: int, mark: re.Pattern[bytes], least: int, target: int
) -> list[int]:
    """Return the bytes, about ``target`` apart, after a mark; none before ``least``."""
    cuts: list[int] = []
    aim = max(target, least)
    while aim < size:
        cut = _after_mark(stream, aim, mark)
        if cut is None or cut >= size:
            break
        cuts.append(cut)
        aim = cut + target
    return cuts


def _after_mark(stream: BinaryIO, aim: int, mark: re.Pattern[bytes]) -> int | None:
    """Return the byte after the first mark from ``aim`` on; None where there is none."""
    stream.seek(aim)
    held = b""
    while piece := stream.read(_PIECE):
        held += piece
        if found := mark.search(held):
            return aim + found.end()
        kept = held[-_LONGEST_END:]  # a mark may be divided between two pieces
        aim += len(held) - len(kept)
        held = kept
    return None
