"""Folders named as Hive names them give fields to whoever asks for them."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nextfill
from nextfill.core.errors import DataError
from nextfill.data.records.fields.folder_fields import fields_beside, folder_fields
from nextfill.data.records.sources import open_source

LANGUAGES = ("de", "en")


def write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        path.write_text("\n".join(["text", *(row["text"] for row in rows)]))
    elif path.suffix in (".txt", ".md"):
        path.write_text("\n\n".join(row["text"] for row in rows))
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)


TABLES = ["part-0.parquet", "part-0.jsonl", "part-0.csv", "part-0.jsonl.gz"]


@pytest.fixture(params=[*TABLES, "part-0.txt", "part-0.md"])
def folder(request, tmp_path):
    for language in LANGUAGES:
        rows = [{"text": f"{language} text {n}"} for n in range(10)]
        write(tmp_path / "rows" / f"lang={language}" / request.param, rows)
    return tmp_path / "rows"


def languages(spec, **options) -> list[str]:
    source = open_source(str(spec), keep=["lang"], **options)
    return sorted({fields_beside(record.value)["lang"] for record in source.read()})


def test_the_field_is_there_when_it_is_asked_for(folder, tmp_path):
    assert languages(folder) == [*LANGUAGES]
    if not list(folder.rglob("*.txt")) + list(folder.rglob("*.md")):
        assert languages(folder, text_field="text") == [*LANGUAGES]
    assert languages(folder / "lang=en") == ["en"]
    assert languages(folder / "*" / "part-*") == [*LANGUAGES]
    assert "lang" not in next(open_source(str(folder)).read()).value
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        for path in folder.rglob("part-*"):
            archive.write(path, path.relative_to(tmp_path))
    assert languages(tmp_path / "rows.zip") == [*LANGUAGES]


def test_a_field_of_the_record_itself_comes_first(tmp_path):
    write(tmp_path / "lang=en" / "a.jsonl", [{"text": "one", "lang": "fr"}])
    assert languages(tmp_path) == ["fr"]


def test_names_are_unquoted_and_no_value_is_none():
    name = "rows/a%20b=c%2Fd/x=__HIVE_DEFAULT_PARTITION__/a=b.jsonl"
    assert folder_fields(name, ["a b", "x", "a"]) == {"a b": "c/d", "x": None}
    assert folder_fields("rows\\lang=en\\a.jsonl", ["lang"]) == {"lang": "en"}


def test_a_renamed_folder_is_no_old_store(folder, tiny_model, tmp_path):
    def fields():
        made = nextfill.prepare(
            data=folder,
            model=str(tiny_model),
            keep_fields=["lang"],
            cache_dir=str(tmp_path / "cache"),
        )
        from nextfill.data.store.token_store import TokenStore

        return set(TokenStore.open(Path(made.store)).columns("lang")), made.reused

    assert fields() == ({*LANGUAGES}, False)
    assert fields() == ({*LANGUAGES}, True)
    (folder / "lang=en").rename(folder / "lang=fr")
    assert fields() == ({"de", "fr"}, False)


def test_figures_by_the_folders_field(folder, tiny_model, tmp_path):
    found = nextfill.evaluate(
        str(tiny_model), data=folder, by="lang", txt="paragraph", cache_dir=str(tmp_path / "cache")
    )
    assert {group: one.documents for group, one in found.groups.items()} == {"de": 10, "en": 10}


def test_a_field_that_no_folder_has_is_refused(folder, tiny_model, tmp_path):
    with pytest.raises(DataError, match="langs"):
        nextfill.evaluate(
            str(tiny_model), data=folder, by="langs", cache_dir=str(tmp_path / "cache")
        )


def test_such_a_field_is_not_taken_for_the_text(tiny_model, tmp_path):
    for language in LANGUAGES:
        rows = [{"content": f"{language} text {n}"} for n in range(6)]
        write(tmp_path / "rows" / f"lang={language}" / "a.jsonl", rows)
    job = {"by": "lang", "cache_dir": str(tmp_path / "cache")}
    found = nextfill.evaluate(str(tiny_model), data=tmp_path / "rows", **job)
    assert {group: one.documents for group, one in found.groups.items()} == {"de": 6, "en": 6}


def test_a_look_shows_the_field_that_is_kept(folder):
    rows = nextfill.look(data=folder, keep_fields=["lang"], quiet=True).records
    assert rows[0]["text"].startswith("de text 0")
    assert rows[0] == {"text": rows[0]["text"], "lang": "de"}
    assert "lang" not in nextfill.look(data=folder, quiet=True).records[0]


def test_a_mistyped_name_is_told_with_the_folders_field(folder, tiny_model, tmp_path):
    message = r"in the names of folders: lang\. Did you mean 'lang'\?"
    with pytest.raises(nextfill.NextfillError, match=message):
        nextfill.evaluate(str(tiny_model), data=folder, by="language", cache_dir=str(tmp_path))
    with pytest.raises(nextfill.NextfillError) as caught:
        nextfill.prepare(data=folder, model=str(tiny_model), text_field="language")
    assert "names of folders" not in str(caught.value)
