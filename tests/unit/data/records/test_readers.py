from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.records.file_formats import format_by_name
from nextfill.data.records.files import File, ReadOptions, local_file
from nextfill.data.records.json_records import read_json
from nextfill.data.records.sources import READERS, open_source
from nextfill.data.records.text_and_csv import read_txt

TRICKY = [
    "",
    "a\r\nb",
    "a\nb\rc",
    "x\u2028y\u2029z\x85",
    "🦊é",
    ' "quoted", ',
    "\ufeffbom",
    "\\",
    "\x1c",
]
TEXTS = st.lists(st.text() | st.sampled_from(TRICKY), min_size=1, max_size=6)


def write(path: Path, texts: list[str]) -> None:
    rows = [{"id": str(i), "text": text} for i, text in enumerate(texts)]
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix == "jsonl":
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    elif suffix == "json":
        content = json.dumps(rows, ensure_ascii=False, indent=1).encode()
    elif suffix == "csv":
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, ["id", "text"])
        writer.writeheader()
        writer.writerows(rows)
        content = out.getvalue().encode()
    else:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        content = sink.getvalue()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def texts_of(path: Path) -> list[str]:
    return [record.value["text"] for record in open_source(str(path)).read()]


def file_at(path: Path) -> File:
    return local_file(path, path.name, *format_by_name(path.name))


def values_of(path: Path, **options: str) -> list[object]:
    file = file_at(path)
    return [value for _, value in READERS[file.format](file, ReadOptions(**options))]


def fail(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        values_of(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_any_text_comes_back_as_it_was(suffix, packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")

    @settings(max_examples=30, deadline=None)
    @given(TEXTS)
    def check(texts):
        path = folder / f"x{suffix}{packed}"
        # CSV knows no NUL; and the writer leaves a lone \r as it is, which is read so, too.
        texts = [t.replace("\0", "") for t in texts] if suffix == ".csv" else texts
        write(path, texts)
        assert texts_of(path) == texts

    check()


@given(TEXTS, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_json_in_any_pieces(texts, piece):
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, piece) if size >= 0 else size)

    from nextfill.data.records.json_records import json_values

    values = [{"t": text, "n": [1, -2.5e3, None, True, float("-inf")]} for text in texts]
    for ascii_only in (True, False):
        raw = json.dumps(values, ensure_ascii=ascii_only, indent=piece % 3 or None).encode()
        assert [value for _, value, _ in json_values(Trickle(raw), "x")] == values


def test_txt_modes(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n \t\r\n\r\n  three\n\xe2\x80\xa8four")
    assert values_of(path) == ["one\ntwo", "  three\n\u2028four"]
    assert values_of(path, txt="line") == ["one", "two", " \t", "", "  three", "\u2028four"]
    assert values_of(path, txt="file") == ["one\r\ntwo\r\n \t\r\n\r\n  three\n\u2028four"]
    wheres = [where for where, _ in read_txt(file_at(path), ReadOptions())]
    assert wheres == ["x.txt:1", "x.txt:5"]


LINES = ["Entry 1.", "The tide\u2028turned\x85 at\x0b\x0c\x1c one.", "", "Entry 2.", "It fell."]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\r\n", "mixed"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_as_in_python_and_at_nothing_else(tmp_path, ends, last):
    order = ["\r", "\r\n", "\n", "\r\r\n"] if ends == "mixed" else [ends] * 4
    text = "".join(map("".join, zip(LINES, [*order, "\n" if last else ""], strict=True)))
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode())
    assert values_of(path, txt="line") == LINES
    assert values_of(path, txt="paragraph") == ["\n".join(LINES[:2]), "\n".join(LINES[3:])]
    assert values_of(path, txt="file") == [text]
    assert [where for where, _ in read_txt(file_at(path), ReadOptions())] == ["x.txt:1", "x.txt:4"]
    path.write_bytes(text.encode() + order[0].encode() + b"\xff")
    assert f"x.txt:{6 + last}: not UTF-8" in fail(path, txt="line")
    assert f"x.txt:{6 + last}: not UTF-8" in fail(path, txt="file")
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        rows = [f"id{mark}text", f"1{mark}a", f'2{mark}"b{order[1]}c"', f"3{mark}d"]
        path = tmp_path / f"x{suffix}"
        path.write_bytes("".join(map("".join, zip(rows, order, strict=True))).encode())
        assert [row["text"] for row in values_of(path)] == ["a", f"b{order[1]}c", "d"]
    path = tmp_path / "x.jsonl"
    path.write_bytes("".join(f'{{"text": "{n}"}}{end}' for n, end in enumerate(order)).encode())
    assert values_of(path) == [{"text": str(n)} for n in range(4)]
    path = tmp_path / "x.json"
    path.write_bytes(f'[{{"text":{order[0]}"a"}}{order[1]},{order[2]}"b"]{order[3]}'.encode())
    assert values_of(path) == [{"text": "a"}, "b"]


def test_line_ends_across_blocks_and_in_great_number(tmp_path):
    path = tmp_path / "x.txt"
    for size in range((1 << 17) - 4, (1 << 17) + 1):
        for end in (b"\r", b"\r\n", b"\r\r\n"):
            path.write_bytes(b"x" * size + end + b"y" + end)
            assert values_of(path, txt="line") == ["x" * size, "y"]
    path.write_bytes(b"\r" * 300_001 + b"end")
    assert len(values_of(path, txt="line")) == 300_002
    path.write_bytes(b"one\r" * 100_000 + b"\0")
    assert "x.txt:100001: found a NUL" in fail(path, txt="line")


def test_a_control_z_ends_a_file_as_dos_has_it(tmp_path):
    for suffix, content, values in (
        (".txt", b"one\r\n\r\ntwo\r\n\x1a", ["one", "two"]),
        (".jsonl", b'{"text": "a"}\r\n\x1a', [{"text": "a"}]),
        (".csv", b"id,text\r\n1,a\r\n\x1a", [{"id": "1", "text": "a"}]),
        (".txt", b"a \x1a b\n\n\x1a\n", ["a \x1a b", "\x1a"]),
    ):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(content)
        assert values_of(path) == values


def test_not_utf8_names_the_line(tmp_path):
    for suffix in (".txt", ".jsonl", ".csv", ".json"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(b'"a"\n"\xff"\n')
        assert f"x{suffix}:2: not UTF-8 (byte 0xff)" in fail(path)
    path = tmp_path / "y.txt"
    path.write_bytes("hello".encode("utf-16"))
    assert "y.txt:1" in fail(path)
    assert "UTF-16" in fail(path)


def test_jsonl_records_and_errors(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": "x\xe2\x80\xa8y"}\r\n\n  \n"plain"')
    assert values_of(path) == [{"a": "x\u2028y"}, "plain"]
    path.write_text('{"a": 1}\n\n{"a": \n')
    assert "x.jsonl:3: not JSON: Expecting value at column" in fail(path)
    for bad, kind in (("3", "a number"), ("[1]", "an array"), ("null", "null"), ("true", "true")):
        path.write_text(f'{{"a": 1}}\n{bad}\n')
        assert f"x.jsonl:2: found {kind}" in fail(path)
    path.write_text("[" * 100_000 + "\n")
    assert "x.jsonl:1" in fail(path)


def test_json_shapes(tmp_path):
    path = tmp_path / "x.json"
    for text, values in [
        ('[{"a": 1}, "b"]', [{"a": 1}, "b"]),
        (" [ ] \n", []),
        ('{"a": 1}', [{"a": 1}]),
        ('{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('{"a": 1}{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('\ufeff["b"]', ["b"]),
    ]:
        path.write_text(text, encoding="utf-8")
        assert values_of(path) == values


def test_json_divides_a_single_object_only(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"v": "1", "data": [{"t": "a"}, {"t": "b"}]}')
    assert values_of(path, divide="data") == [
        {"v": "1", "data": [{"t": "a"}]},
        {"v": "1", "data": [{"t": "b"}]},
    ]
    assert len(values_of(path)) == 1
    assert len(values_of(path, divide="other")) == 1
    path.write_text('{"data": ["a", "b"]}\n{"data": ["c", "d"]}')
    assert values_of(path, divide="data") == [{"data": ["a", "b"]}, {"data": ["c", "d"]}]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('[{"a": 1},\n{"a" 2}]', 2, "':'"),
        ('[{"a": 1},\n{"a": 2}', 2, "the end of the file"),
        ('[{"a": 1},\n\n{"a": "x', 3, "nterminated"),
        ('[{"a": 1}\n{"a": 2}]', 2, "','"),
        ('[{"a": 1},\n]', 2, "']'"),
        ('{"a":\n"x\ny"}', 2, "control character"),
        ("[" * 100_000, 1, "nested"),
        ('[{"a": 1},\n 7]', 2, "a number"),
        ('{"a": 1}\nhello', 2, "hello"),
    ],
)
def test_broken_json_names_the_line(tmp_path, text, line, reason):
    path = tmp_path / "x.json"
    path.write_text(text)
    message = fail(path)
    assert f"x.json:{line}" in message
    assert reason in message


def test_json_streams_and_an_early_error_is_early(tmp_path):
    path = tmp_path / "x.json"
    element = json.dumps({"text": "word " * 2000})
    path.write_text("[" + ",\n".join([element] * 2000) + "]")
    tracemalloc.start()
    assert sum(1 for _ in read_json(file_at(path), ReadOptions())) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < path.stat().st_size / 5
    # An early error is reported without reading to the end, which is not UTF-8 here.
    path.write_bytes(b'[{"a" 1},' + b" " * 1_000_000 + b"\xff")
    assert "x.json:1: not JSON" in fail(path)


def test_json_reads_a_huge_element_in_linear_work(tmp_path):
    class Counting(io.BytesIO):
        scanned = 0

    from nextfill.data.records import json_records as jsonstream

    raw = json.dumps([{"text": "x" * 20_000_000}]).encode()
    stream = jsonstream.JsonStream(Counting(raw), "x")
    stream.skip()
    scan = stream._scan

    def counting(text, at):
        Counting.scanned += len(text) - at
        return scan(text, at)

    stream._scan = counting
    assert len(stream.value()["text"]) == 20_000_000
    assert Counting.scanned < 5 * len(raw)


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json.gz", ".csv.gz", ".parquet.gz", ".txt.gz"])
def test_damaged_gzip_names_the_file(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    text = "".join(json.dumps(os.urandom(40).hex()) + "\n" for _ in range(5000))
    whole = gzip.compress(text.encode())
    path.write_bytes(whole[: len(whole) // 2])
    if suffix in (".jsonl.gz", ".parquet.gz", ".txt.gz"):
        assert "cut short" in fail(path)
    assert path.name in fail(path)
    path.write_bytes(b"plain text")
    assert "not gzip" in fail(path)
    path.write_bytes(whole[:2000] + bytes(2000) + whole[4000:])
    assert path.name in fail(path)


def test_damaged_parquet_names_the_file(tmp_path):
    path = tmp_path / "x.parquet"
    write(path, ["some text"] * 1000)
    whole = path.read_bytes()
    for content in (whole[:-20], b"no", b"PAR1" + bytes(100) + b"PAR1", whole[:4] + whole[40:]):
        path.write_bytes(content)
        assert "x.parquet" in fail(path)


def test_a_tab_in_a_message_is_named(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tother\n"a"b\tc\n')
    with pytest.raises(DataError, match=r"a\.tsv:2: not TSV: a tab expected after") as caught:
        list(open_source(str(path)).read())
    assert str(caught.value).isprintable()
