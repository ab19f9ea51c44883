"""Plain text, CSV and TSV come back as they were, and errors name file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextfill
from nextfill.core.errors import DataError
from nextfill.data.records.files import ReadOptions
from nextfill.data.records.formats import text_lines
from nextfill.data.records.formats.text_and_csv import read_txt
from nextfill.data.records.sources import open_source
from tests.properties import examples
from tests.unit.data.records.readings import TEXTS, file_at, values_of
from tests.unit.data.records.readings import reader_error as fail


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


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_any_text_comes_back_as_it_was(suffix, packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")

    @examples(30)
    @given(TEXTS)
    def check(texts):
        path = folder / f"x{suffix}{packed}"
        # CSV knows no NUL; and the writer leaves a lone \r as it is, which is read so, too.
        texts = [t.replace("\0", "") for t in texts] if suffix == ".csv" else texts
        write(path, texts)
        assert texts_of(path) == texts

    check()


def test_txt_modes(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n \t\r\n\r\n  three\n\xe2\x80\xa8four")
    assert values_of(path) == ["one\ntwo", "  three\n\u2028four"]
    assert values_of(path, txt="line") == ["one", "two", " \t", "", "  three", "\u2028four"]
    assert values_of(path, txt="file") == ["one\ntwo\n \t\n\n  three\n\u2028four"]
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
    assert values_of(path, txt="file") == ["\n".join(LINES) + ("\n" if last else "")]
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


@given(
    st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"\r", b"\r\n"]), max_size=30), st.integers(1, 9)
)
@examples(300)
def test_lines_are_the_same_whatever_the_blocks(pieces, size):
    content = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        whole = list(text_lines._lines(io.BytesIO(content), 1 << 20))
        patch.setattr(text_lines, "_BUFFER_BYTES", size)
        assert list(text_lines._lines(io.BytesIO(content), 1 << 20)) == whole
        longest = max(map(len, whole), default=0)
        assert list(text_lines._lines(io.BytesIO(content), longest + 1)) == whole
        if longest and not content.endswith(b"\r"):  # which waits for a second half
            with pytest.raises(text_lines._NotTextError):
                list(text_lines._lines(io.BytesIO(content), longest))
    assert b"".join(whole) == content


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


def test_a_tab_in_a_message_is_named(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tother\n"a"b\tc\n')
    with pytest.raises(DataError, match=r"a\.tsv:2: not TSV: a tab expected after") as caught:
        list(open_source(str(path)).read())
    assert str(caught.value).isprintable()


def test_csv_rows_and_errors(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbfid,text\r\n1,"a\r\nb"\r\n\r\n2,""\r\n')
    assert values_of(path) == [{"id": "1", "text": "a\r\nb"}, {"id": "2", "text": ""}]
    path.write_text("id,text\n1," + "x" * 300_000 + "\n")
    assert len(values_of(path)[0]["text"]) == 300_000
    path.write_text('id,text\n1,"a\nb"\n2,b,c\n')
    assert "x.csv:4: found 3 values, but the header names 2: id, text" in fail(path)
    path.write_text("id,text\n1\n")
    assert "x.csv:2: found 1 value" in fail(path)
    path.write_text('id,text\n1,"open\n')
    assert "x.csv:2: not CSV" in fail(path)
    path.write_text('id,text\n1,"a"b\n')
    assert "x.csv:2: not CSV" in fail(path)
    path.write_bytes(b"id,text\n1,a\0b\n")
    assert "x.csv:2: found a NUL" in fail(path)
    path.write_text("id,id\n1,2\n")
    assert "x.csv:1: the header names 'id' more than once" in fail(path)
    path.write_text("id,text\n")
    assert values_of(path) == []


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator_is_found_in_the_header_and_told(tmp_path, mark, name):
    path = tmp_path / "x.csv"
    path.write_text(f'id{mark}text\n1{mark}"a, b{mark}c"\n')
    source = open_source(str(path))
    assert [one.value for one in source.read()] == [{"id": "1", "text": f"a, b{mark}c"}]
    assert source.tables == {str(path): f"separated by {name}"}
    path.write_text(f"id{mark}text\n1\n")
    assert f"Quote values that hold {name}" in fail(path)
    path.write_text("text\na;b\n")
    assert values_of(path) == [{"text": "a;b"}]
    path.write_text(f'"te{mark}xt"\na\n')
    assert values_of(path) == [{f"te{mark}xt": "a"}]
    path.write_text(f"id,te{mark}xt\n1,a\n")
    assert values_of(path) == [{"id": "1", f"te{mark}xt": "a"}]


@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
@pytest.mark.parametrize("quoted", [False, True])
def test_excels_line_says_the_separator(tmp_path, mark, quoted):
    path = tmp_path / "x.csv"
    first = f'"sep={mark}"' if quoted else f"sep={mark}"
    path.write_bytes(f'\ufeff{first}\r\nid{mark}text\r\n1{mark}"a{mark}b, c; d"\r\n'.encode())
    assert values_of(path) == [{"id": "1", "text": f"a{mark}b, c; d"}]
    path.write_text(f"{first}\nid{mark}text\n1{mark}a\n2\n")
    assert "x.csv:4: found 1 value" in fail(path)
    path.write_text(f'{first}\nid{mark}text\n1{mark}"a"b\n')
    assert ("x.csv:3: not TSV" if mark == "\t" else "x.csv:3: not CSV") in fail(path)


def test_the_names_of_rows_are_no_text(tmp_path):
    from nextfill.data.document import ReadCounts
    from nextfill.data.records.fields.record_text import documents

    path = tmp_path / "x.csv"
    for content in ('"","body"\n"1","a"\n"2","b"\n', ",body\n0,a\n1,b\n", "body,\na,\nb,\n"):
        path.write_text(content)
        options = {"text_field": None, "join": " ", "explode": False, "keep": ()}
        made = documents(open_source(str(path)), counts=ReadCounts(), **options)
        assert [document.text for document in made] == ["a", "b"]


@pytest.mark.parametrize("ends", ["\r\n", "\r", "\r\r\n"])
def test_windows_line_ends_of_whole_files_become_newlines_and_are_counted(ends, tmp_path):
    lines = [f"The mill turned {n} times." for n in range(20)]
    for name in ("a.txt", "b.md"):
        (tmp_path / name).write_bytes(ends.join(lines).encode())
    source = open_source(str(tmp_path))
    assert [record.value for record in source.read()] == ["\n".join(lines)] * 2
    returns = ends.count("\r") * 19
    assert list(source.beside_text.values()) == [{"carriage returns": returns}] * 2


@pytest.mark.parametrize("text", ["one\r\ntwo\r\n\x1a", "one\ntwo\n\x1a"])
def test_the_end_mark_of_dos_is_no_text_of_a_whole_file(text, tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode())
    assert values_of(path, txt="file") == ["one\ntwo\n"]
    path.write_bytes(b"one \x1a\x1a")
    assert values_of(path, txt="file") == ["one \x1a\x1a"]


def test_the_ledger_counts_carriage_returns(tmp_path, tiny_model):
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(10):
        (folder / f"{n}.txt").write_bytes(f"Note {n}\r\nis short.\r\n".encode())
    job = {"model": str(tiny_model), "cache_dir": str(tmp_path / "cache")}
    found = nextfill.prepare(data=folder, **job).ledger["beside_text"]
    assert found == {"carriage returns": 20}
    (folder / "0.txt").write_bytes(b"Note 0\nis short.\n")
    found = nextfill.prepare(data=folder, **job).ledger["beside_text"]
    assert found == {"carriage returns": 18}
