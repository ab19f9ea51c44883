"""Of documents and tables in one folder the commoner kind is read; the others are told."""

from __future__ import annotations

import zipfile

import pytest

from nextfill.core.errors import DataError
from nextfill.data.records.sources import open_source

ROWS = "id;text\n1;An idea.\n2;Another.\n"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "novel"
    made.mkdir()
    for number in range(3):
        (made / f"{number:02}.txt").write_text(f"Chapter {number}.")
    (made / "ideas.csv").write_text(ROWS)
    return made


def values(source):
    return [record.value for record in source.read()]


def test_a_table_among_chapters_is_left_out_and_told(folder, caplog):
    source = open_source(str(folder))
    assert values(source) == ["Chapter 0.", "Chapter 1.", "Chapter 2."]
    assert source.left_out == {"with records instead of text (.csv)": 1}
    assert source.left_out_names == {"with records instead of text (.csv)": ["ideas.csv"]}
    assert "ideas.csv. To read the records instead" in caplog.text
    assert "--text-field NAME" in caplog.text


def test_a_text_among_tables_is_left_out_and_told(folder, caplog):
    for number in range(4):
        (folder / f"{number}.jsonl").write_text('{"id": "1", "text": "An idea."}\n')
    source = open_source(str(folder))
    assert {value["text"] for value in values(source)} == {"An idea.", "Another."}
    assert source.left_out == {"with text instead of records (.txt)": 3}
    assert "--txt file" in caplog.text


def test_a_flag_of_one_kind_says_which_is_wanted(folder):
    assert [one["text"] for one in values(open_source(str(folder), text_field="text"))] == [
        "An idea.",
        "Another.",
    ]
    for number in range(4):
        (folder / f"{number}.csv").write_text(ROWS)
    assert len(values(open_source(str(folder), txt="file"))) == 3


def test_as_many_of_each_kind_are_refused_with_both_flags(tmp_path):
    (tmp_path / "a.txt").write_text("One.")
    (tmp_path / "b.csv").write_text(ROWS)
    with pytest.raises(DataError, match=r"a\.txt.*b\.csv.*--text-field NAME.*--txt file$"):
        open_source(str(tmp_path))


def test_json_of_strings_is_read_beside_texts(folder):
    (folder / "ideas.csv").unlink()
    (folder / "more.json").write_text('["One.", "Two."]')
    assert len(values(open_source(str(folder)))) == 5


def test_tables_in_an_archive_of_texts_are_left_out(folder):
    path = folder.parent / "novel.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for one in folder.iterdir():
            archive.write(one, one.name)
    source = open_source(str(path))
    assert len(values(source)) == 3
    assert sum(source.left_out.values()) == 1


def test_plain_text_of_other_names_and_archives_are_told_with_what_to_do(folder, caplog):
    for name in ("draft", "script.fountain", "x.txt.bak"):
        (folder / name).write_text("INT. A HOUSE\n\nHe enters.\n")
    (folder / "a.dat").write_bytes(bytes(range(32)))
    (folder / "backup.zip").write_bytes(b"PK\x03\x04")
    open_source(str(folder))
    assert "draft, script.fountain, x.txt.bak look like plain text" in caplog.text
    assert "names that end in .txt" in caplog.text
    assert "unpack it, or name it with --data" in caplog.text


def test_a_workbook_is_first_of_all_saved_as_csv(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"an Excel workbook, which is not read. Save it as CSV"):
        open_source(str(tmp_path / "a.xlsx"))


def test_a_pattern_reads_suffixes_in_any_case_as_a_folder_does(tmp_path):
    for name in ("a.txt", "End.TXT", "b.md", "part/C.Txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(values(open_source(f"{tmp_path}/**/*.txt"))) == ["End.TXT", "a.txt", "part/C.Txt"]
    assert values(open_source(f"{tmp_path}/E*.TXT")) == ["End.TXT"]
    with pytest.raises(DataError, match="no file matches"):
        open_source(f"{tmp_path}/e*.txt")  # another name, and not another suffix
