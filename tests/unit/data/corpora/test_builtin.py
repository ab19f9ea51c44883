from __future__ import annotations

import gc
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nextfill.core.errors import DataError
from nextfill.data.corpora import builtin, docstrings
from nextfill.data.corpora.builtin import CORPORA, Corpus, source_files, versions
from nextfill.data.corpora.near_duplicates import MAX_SHARE_ACROSS, NearDuplicates

STDLIB = ("stdlib-docs",)
TORCH = ("torch-docs",)


def values(names: tuple[str, ...], split: str) -> list[Any]:
    return [record.value for record in builtin.records(names, split)]


def texts(names: tuple[str, ...], split: str) -> list[str]:
    return [text for value in values(names, split) for text in value["answers"]["text"]]


def by_title(name: str) -> dict[str, str]:
    """Everything that was read, before repeated texts are removed."""
    return {entry.title: "\n\n".join(entry.texts) for entry in builtin._entries(name)}


@pytest.mark.parametrize("names", [STDLIB, TORCH])
def test_records_have_the_shape_of_eli5(names: tuple[str, ...]) -> None:
    ids = []
    for split in builtin.SPLITS:
        for number, record in enumerate(builtin.records(names, split)):
            value = record.value
            assert not isinstance(value, str)
            assert list(value) == ["q_id", "title", "category", "answers"]
            answers = value["answers"]
            assert len(answers["text"]) == len(answers["score"]) > 0
            assert answers["score"] == [len(text.split()) for text in answers["text"]]
            assert all(len(text) >= 20 and "\0" not in text for text in answers["text"])
            assert record.number == number
            assert record.where == f"builtin:{names[0]} {value['q_id']}"
            assert re.fullmatch(r"\S+\.py:\d+", value["q_id"])
            ids.append(value["q_id"])
    assert len(ids) == len(set(ids))


def test_corpora_hold_the_text_that_they_promise() -> None:
    assert sum(len(text.encode()) for text in texts(STDLIB, "train")) > 1_000_000
    assert sum(len(text.encode()) for text in texts(TORCH, "train")) > 3_000_000
    assert {value["category"] for value in values(TORCH, "train")} == {"torch"}


def test_classes_topics_and_attached_docstrings_are_read() -> None:
    stdlib, torch = by_title(*STDLIB), by_title(*TORCH)
    assert any(title.startswith("pydoc_data.topics.") for title in stdlib)
    assert stdlib["textwrap.TextWrapper"].index("Object for wrapping") < stdlib[
        "textwrap.TextWrapper"
    ].index("wrap(text : string)")
    assert "Applies an affine linear transformation" in torch["torch.nn.modules.linear.Linear"]
    # `{input}` stands in the source; the file's own constants give its text.
    assert "input (Tensor): the input tensor." in torch["torch.acos"]


@pytest.mark.parametrize("names", [STDLIB, TORCH, (*STDLIB, *TORCH)])
def test_no_held_out_text_is_a_duplicate_of_training_text(names: tuple[str, ...]) -> None:
    train, test = texts(names, "train"), texts(names, "test")
    seen = {" ".join(text.split()) for text in train}
    assert not [text for text in test if " ".join(text.split()) in seen]
    trained = NearDuplicates()
    for text in train:
        trained.add(text)
    assert max(trained.share(text) for text in test) <= MAX_SHARE_ACROSS


def test_few_held_out_words_stand_in_long_runs_of_training_words() -> None:
    run = 13
    seen, held_out, covered = set(), 0, 0
    for text in texts(TORCH, "train"):
        words = text.split()
        seen.update(hash(tuple(words[at : at + run])) for at in range(len(words) - run + 1))
    for text in texts(TORCH, "test"):
        words = text.split()
        marked: set[int] = set()
        for at in range(len(words) - run + 1):
            if hash(tuple(words[at : at + run])) in seen:
                marked.update(range(at, at + run))
        covered += len(marked)
        held_out += len(words)
    assert held_out > 10_000
    assert covered / held_out < 0.03


def test_whole_source_files_stand_on_one_side() -> None:
    def units(split: str) -> set[str]:
        return {
            value["title"] if "topics" in value["title"] else value["q_id"].rpartition(":")[0]
            for value in values((*STDLIB, *TORCH), split)
        }

    assert not units("train") & units("test")
    share = len(units("test")) / len(units("train") | units("test"))
    assert 0.07 < share < 0.13


def test_a_module_keeps_its_side_in_every_composition() -> None:
    alone = {value["q_id"] for value in values(STDLIB, "test")}
    composed = {value["q_id"] for value in values((*STDLIB, *TORCH), "train")}
    assert not alone & composed


def test_records_are_the_same_in_another_process_and_nothing_is_imported() -> None:
    code = (
        "import hashlib, json, sys; from nextfill.data.corpora import builtin as b\n"
        "text = json.dumps([r.value for s in b.SPLITS for r in b.records(['stdlib-docs'], s)])\n"
        "found = [len(b.source_files(corpus)) > 0 for corpus in b.CORPORA.values()]\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'antigravity'}\n"
        "print(json.dumps([hashlib.sha256(text.encode()).hexdigest(),"
        " b.fingerprint(['torch-docs'], 'test'), found, sorted(heavy & set(sys.modules))]))"
    )

    def run(seed: str) -> Any:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return json.loads(done.stdout)

    first = run("1")
    assert first == run("2")
    assert first[1:] == [builtin.fingerprint(["torch-docs"], "test"), [True] * 5, []]


def test_fingerprint_depends_on_all_that_it_should() -> None:
    asked = [
        (names, split)
        for names in (STDLIB, TORCH, (*STDLIB, *TORCH))
        for split in ("train", "test")
    ]
    assert len({builtin.fingerprint(names, split) for names, split in asked}) == len(asked)


def test_names_are_parsed() -> None:
    assert builtin.parse_names("torch-docs+stdlib-docs") == ("torch-docs", "stdlib-docs")
    assert builtin.parse_names("torch-docs+torch-docs") == TORCH


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: builtin.parse_names("torch-doc"), "Did you mean 'torch-docs'.*package-docs"),
        (lambda: builtin.parse_names("torch-docs+"), "no built-in corpus ''"),
        (lambda: builtin.fingerprint(["nothing"], "train"), "no built-in corpus 'nothing'"),
        (lambda: builtin.records(TORCH, "trian"), "no split 'trian'. Did you mean 'train'"),
        (lambda: builtin.records([], "train"), "No built-in corpus is named"),
    ],
)
def test_unknown_names_are_refused_at_once(call: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


def test_a_file_that_cannot_be_parsed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "nextfill_broken_sample"
    package.mkdir()
    (package / "__init__.py").write_text('"""A docstring of good length."""\n')
    (package / "bad.py").write_text("def (:\n")
    (package / "tests").mkdir()
    (package / "tests" / "test_it.py").write_text('"""A docstring nobody should read."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    corpus = Corpus("", ("nextfill_broken_sample",))
    monkeypatch.setattr(builtin, "CORPORA", {"sample": corpus})
    with caplog.at_level(logging.WARNING, logger="nextfill"):
        entries = builtin._entries.__wrapped__("sample")
    assert [entry.title for entry in entries] == ["nextfill_broken_sample"]
    assert "1 source files could not be read" in caplog.text
    assert "nextfill_broken_sample/bad.py" in caplog.text


def test_files_are_listed_in_order_without_tests_and_left_out_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nextfill_listed_sample"
    for folder in (package, package / "b", package / "a", package / "b" / "tests", package / "c"):
        folder.mkdir()
        for name in ("z.py", "y.py", "stub.pyi", "note.txt"):
            (folder / name).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    corpus = Corpus("", (package.name,), frozenset({f"{package.name}/c"}))
    listed = source_files(corpus)
    below = ["a/y.py", "a/z.py", "b/y.py", "b/z.py", "y.py", "z.py"]
    assert [path for path, _ in listed] == [f"{package.name}/{name}" for name in below]
    assert all(file == tmp_path / path for path, file in listed)


def test_stubs_of_compiled_packages_are_read() -> None:
    sources = source_files(Corpus("", ("tokenizers", "numpy")))
    stubs = [path for path, _ in sources if path.endswith(".pyi")]
    assert stubs
    assert all(path.startswith("tokenizers/") for path in stubs)
    assert not [path for path, _ in sources if "/tests/" in path]
    found = docstrings.entries(dict(sources)["tokenizers/__init__.pyi"].read_bytes(), stubs[0])
    texts = {entry.title: entry.texts for entry in found}
    assert "Represents a token" in texts["tokenizers.AddedToken"][0]


def test_versions_name_every_source() -> None:
    assert [line.split()[0] for line in versions(CORPORA["stdlib-docs"])] == ["python"]
    packages = CORPORA["package-docs"].packages
    assert tuple(line.split()[0] for line in versions(CORPORA["package-docs"])) == packages


@pytest.mark.parametrize("ask", [versions, source_files])
def test_a_package_that_is_not_installed_is_named(ask: object) -> None:
    with pytest.raises(DataError, match="pip install nextfill_absent_sample"):
        ask(Corpus("", ("numpy", "nextfill_absent_sample")))  # type: ignore[operator]


@pytest.mark.parametrize("was_on", [True, False])
def test_reading_leaves_the_search_for_cycles_as_it_was(
    was_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def broken(*_: object) -> Any:
        seen.append(gc.isenabled())
        raise RuntimeError("broken")

    corpus = replace(builtin.CORPORA["stdlib-docs"], read=broken)
    monkeypatch.setattr(builtin, "CORPORA", {"stdlib-docs": corpus})
    (gc.enable if was_on else gc.disable)()
    try:
        with pytest.raises(RuntimeError, match="broken"):
            builtin._entries.__wrapped__("stdlib-docs")
        assert (seen, gc.isenabled()) == ([False], was_on)
    finally:
        gc.enable()
