"""Which corpora are built in, and which source files each is read from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from nextfill.errors import DataError

# Tests hold few sentences, and the same ones again and again.
_TEST_FOLDERS = frozenset({"test", "tests", "testing"})
# Compiled packages hold their docstrings in stubs; elsewhere stubs repeat the sources.
_COMPILED = frozenset({"tokenizers", "safetensors"})


@dataclass(frozen=True, slots=True)
class Corpus:
    """A built-in corpus: which sources are read.

    Args:
        summary: One line for people.
        packages: Installed packages to read; none stands for the standard library.
        without: Folders, relative to the sources' root, that are left out.
    """

    summary: str
    packages: tuple[str, ...]
    without: frozenset[str] = frozenset()


CORPORA: Mapping[str, Corpus] = MappingProxyType(
    {
        "stdlib-docs": Corpus(
            "Docstrings of Python's standard library, and the topics of its manual",
            (),
            frozenset({"idlelib", "lib2to3", "site-packages", "dist-packages"}),
        ),
        "torch-docs": Corpus(
            "Docstrings of PyTorch",
            ("torch",),
            frozenset({"torch/_inductor", "torch/_dynamo"}),
        ),
        "package-docs": Corpus(
            "Docstrings of NumPy, PyArrow and the Hugging Face libraries",
            (
                "numpy",
                "pyarrow",
                "datasets",
                "tokenizers",
                "safetensors",
                "huggingface_hub",
                "transformers",
            ),
        ),
    }
)


def versions(corpus: Corpus) -> list[str]:
    """Say which versions of which sources a corpus has here.

    Args:
        corpus: The corpus.

    Returns:
        A name and a version for each source.

    Raises:
        DataError: If a package is not installed.
    """
    if not corpus.packages:
        return [f"python {platform.python_version()}"]
    try:
        return [f"{package} {importlib.metadata.version(package)}" for package in corpus.packages]
    except importlib.metadata.PackageNotFoundError as error:
        raise _not_installed(str(error.name)) from None


def source_files(corpus: Corpus) -> list[tuple[str, Path]]:
    """List the source files of a corpus; nothing is imported.

    Args:
        corpus: The corpus.

    Returns:
        The path below the sources' root, with ``/``, and the file; sorted by that path.

    Raises:
        DataError: If a package is not installed.
    """
    if not corpus.packages:
        root = Path(sysconfig.get_path("stdlib"))
        return sorted(_walk(root, root, {".py"}, corpus.without).items())
    found: dict[str, Path] = {}
    for package in corpus.packages:
        root = _package_folder(package)
        suffixes = {".py", ".pyi"} if package in _COMPILED else {".py"}
        found |= _walk(root, root.parent, suffixes, corpus.without)
    return sorted(found.items())


def _walk(root: Path, base: Path, suffixes: set[str], without: frozenset[str]) -> dict[str, Path]:
    """Find the source files below a folder, by their path from the base."""
    found: dict[str, Path] = {}
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(base)
        folders[:] = [
            name
            for name in folders
            if name not in _TEST_FOLDERS and (here / name).as_posix() not in without
        ]
        for name in files:
            if Path(name).suffix in suffixes:
                found[(here / name).as_posix()] = Path(folder, name)
    return found


def _package_folder(package: str) -> Path:
    # For a top-level name this searches the path and imports nothing.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(package)
    return Path(next(iter(spec.submodule_search_locations)))


def _not_installed(package: str) -> DataError:
    return DataError(
        f"The package '{package}', whose documentation the built-in corpus holds, is not "
        f"installed. Type: pip install {package}"
    )
