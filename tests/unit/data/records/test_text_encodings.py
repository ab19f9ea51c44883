"""Text in other encodings is read as it was written, and what cannot be told is named."""

from __future__ import annotations

import gzip
import logging
import re
import time

import pytest

from nextfill.core.errors import ConfigError, DataError
from nextfill.data.records.files import SURE_NS, remembering
from nextfill.data.records.formats import text_encodings
from nextfill.data.records.sources import open_source

GERMAN = "Über die grüne Straße läuft ein größerer Bär; müde Käfer schlafen."
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему."  # noqa: RUF001
POLISH = "Zażółć gęślą jaźń. Litwo! Ojczyzno moja, ile cię trzeba cenić, ten się dowie."
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
CHINESE = "道可道，非常道。名可名，非常名。无名天地之始；有名万物之母。"  # noqa: RUF001
FRENCH = "L\u2019été dernier, nous étions très fatigués à la fin de la journée. Où êtes-vous ?"


def read(path, **options):
    return [record.value for record in open_source(str(path), **options).read()]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (GERMAN, "mac_roman"),
        (FRENCH, "cp1252"),
        (FRENCH, "mac_roman"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (POLISH, "iso8859_2"),
        (POLISH, "cp1250"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        *((GERMAN, f"utf-{wide}") for wide in ("16", "16-le", "16-be", "32", "32-le", "32-be")),
        (JAPANESE, "utf-16-le"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_text_is_read_in_its_encoding(tmp_path, caplog, text, encoding, packed):
    content = f"{text}\n\n{text}\n".encode(encoding)
    path = tmp_path / ("x.txt.gz" if packed else "x.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read(path) == [text, text]
    assert "--encoding" in caplog.text


def test_short_files_of_a_folder_are_weighed_together(tmp_path, caplog):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes(POLISH.encode("cp1250"))
    (folder / "b.txt").write_bytes("żółw".encode("cp1250"))
    (folder / "c.txt").write_text(GERMAN, "utf-8")
    source = open_source(str(folder))
    assert [record.value for record in source.read()] == [POLISH, "żółw", GERMAN]
    assert source.encodings == {"cp1250": 2, "utf-8": 1}
    assert "2 of 3" in caplog.text


def test_a_file_that_the_others_do_not_fit_is_weighed_alone(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes(RUSSIAN.encode("koi8_r"))
    (folder / "b.txt").write_bytes(GERMAN.encode("cp1252"))
    assert read(folder) == [RUSSIAN, GERMAN]


QUOTED = "\u201cYou came,\u201d he said. \u201cIt\u2019s late.\u201d\n" * 20
HUNGARIAN = "Árvíztűrő tükörfúrógép, őszi hűvös eső jön."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (f"{QUOTED}They met in the caf\u00e9.", "cp1252"),
        (f"{QUOTED}He came from \u0141\u00f3d\u017a.", "cp1250"),
        (HUNGARIAN, "cp1250"),
        (FRENCH, "mac_roman"),
    ],
)
@pytest.mark.parametrize(
    ("others", "other"), [(RUSSIAN, "cp1251"), (GERMAN, "cp1252"), (POLISH, "iso8859_2")]
)
def test_few_letters_among_many_quotes_decide_beside_files_in_another_encoding(
    tmp_path, caplog, text, encoding, others, other
):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes(text.encode(encoding))
    (folder / "b.txt").write_bytes(others.encode(other))
    (folder / "c.txt").write_bytes(others.encode(other))
    assert read(folder) == [text, others, others]
    shown = re.findall(r"as in '(.*?)'", caplog.text)
    assert shown, "each encoding is shown by a word"
    assert all(any(char.isalpha() and not char.isascii() for char in word) for word in shown)


def test_a_file_of_quotes_and_one_letter_is_read_by_the_letter(tmp_path, caplog):
    path = tmp_path / "a.txt"
    path.write_bytes(f"{QUOTED}He came from \u0141\u00f3d\u017a.".encode("cp1250"))
    assert read(path)[0].endswith("\u0141\u00f3d\u017a.")
    assert "as in '\u0141\u00f3d\u017a'" in caplog.text


@pytest.mark.parametrize("page", [100, 40_000])
def test_a_letter_after_many_pages_of_quotes_is_seen(tmp_path, page):
    text = f"{QUOTED[:80]}\n" * page + "They met in the caf\u00e9, not far from the sea."
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes(text.encode("cp1252"))
    (folder / "b.txt").write_bytes(f"{RUSSIAN}\n".encode("cp1251") * 20)
    assert read(folder, txt="file")[0].endswith("caf\u00e9, not far from the sea.")


def test_a_named_encoding_is_that_of_all_files_beside_utf8(tmp_path, caplog):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_bytes("caf\u00e9".encode("cp850"))
    (folder / "b.txt").write_text("caf\u00e9", "utf-8")
    with caplog.at_level(logging.WARNING):
        assert read(folder, encoding="cp850") == ["caf\u00e9", "caf\u00e9"]
    assert caplog.text == ""


def test_an_unknown_encoding_gives_the_nearest(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ConfigError, match="there is no such encoding"):
        open_source(str(tmp_path / "a.txt"), encoding="cp1225")


def test_a_byte_that_a_named_encoding_lacks_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\rthree\n" * 30000 + b"caf\x81\n")
    with pytest.raises(DataError, match=r"a\.txt:90001: not cp1252 \(byte 0x81\)"):
        read(path, encoding="cp1252")
    with pytest.raises(DataError, match=r"a\.txt:\d+: not UTF-8 \(byte 0x81\)|not utf-8"):
        read(path, encoding="utf-8")


def test_utf8_with_broken_bytes_is_not_taken_for_another_encoding(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\n" + GERMAN.encode() + b"\n caf\xe9 \n")
    with pytest.raises(DataError, match=r"not UTF-8 \(line 3, broken.*iconv -c"):
        read(path)


def test_every_file_without_an_encoding_is_named(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(13):
        (folder / f"{number:02}.txt").write_bytes(bytes(range(128, 256)) * 5)
    (folder / "good.txt").write_text("good")
    with pytest.raises(DataError) as caught:
        read(folder)
    message = str(caught.value)
    assert "13 files cannot be read" in message
    assert "09.txt" in message
    assert "10.txt" not in message
    assert "and 3 more" in message


def test_the_encoding_is_part_of_what_identifies_a_source(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\x82 et \x82t\x82")
    one, other = (open_source(str(path), encoding=name) for name in ("cp850", "cp1252"))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("content", ["plain", "größer", "été à la plage, où il fait beau"])
def test_a_file_is_read_for_its_encoding_once_until_it_changes(content, tmp_path, monkeypatch):
    path, reads = tmp_path / "a.txt", []
    path.write_bytes(f"{content}\n".encode("cp1252"))
    later_ns = time.time_ns() + 10 * SURE_NS
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    scan = text_encodings._scan
    monkeypatch.setattr(text_encodings, "_scan", lambda *file: reads.append(file) or scan(*file))
    found = []
    for _ in range(3):
        with remembering(tmp_path / "cache", verify=False):
            source = open_source(str(path))
        found.append((source.fingerprint, source.encodings, [one.value for one in source.read()]))
    assert found[0] == found[1] == found[2]
    assert len(reads) == 1
    path.write_bytes("größer als zuvor\n".encode("cp1252"))
    with remembering(tmp_path / "cache", verify=False):
        assert [one.value for one in open_source(str(path)).read()] == ["größer als zuvor"]
    assert len(reads) == 2


def test_a_broken_byte_after_pieces_of_ascii_is_told_with_its_line(tmp_path):
    path = tmp_path / "x.txt"
    lines = [b"a line of plain text"] * 120_000  # more than two pieces
    lines[-2] = "é è à".encode() + b"\xe9"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=r"not UTF-8 \(line 119999, broken"):
        read(path)
    lines[-2] = "é".encode()
    path.write_bytes(b"\n".join(lines)[:-1])
    assert read(path, txt="line")[-2] == "é"
    piece = text_encodings._PIECE
    path.write_bytes(b"a" * (piece - 1) + "é".encode() + b"b" * piece)  # divided between two
    assert read(path, txt="file") == ["a" * (piece - 1) + "é" + "b" * piece]
