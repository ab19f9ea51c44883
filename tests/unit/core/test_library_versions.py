"""The version of a library is the one that importlib finds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from nextfill.core.library_versions import library_version


@pytest.mark.parametrize("name", ["transformers", "tokenizers", "numpy", "torch", "pytest"])
def test_it_is_the_one_that_importlib_finds(name: str) -> None:
    assert library_version(name) == version(name)


def test_a_library_that_is_not_installed() -> None:
    with pytest.raises(PackageNotFoundError):
        library_version("no_such_library")


@pytest.mark.parametrize(
    "folders",
    [
        {"made_up-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: made_up\nVersion: 1.5\n"},
        # Of several, of another name and in an older form.
        {
            "made_up-1.5.dist-info/METADATA": "Name: made_up\nVersion: 1.5\n\nVersion: 3\n",
            "made_up-more-2.0.dist-info/METADATA": "Name: made_up-more\nVersion: 2.0\n",
        },
        {"made_up-1.5.egg-info/PKG-INFO": "Name: made_up\nVersion: 1.5\n"},
        {"made_up-1.5.dist-info/METADATA": "Name: Made_Up\nVersion: 1.5\n\nName: made_up\n"},
    ],
)
def test_folders_of_every_form(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in folders.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    library_version.cache_clear()
    found = library_version("made_up")
    assert found == version("made_up")  # of several its choice goes by the order in the folder
    assert found == "1.5" or len(folders) > 1


def test_it_imports_no_library_of_mail() -> None:
    program = (
        "import sys; from nextfill.core.library_versions import library_version\n"
        "library_version('transformers'); print(*{'importlib.metadata', 'email'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "\n"
