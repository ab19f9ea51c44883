"""What Nextfill wrote itself, and models, below the data: known by what they hold."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from pathlib import Path

import fsspec
import pytest

from nextfill.config import TrainConfig
from nextfill.config.recipe_file import to_toml
from nextfill.core.errors import DataError
from nextfill.data.records.output_folders import CACHE, CHECKPOINT, MODEL, RESULTS, RUN, TOKENIZER
from nextfill.data.records.python_data.input_files import write_live
from nextfill.data.records.sources import open_source

DIGEST = 16 * "0a"


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def run_files(settings: str | None = None) -> dict[str, object]:
    return {
        "config.toml": to_toml(TrainConfig()) if settings is None else settings,
        "measured.json": {"device": "cpu"},
        "ledger.json": {"files": 1},
        "events.jsonl": '{"event": "step"}\n',
        "texts.json": {"step": 1},
        "model/config.json": {"model_type": "gpt2"},
        "model/README.md": "a card",
        "checkpoints/step-00000001/cursor.json": {"step": 1},
    }


STORE = {"meta.json": {"format_version": 2}, "shard-00000/columns.parquet": "PAR1"}
OTHERS: dict[str, tuple[str, dict[str, object]]] = {
    "a whole run": (RUN, run_files()),
    "a run stopped as it began": (RUN, dict(list(run_files().items())[:2])),
    "a run of other settings": (
        RUN,
        run_files('[model]\nname = "x"\n[[data]]\nsource = "a"\n[training]\nold = 1\n'),
    ),
    "a model": (MODEL, {"config.json": {}, "model-00001-of-00002.safetensors": "x", "a.json": {}}),
    "an old model": (MODEL, {"config.json": {}, "pytorch_model.bin": "x", "vocab.txt": "x"}),
    "an adapter": (MODEL, {"adapter_config.json": {}, "adapter_model.safetensors": "x"}),
    "a tokenizer": (TOKENIZER, {"tokenizer_config.json": {}, "tokenizer.json": {"model": {}}}),
    "a checkpoint": (CHECKPOINT, {"cursor.json": {"step": 1}, "model.safetensors": "x"}),
    "a checkpoint of shares": (CHECKPOINT, {"cursor.json": {"step": 1}, "shares.json": {}}),
    "a cache": (
        CACHE,
        {
            **{f"stores/{DIGEST}/{name}": content for name, content in STORE.items()},
            f"digests/{DIGEST}.json": {"path": "a", "state": [], "sha256": "b"},
            f"tokenizers/{DIGEST}{DIGEST}.json": {"fingerprint": "a"},
            f"locks/{DIGEST}": "",
            f"inputs/3-texts.{DIGEST}{DIGEST}.jsonl": '{"text": "a"}\n',
        },
    ),
    "a cache as it begins": (
        CACHE,
        {f"digests/{DIGEST}.json": {"about": ["", []], "facts": "", "checksum": ""}},
    ),
    "an older cache as it begins": (
        CACHE,
        {f"digests/{DIGEST}.json": {"path": "", "state": "", "sha256": ""}},
    ),
    "a store half written": (
        CACHE,
        {f"stores/{DIGEST}.tmp-a1/shard-00000/columns.parquet": "PAR1"},
    ),
}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    write(folder, {"a.txt": "one", "deep/b.txt": "two", "deep/c.jsonl": '"three"\n'})
    return folder


def read(spec: object) -> tuple[list[object], dict[str, int]]:
    source = open_source(str(spec))
    records = [one.value for one in source.read()]
    values = [one["text"] if isinstance(one, dict) else one for one in records]
    return values, dict(source.left_out)


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("where", ["runs/x", "deep/of/its own"])
def test_what_is_no_text_is_left_out_wherever_it_lies(notes, name, where, caplog):
    kind, files = OTHERS[name]
    before = read(notes)
    assert before == (["one", "two", "three"], {})
    write(notes / where, files)
    assert read(notes) == (before[0], {kind: 1})
    assert f"left out: 1 {kind}" in caplog.text
    assert read(f"{notes}/**/*.txt")[0] == ["one", "two"]
    assert read(f"{notes}/**/*.json*")[0] == ["three"]
    assert read(zipped(notes)) == (before[0], {kind: 1})


@pytest.mark.parametrize("name", ["a whole run", "a cache", "a model"])
def test_a_pattern_leaves_it_out_too_and_counts_what_it_names(notes, name, caplog):
    kind, files = OTHERS[name]
    write(notes / "x", files)
    assert read(f"{notes}/**/*.json*") == (["three"], {kind: 1})
    assert read(f"{notes}/**/*.txt") == (["one", "two"], {})


def test_at_an_address(notes):
    kind, files = OTHERS["a whole run"]
    write(notes / "x", files)
    system = fsspec.filesystem("memory")
    system.put(str(notes), "/outputs-notes", recursive=True)
    try:
        values, left_out = read("memory://outputs-notes")
    finally:
        system.rm("/outputs-notes", recursive=True)
    assert (values, left_out) == (["one", "two", "three"], {kind: 1})


def test_a_real_cache_beside_the_text(notes):
    write_live(["from", "python"], notes)  # --cache-dir is the folder of the data itself
    assert read(notes) == (["one", "two", "three"], {CACHE: 1})


@pytest.mark.parametrize(
    "files",
    [
        {"runs/today.txt": "I ran"},
        {"x/config.toml": to_toml(TrainConfig()), "x/note.txt": "I ran"},  # a recipe, with text
        {"x/config.toml": "[server]\n", "x/events.jsonl": '"I ran"\n'},
        {"x/config.toml": "no = toml = at all", "x/events.jsonl": '"I ran"\n'},
        {"model/note.txt": "I ran", "model/config.txt": "I ran"},
        {"x/model.safetensors": "weights alone", "x/note.txt": "I ran"},
        {"stores/note.txt": "I ran", f"stores/{DIGEST}/note.txt": "I ran"},
        {"inputs/note.txt": "I ran"},
        {f"digests/{DIGEST}.json": ["I ran"]},
        {"cursor.json": ["I ran"]},
    ],
)
def test_text_in_folders_that_look_alike_is_read(notes, files):
    write(notes, files)
    values, left_out = read(notes)
    assert "I ran" in values
    assert not left_out.keys() & {RUN, MODEL, CACHE, CHECKPOINT, TOKENIZER, RESULTS}


@pytest.mark.parametrize("name", OTHERS)
def test_named_itself_it_is_refused_by_what_it_is(tmp_path, name):
    kind, files = OTHERS[name]
    write(tmp_path / "x", files)
    with pytest.raises(DataError, match=kind) as caught:
        open_source(str(tmp_path / "x"))
    if kind == RUN:
        assert f"{tmp_path / 'x'} serves where a model is asked for." in str(caught.value)
    if kind in (RUN, MODEL, TOKENIZER, CHECKPOINT):
        assert "with a pattern" not in str(caught.value)  # which would match nothing
        write(tmp_path / "x", {"note.txt": "a note"})
        with pytest.raises(DataError, match=r"with a pattern: --data \S+/x/\*\.txt'$"):
            open_source(str(tmp_path / "x"))
        assert read(f"{tmp_path}/x/n*.txt")[0] == ["a note"]


def test_a_pipe_is_not_opened(notes):
    (notes / "x").mkdir()
    os.mkfifo(notes / "x" / "config.toml")
    write(notes, {"x/events.jsonl": '"I ran"\n'})
    assert read(notes)[1] == {"not a regular file": 1}


RESULT_LINES = {
    "generate": '{"record": 0, "sample": 0, "prompt": "a", "generated_text": "b"}',
    "fill": '{"record": 0, "blank": 0, "answer": 0, "prompt": "a", "score": 0.5}',
    "evaluate": '{"record": 12, "nats": 1.5e-05, "targets": 3, "bytes": 3}',
}


@pytest.mark.parametrize("verb", RESULT_LINES)
def test_results_in_a_folder_are_left_out_and_read_where_they_are_named(notes, verb, caplog):
    caplog.set_level(logging.WARNING)
    write(notes, {"out.jsonl": RESULT_LINES[verb] + "\n"})
    assert read(notes) == (["one", "two", "three"], {RESULTS: 1})
    assert f"left out: 1 {RESULTS}" in caplog.text
    for named in (notes / "out.jsonl", f"{notes}/*.jsonl"):
        assert [record.value["record"] for record in open_source(str(named)).read()]
