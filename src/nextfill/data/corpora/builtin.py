"""The built-in corpora: real text and source code on every machine, with no network."""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from nextfill.core.errors import DataError, nearest
from nextfill.data.corpora import docstrings, functions
from nextfill.data.corpora import near_duplicates as dedup
from nextfill.data.corpora.docstrings import Entry
from nextfill.data.document import Record

logger = logging.getLogger("nextfill")

# Part of the fingerprint: raise it whenever the same files would give other records.
EXTRACTOR_VERSION = 1
TEXT_FIELD = "answers.text"
JOIN = "\n\n"  # docstrings of one class are paragraphs
SPLITS = ("train", "test")
HELD_OUT_SHARE = 0.1

# Tests hold few sentences, and the same ones again and again.
_TEST_FOLDERS = frozenset({"test", "tests", "testing"})
# Compiled packages hold their docstrings in stubs; elsewhere stubs repeat the sources.
_COMPILED = frozenset({"tokenizers", "safetensors"})


@dataclass(frozen=True, slots=True)
class Corpus:
    """A built-in corpus, by its sources.

    Args:
        packages: Installed packages to read; empty for the standard library.
        without: Folders to leave out, relative to the sources' root.
        read: Reads the entries of one source file, given its bytes and its path.
    """

    summary: str
    packages: tuple[str, ...]
    without: frozenset[str] = frozenset()
    read: Callable[[bytes, str], list[Entry]] = docstrings.entries


_NOT_LIBRARY = frozenset({"idlelib", "lib2to3", "site-packages", "dist-packages"})
_COMPILER = frozenset({"torch/_inductor", "torch/_dynamo"})

CORPORA: Mapping[str, Corpus] = MappingProxyType(
    {
        "stdlib-docs": Corpus(
            "Docstrings of Python's standard library, and the topics of its manual",
            (),
            _NOT_LIBRARY,
        ),
        "torch-docs": Corpus(
            "Docstrings of PyTorch",
            ("torch",),
            _COMPILER,
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
        "stdlib-code": Corpus(
            "Functions of Python's standard library", (), _NOT_LIBRARY, functions.entries
        ),
        "package-code": Corpus(
            "Functions of PyTorch, NumPy, PyArrow and the Hugging Face libraries",
            ("torch", "numpy", "pyarrow", "datasets", "huggingface_hub", "transformers"),
            _COMPILER,
            functions.entries,
        ),
    }
)


def versions(corpus: Corpus) -> list[str]:
    """List the installed versions of a corpus's sources."""
    if not corpus.packages:
        return [f"python {platform.python_version()}"]
    try:
        return [f"{package} {importlib.metadata.version(package)}" for package in corpus.packages]
    except importlib.metadata.PackageNotFoundError as error:
        raise _not_installed(str(error.name)) from None


def source_files(corpus: Corpus) -> list[tuple[str, Path]]:
    """List the source files of a corpus, without importing any."""
    if not corpus.packages:
        root = Path(sysconfig.get_path("stdlib"))
        return sorted(_walk(root, root, {".py"}, corpus.without).items())
    files: dict[str, Path] = {}
    for package in corpus.packages:
        root = _package_folder(package)
        suffixes = {".py", ".pyi"} if package in _COMPILED else {".py"}
        files |= _walk(root, root.parent, suffixes, corpus.without)
    return sorted(files.items())


def _walk(root: Path, base: Path, suffixes: set[str], without: frozenset[str]) -> dict[str, Path]:
    """Find the source files below a folder, by their path from the base."""
    sources: dict[str, Path] = {}
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(base)
        folders[:] = [
            name
            for name in folders
            if name not in _TEST_FOLDERS and (here / name).as_posix() not in without
        ]
        for name in files:
            if Path(name).suffix in suffixes:
                sources[(here / name).as_posix()] = Path(folder, name)
    return sources


def _package_folder(package: str) -> Path:
    # For a top-level name this searches the path and imports nothing.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _not_installed(package)
    return Path(next(iter(spec.submodule_search_locations)))


def _not_installed(package: str) -> DataError:
    return DataError(
        f"The package '{package}', which the built-in corpus is read from, is not "
        f"installed. Type: pip install {package}"
    )


def parse_names(spec: str) -> tuple[str, ...]:
    """Split a specification such as ``stdlib-docs+package-docs`` into corpus names.

    Example:
        >>> parse_names("stdlib-docs+package-docs")
        ('stdlib-docs', 'package-docs')
    """
    names = tuple(dict.fromkeys(name.strip() for name in spec.split("+")))
    _check(names)
    return names


def fingerprint(names: Sequence[str], split: str) -> str:
    """Identify the records of corpora, without reading any source file.

    Example:
        >>> len(fingerprint(["stdlib-docs"], "test"))
        64
    """
    _check(names, split)
    parts = [f"extractor {EXTRACTOR_VERSION} {dedup.RULE}", f"split {split}"]
    for name in names:
        parts += [f"corpus {name}", *versions(CORPORA[name])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def records(names: Sequence[str], split: str) -> Iterator[Record]:
    """Read the records of built-in corpora, in a fixed order.

    Of documentation there is one record per module docstring, per function, and per class (its
    docstring, then those of its methods); of code, one per function. A record has the shape of the
    ELI5 data set: `q_id`, `title` (the qualified name), `category` (the top-level package or
    module), and `answers` with `text` and `score`. The score is the number of words in the text:
    an honest integer, not a judgement.

    Example:
        >>> first = next(records(["stdlib-docs"], "train"))
        >>> sorted(first.value)
        ['answers', 'category', 'q_id', 'title']
    """
    _check(names, split)
    return iter(_splits(tuple(names))[split])


def _check(names: Sequence[str], split: str = "train") -> None:
    for name in names:
        if name not in CORPORA:
            raise DataError(
                f"There is no built-in corpus '{name}'.{nearest(name, CORPORA)} "
                f"Choose among {', '.join(CORPORA)}, or join several with '+'."
            )
    if not names:
        raise DataError(f"No built-in corpus is named. Choose among {', '.join(CORPORA)}.")
    if split not in SPLITS:
        raise DataError(
            f"A built-in corpus has no split '{split}'.{nearest(split, SPLITS)} "
            f"Its splits are {' and '.join(SPLITS)}; 'test' is held out by whole source files."
        )


@lru_cache(maxsize=4)
def _splits(names: tuple[str, ...]) -> Mapping[str, tuple[Record, ...]]:
    """Divide the entries, remove repeated texts, and make the records of both splits."""
    sides: dict[str, list[tuple[str, Entry]]] = {split: [] for split in SPLITS}
    for name in names:
        for entry in _entries(name):
            sides["test" if _is_held_out(entry.unit) else "train"].append((name, entry))
    texts = {
        split: [text for _, entry in side for text in entry.texts] for split, side in sides.items()
    }
    flags = dedup.keep_apart(texts["train"], texts["test"])
    return {split: _records(sides[split], kept) for split, kept in zip(SPLITS, flags, strict=True)}


def _records(side: Sequence[tuple[str, Entry]], kept: Sequence[bool]) -> tuple[Record, ...]:
    """Make the records of one split, given for each text whether to keep it."""
    made: list[Record] = []
    flags = iter(kept)
    for name, entry in side:
        texts = [text for text in entry.texts if next(flags)]
        if texts:
            place = f"{entry.path}:{entry.line}"
            value = {
                "q_id": place,
                "title": entry.title,
                "category": entry.unit.partition(".")[0],
                "answers": {"text": texts, "score": [len(text.split()) for text in texts]},
            }
            made.append(Record(len(made), value, f"builtin:{name} {place}"))
    return tuple(made)


def _is_held_out(unit: str) -> bool:
    digest = hashlib.sha256(unit.encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


@lru_cache(maxsize=len(CORPORA))
def _entries(name: str) -> tuple[Entry, ...]:
    """Read every source file of one corpus."""
    entries: list[Entry] = []
    unreadable: list[str] = []
    with _no_search_for_cycles():
        for path, file in source_files(CORPORA[name]):
            try:
                entries += CORPORA[name].read(file.read_bytes(), path)
            except (SyntaxError, ValueError, OSError) as error:
                unreadable.append(f"{path} ({error})")
    if unreadable:
        logger.warning(
            "builtin:%s: %d source files could not be read and are left out, the first is %s",
            name,
            len(unreadable),
            unreadable[0],
        )
    if not entries:
        raise DataError(
            f"builtin:{name} is empty here: this Python was installed without its source files. "
            f"Choose another among {', '.join(CORPORA)}."
        )
    return tuple(entries)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Switch Python's search for unreachable cycles off for a while.

    Syntax trees have no cycles, but so many nodes that the search goes through every object of
    PyTorch and transformers again and again: more than half of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
