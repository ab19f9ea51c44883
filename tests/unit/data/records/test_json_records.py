"""JSON and JSON lines, whole or broken, in the memory of the largest value."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.records.files import ReadOptions
from nextfill.data.records.formats.json_records import read_json, read_jsonl
from tests.properties import examples
from tests.unit.data.records.readings import TEXTS, file_at, values_of
from tests.unit.data.records.readings import reader_error as fail


@given(TEXTS, st.integers(1, 40))
@examples(60)
def test_json_in_any_pieces(texts, piece):
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, piece) if size >= 0 else size)

    from nextfill.data.records.formats.json_stream import json_values

    values = [{"t": text, "n": [1, -2.5e3, None, True, float("-inf")]} for text in texts]
    for ascii_only in (True, False):
        raw = json.dumps(values, ensure_ascii=ascii_only, indent=piece % 3 or None).encode()
        assert [value for _, value, _ in json_values(Trickle(raw), "x")] == values


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

    from nextfill.data.records.formats import json_stream

    raw = json.dumps([{"text": "x" * 20_000_000}]).encode()
    stream = json_stream.JsonStream(Counting(raw), "x")
    stream.skip()
    scan = stream._scan

    def counting(text, at):
        Counting.scanned += len(text) - at
        return scan(text, at)

    stream._scan = counting
    assert len(stream.value()["text"]) == 20_000_000
    assert Counting.scanned < 5 * len(raw)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "an old riv', "the line ends in the middle of a text, at column 20, as one"),
        ('{"text": "an \\"old', "the line ends in the middle of a text"),
        ("{'text': 1}", "double quotes at column 2. JSON lines hold one JSON value a line."),
        ('{"text":', "Expecting value at column 9. JSON lines hold one JSON value a line; values"),
        ('{"a": 1} {"a": 2}', "read as .json, or with --format json."),
        ('{"text": "a\tb"}', "Invalid control character at column 12. JSON lines"),
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_that_is_no_json_says_what_helps(tmp_path, line, reason, end):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n' + line + end)
    said = fail(path)
    assert reason in said
    assert "at at" not in said


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_a_key_that_stands_twice_in_an_object_is_told_once(tmp_path, caplog, name):
    path = tmp_path / name
    path.write_text('{"id": 1}\n{"text": "a", "text": "b"}\n{"text": "c", "text": "d"}\n')
    assert values_of(path) == [{"id": 1}, {"text": "b"}, {"text": "d"}]
    assert [one.message.replace(str(path), name) for one in caplog.records] == [
        f"{name}:2: 'text' stands twice in one object: the last of its values is read"
    ]


ODD_LINES = [
    '{"text": "cut',
    '{"text": "x", "n": Inf}',
    '{"text": "x", "n": -NaN}',
    '{"text": "x", "n": NaN}',
    '{"text": "x", "n": 1e999}',
    '{"text": "a"} {"text": "b"}',
    '{"text": "tail",}',
    '{"text": "\\ud800"}',
    '{"text": "\\ud83d\\ude00"}',
    '{"text": "a\x01b"}',
    '{"text": "a", "text": "b"}',
    '{"text": "x", "deep": ' + "[" * 2000 + "]" * 2000 + "}",
    '{"text": ' + "[" * 300 + '"q"' + "]" * 300 + "}",
    ' {"text": "spaces"} \t',
    "  ",
    "\ufeff{}",
    '["x"]',
    '"plain"',
    "7",
    "nul \0",
    "caf\udce9",  # a byte that is not UTF-8
]


@pytest.mark.parametrize("line", ODD_LINES, ids=range(len(ODD_LINES)))
def test_strings_alone_are_read_as_all_is(tmp_path, line):
    """After the first hundred values another parser reads them."""
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"text": f"é {number}"}) for number in range(150)]
    lines[130] = line
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    results = []
    for strings_only in (False, True):
        rows, error = [], ""
        try:
            rows += read_jsonl(file_at(path), ReadOptions(strings_only=strings_only))
        except DataError as refused:
            error = str(refused)
        results.append((repr(rows), error))  # as text, in which NaN is itself
    assert results[0] == results[1]
    assert error or len(rows) >= 149


def test_numbers_of_any_size_are_kept_where_they_matter(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"text": "t", "n": {10**40 + n}}}\n' for n in range(150)))
    rows = list(read_jsonl(file_at(path), ReadOptions()))
    assert rows[-1][1] == {"text": "t", "n": 10**40 + 149}
    quick = list(read_jsonl(file_at(path), ReadOptions(strings_only=True)))
    assert isinstance(quick[99][1]["n"], int)
    assert isinstance(quick[149][1]["n"], float)  # which shows that it is the other parser's
