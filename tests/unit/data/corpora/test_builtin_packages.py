from __future__ import annotations

from pathlib import Path

import pytest

from nextfill.core.errors import DataError
from nextfill.data.corpora import docstrings
from nextfill.data.corpora.builtin import CORPORA, Corpus, source_files, versions


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
