"""Ranges of a file hold, one after another, the records and the errors of one reading."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.document import Source
from nextfill.data.records import file_ranges
from nextfill.data.records.file_ranges import divided
from nextfill.data.records.file_readers import READERS
from nextfill.data.records.files import File, ReadOptions, Row, local_file
from nextfill.data.records.formats import text_lines
from tests.properties import examples

Read = Callable[[ReadOptions, File], Iterator[Row]]


def read_file(options: ReadOptions, file: File) -> Iterator[Row]:
    return READERS[file.format](file, options)


def parts_of(
    files: Sequence[File], options: ReadOptions, most: int, least: int = 1
) -> Sequence[Source]:
    source = Source("data", "", lambda: iter(()), None, has_test_split=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_ranges, "LEAST_BYTES", least)
        return divided(source, files, options, read_file, most)


def until_error(read: Callable[[], Iterator[Any]]) -> tuple[list[Any], str]:
    """Return what is read, and the error that ends it."""
    found: list[Any] = []
    try:
        found.extend(read())
    except DataError as error:
        return found, str(error)
    return found, ""


def assert_same(files: Sequence[File], options: ReadOptions, most: int) -> int:
    """Compare one reading with that of parts; return the number of parts."""
    rows, error = until_error(lambda: (row for one in files for row in read_file(options, one)))
    parts = parts_of(files, options, most)
    assert len(parts) <= most
    found: list[Any] = []
    told = ""
    for part in parts:
        records, told = until_error(part.read)
        assert [one.number for one in records] == [*range(len(records))]
        again, counted = until_error((part.recounted() if part.recounted else part).read)
        assert [one.value for one in again] == [one.value for one in records]
        found += [(one.where, one.value) for one in again]
        if told:
            told = counted
            break
    assert found == rows
    assert told == error
    return len(parts)


PIECES = [b"a", b"b c", b" ", b"\t", b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\r\n", b"\x0b"]
FAULTS = ["é".encode(), b"\xef\xbb\xbf", b"\x1a", b"\xff", b"\0", b"\xff\xfe", "\u2028".encode()]
LINES = [b'{"text": "a"}', b'"b"', b"", b" ", b'{"a": 1, "a": 2}', b"1", b"{", b'{"n": 1e400}']


@examples(300)
@given(
    st.lists(st.sampled_from([*PIECES * 4, *FAULTS]), max_size=60).map(b"".join),
    st.sampled_from(["line", "paragraph"]),
    st.integers(1, 9),
    st.integers(1, 8),
)
def test_text_by_lines_and_paragraphs(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, mode: Any, most: int, block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "ranges.txt"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_ranges, "_PIECE", block)
        patch.setattr(text_lines, "_BUFFER_BYTES", block)
        assert_same([local_file(path, "ranges.txt", "txt", "")], ReadOptions(txt=mode), most)


@examples(200)
@given(
    st.lists(st.sampled_from([*LINES[:4] * 6, *LINES]), max_size=40),
    st.sampled_from([b"\n", b"\r\n"]),
    st.integers(1, 9),
    st.booleans(),
)
def test_lines_of_json(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    end: bytes,
    most: int,
    strings_only: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "ranges.jsonl"
    path.write_bytes(end.join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_ranges, "MOST_SEEN", 3)
        options = ReadOptions(strings_only=strings_only)
        assert_same([local_file(path, "ranges.jsonl", "jsonl", "")], options, most)


@pytest.mark.parametrize("most", [1, 2, 3, 8, 50])
def test_row_groups_of_parquet(tmp_path: Path, most: int) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"text": f"{n} oaks", "n": n} for n in range(1000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=90)
    files = [local_file(path, "a.parquet", "parquet", "")]
    number = assert_same(files, ReadOptions(fields=("text",)), most)
    assert number == {1: 1, 2: 1}.get(most, number)
    assert (number > 1) == (most > 2)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 40] = b"\xff" * 40
    path.write_bytes(damaged)
    assert_same(files, ReadOptions(fields=("text",)), most)
    path.write_bytes(damaged[:-200])
    assert_same(files, ReadOptions(fields=("text",)), most)


def test_large_files_among_small_ones(tmp_path: Path) -> None:
    files = []
    for number, lines in enumerate([3, 900, 2, 0, 700, 5, 1]):
        path = tmp_path / f"{number}.txt"
        path.write_text("".join(f"line {n} of {number}\n" for n in range(lines)))
        files.append(local_file(path, path.name, "txt", ""))
    assert_same(files, ReadOptions(txt="line"), 12)
    parts = parts_of(files, ReadOptions(txt="line"), 12)
    assert 8 < len(parts) <= 12
    (tmp_path / "4.txt").write_bytes(b"a\n" * 3000 + b"\xff\n")
    (tmp_path / "6.txt").write_bytes(b"\0")
    errors = []
    for part in parts_of(files, ReadOptions(txt="line"), 12):
        if until_error(part.read)[1]:
            assert part.recounted is not None
            errors.append(until_error(part.recounted().read)[1])
    assert errors[0].startswith("4.txt:3001: not UTF-8 (byte 0xff)")


def test_what_no_range_can_be_read_of_is_one_part(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a line\n" * 500)
    (tmp_path / "b.csv").write_text('text\n"a\nb"\n' * 500)
    plain = local_file(tmp_path / "a.txt", "a.txt", "txt", "")
    table = local_file(tmp_path / "b.csv", "b.csv", "csv", "")
    assert len(parts_of([plain], ReadOptions(txt="line"), 8)) == 7
    assert len(parts_of([plain], ReadOptions(txt="file"), 8)) == 1
    assert len(parts_of([plain], ReadOptions(txt="paragraph"), 8)) == 1  # it is one
    assert len(parts_of([table], ReadOptions(), 8)) == 1
    assert len(parts_of([plain], ReadOptions(txt="line"), 8, least=4000)) == 1


def test_a_key_that_stands_twice_is_told_as_in_one_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "a"}'] * 900
    files = [local_file(path, "a.jsonl", "jsonl", "")]
    for at, number in ((99, 1), (100, 0), (700, 0)):
        lines[at] = '{"text": "a", "text": "b"}'
        path.write_text("\n".join(lines))
        caplog.clear()
        with caplog.at_level(logging.WARNING, "nextfill"):
            parts = parts_of(files, ReadOptions(), 20)
            for part in parts:
                [*part.read()]
        assert len(parts) > 8
        assert len(caplog.messages) == number
        lines[at] = '{"text": "a"}'
