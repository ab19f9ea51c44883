"""Built-in corpora: real English text on every machine, with no network.

The text is the documentation that comes with Python itself and with Nextfill's dependencies. It
is read from the source files through `ast`; none of the modules is imported, so a corpus takes
seconds (about 4 for torch's 27 MB of source) and runs no code.

What is held out is chosen so that perplexity before and after training can be compared honestly:

- whole source files (a topic of `pydoc` counts as a file), by a SHA-256 of the module's name, so
  that a module keeps its side on every machine, in every version and in every composition;
- exact and near duplicates are removed within each side and across the two, over all the corpora
  that are composed together: `nextfill.data.dedup` says how, and from which side.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import platform
import re
import string
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from nextfill.data import dedup
from nextfill.data.document import Record
from nextfill.errors import DataError, nearest

logger = logging.getLogger("nextfill")

# Part of the fingerprint: raise it whenever the same files would give other records.
EXTRACTOR_VERSION = 1
TEXT_FIELD = "answers.text"
SPLITS = ("train", "test")
HELD_OUT_SHARE = 0.1
MIN_CHARACTERS = 20
# Tests hold few sentences, and the same ones again and again.
_TEST_FOLDERS = frozenset({"test", "tests", "testing"})


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


def parse_names(spec: str) -> tuple[str, ...]:
    """Split a specification such as ``stdlib-docs+package-docs`` into corpus names.

    Args:
        spec: Names joined by ``+``; a repeated name counts once.

    Returns:
        The names, in the order written.

    Raises:
        DataError: If a name is unknown.

    Example:
        >>> parse_names("stdlib-docs+package-docs")
        ('stdlib-docs', 'package-docs')
    """
    names = tuple(dict.fromkeys(name.strip() for name in spec.split("+")))
    _check(names)
    return names


def fingerprint(names: Sequence[str], split: str) -> str:
    """Identify what `records` would give, without reading any source file.

    Args:
        names: Corpus names.
        split: ``"train"`` or ``"test"``.

    Returns:
        A SHA-256 as hexadecimal digits: it changes with the extractor, the version of Python or of
        a package read, the names and the split.

    Raises:
        DataError: If a name or the split is unknown, or a package is not installed.

    Example:
        >>> len(fingerprint(["stdlib-docs"], "test"))
        64
    """
    _check(names, split)
    parts = [f"extractor {EXTRACTOR_VERSION} {dedup.RULE}", f"split {split}"]
    for name in names:
        parts.append(f"corpus {name}")
        packages = CORPORA[name].packages
        parts += [f"{package} {_version(package)}" for package in packages]
        if not packages:
            parts.append(f"python {platform.python_version()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def records(names: Sequence[str], split: str) -> Iterator[Record]:
    """Read the records of built-in corpora, in a fixed order.

    There is one record per module docstring, per function, and per class (its docstring, then those
    of its methods). A record has the shape of the ELI5 data set: `q_id`, `title` (the qualified
    name), `category` (the top-level package or module), and `answers` with `text` and `score`. The
    score is the number of words in the text: an honest integer, not a judgement.

    Args:
        names: Corpus names, as `parse_names` gives them.
        split: ``"train"`` or ``"test"`` (whole source files, about a tenth of them).

    Returns:
        The records, numbered from 0 within the split.

    Raises:
        DataError: If a name or the split is unknown, or a source cannot be found.

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


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise DataError(
            f"The package '{package}', whose documentation the built-in corpus holds, is not "
            f"installed. Type: pip install {package}"
        ) from None


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one record will hold, before texts are removed."""

    unit: str  # what is held out as a whole: the module, or the topic
    title: str
    path: str
    line: int
    texts: tuple[str, ...]

    def record(self, number: int, corpus: str, texts: Sequence[str]) -> Record:
        return Record(
            number,
            {
                "q_id": f"{self.path}:{self.line}",
                "title": self.title,
                "category": self.unit.partition(".")[0],
                "answers": {"text": list(texts), "score": [len(text.split()) for text in texts]},
            },
            f"builtin:{corpus} {self.path}:{self.line}",
        )


@lru_cache(maxsize=4)
def _splits(names: tuple[str, ...]) -> Mapping[str, tuple[Record, ...]]:
    """Divide the entries, remove repeated texts, and make the records of both splits."""
    sides: dict[str, list[tuple[str, _Entry]]] = {split: [] for split in SPLITS}
    for name in names:
        for entry in _entries(name):
            sides["test" if _is_held_out(entry.unit) else "train"].append((name, entry))
    texts = {
        split: [text for _, entry in side for text in entry.texts] for split, side in sides.items()
    }
    train, test = dedup.keep_apart(texts["train"], texts["test"])
    flags = {"train": iter(train), "test": iter(test)}
    result: dict[str, tuple[Record, ...]] = {}
    for split, side in sides.items():
        made: list[Record] = []
        for name, entry in side:
            kept = [text for text in entry.texts if next(flags[split])]
            if kept:
                made.append(entry.record(len(made), name, kept))
        result[split] = tuple(made)
    return result


def _is_held_out(unit: str) -> bool:
    digest = hashlib.sha256(unit.encode()).digest()
    return int.from_bytes(digest[:8], "big") < HELD_OUT_SHARE * 2**64


@lru_cache(maxsize=len(CORPORA))
def _entries(name: str) -> tuple[_Entry, ...]:
    """Read every source file of one corpus."""
    found: list[_Entry] = []
    unreadable: list[str] = []
    for file, path in _sources(CORPORA[name]):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # other people's invalid escape sequences
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError) as error:
            unreadable.append(f"{path} ({error})")
            continue
        found += _Module(path).entries(tree)
    if unreadable:
        logger.warning(
            "builtin:%s: %d source files could not be read and are left out, the first is %s",
            name,
            len(unreadable),
            unreadable[0],
        )
    if not found:
        raise DataError(
            f"builtin:{name} is empty here: this Python was installed without its source files. "
            f"Choose another among {', '.join(CORPORA)}."
        )
    return tuple(found)


def _sources(corpus: Corpus) -> list[tuple[Path, str]]:
    """List a corpus' source files, sorted by their path below the sources' root."""
    roots = [_package_folder(package) for package in corpus.packages]
    roots = roots or [Path(sysconfig.get_path("stdlib"))]
    found: dict[str, Path] = {}
    for root in roots:
        base = root.parent if corpus.packages else root
        # Compiled packages hold their docstrings in stubs; elsewhere stubs repeat the sources.
        suffixes = {".py", ".pyi"} if root.name in {"tokenizers", "safetensors"} else {".py"}
        for folder, folders, files in os.walk(root):
            here = Path(folder).relative_to(base)
            folders[:] = [
                name
                for name in folders
                if name not in _TEST_FOLDERS and (here / name).as_posix() not in corpus.without
            ]
            for name in files:
                if Path(name).suffix in suffixes:
                    found[(here / name).as_posix()] = Path(folder, name)
    return sorted(((file, path) for path, file in found.items()), key=lambda item: item[1])


def _package_folder(package: str) -> Path:
    # For a top-level name this searches the path and imports nothing.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"The package '{package}', whose documentation the built-in corpus holds, is not "
            f"installed. Type: pip install {package}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


# In a text put together from parts, stands for a part that only running the code would give.
_UNKNOWN = "\0"
_ATTACHERS = frozenset({"add_docstr", "_add_docstr", "add_docstr_all", "add_newdoc"})


def _clean(text: str | None) -> str:
    """Clean a docstring; drop the lines that hold an unknown part and characters UTF-8 lacks."""
    cleaned = inspect.cleandoc(text or "").encode("utf-8", "replace").decode()
    if _UNKNOWN in cleaned:
        cleaned = "\n".join(line for line in cleaned.split("\n") if _UNKNOWN not in line)
    return cleaned.strip()


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return _clean(ast.get_docstring(node, clean=False))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, entering conditions (`if`, `try`, `with`), in source order."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            for name in ("body", "handlers", "orelse", "finalbody"):
                for child in getattr(node, name, ()):
                    yield from _statements(
                        child.body if isinstance(child, ast.ExceptHandler) else [child]
                    )
        else:
            yield node


class _Module:
    """Collects the documentation of one source file.

    Beside docstrings proper it reads those given by a call (`add_docstr(torch.abs, "...")`), by an
    assignment (`Adam.__doc__ = ...`), and pydoc's topics. Such a text may be put together from
    parts: what constants of the same file give is filled in, a line with anything else is dropped.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        parts = list(Path(path).with_suffix("").parts)
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" and parts[:-1] else parts)
        self.found: list[_Entry] = []
        self.constants: dict[str, str | dict[str, str]] = {}

    def entries(self, tree: ast.Module) -> list[_Entry]:
        self._add(self.name, 1, [_docstring(tree)])
        for node in _statements(tree.body):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._add(f"{self.name}.{node.name}", node.lineno, [_docstring(node)])
                case ast.ClassDef():
                    self._class(node, self.name)
                case ast.Assign(targets=[target], value=value):
                    self._assignment(target, value)
                case ast.Expr(value=ast.Call() as call):
                    self._call(call, None)
        return self.found

    def _add(self, title: str, line: int, texts: Sequence[str], unit: str | None = None) -> None:
        kept = tuple(text for text in texts if len(text) >= MIN_CHARACTERS)
        if kept:
            self.found.append(_Entry(unit or self.name, title, self.path, line, kept))

    def _class(self, node: ast.ClassDef, prefix: str) -> None:
        title = f"{prefix}.{node.name}"
        texts = [_docstring(node)]
        inner: list[ast.ClassDef] = []
        for child in _statements(node.body):
            match child:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    texts.append(_docstring(child))
                case ast.Assign(targets=[ast.Name(id="__doc__")], value=value):
                    texts.append(_clean(self._text(value)))
                case ast.ClassDef():
                    inner.append(child)
        self._add(title, node.lineno, texts)
        for child in inner:
            self._class(child, title)

    def _assignment(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Attribute(attr="__doc__", value=owner), _:
                self._add(
                    f"{self.name}.{ast.unparse(owner)}", target.lineno, [_clean(self._text(value))]
                )
            case ast.Name(id="topics"), ast.Dict() if self.name == "pydoc_data.topics":
                for key, text in zip(value.keys, value.values, strict=True):
                    if key is not None:
                        title = f"{self.name}.{self._text(key)}"
                        self._add(title, key.lineno, [_clean(self._text(text))], unit=title)
            case ast.Name(id=name), _:
                if isinstance(value, ast.Call) and self._call(value, name):
                    return
                known = self._text(value) or self._mapping(value)
                if known:
                    self.constants[name] = known

    def _call(self, call: ast.Call, target: str | None) -> bool:
        """Read `add_docstr(object, text)` or `add_newdoc(place, name, text | (member, text))`."""
        function = call.func.attr if isinstance(call.func, ast.Attribute) else None
        function = call.func.id if isinstance(call.func, ast.Name) else function
        if function not in _ATTACHERS or len(call.args) < 2:
            return False
        *owner, text = call.args
        title = ".".join(self._text(part) or ast.unparse(part) for part in owner)
        if target or (isinstance(owner[0], ast.Constant) and len(owner) == 1):
            title = f"{self.name}.{target or title}"
        pairs = text.elts if isinstance(text, ast.List) else [text]
        for pair in pairs:
            member, value = pair.elts if isinstance(pair, ast.Tuple) else (None, pair)
            name = f"{title}.{self._text(member)}" if member else title
            self._add(name, pair.lineno, [_clean(self._text(value))])
        return True

    def _text(self, node: ast.expr) -> str | None:
        """Evaluate an expression as text as far as the file's own constants allow."""
        known: str | dict[str, str] | None = None
        match node:
            case ast.Constant(value=str(constant)):
                known = constant
            case ast.Name(id=name):
                known = self.constants.get(name)
            case ast.FormattedValue(value=value):
                known = self._text(value)
            case ast.JoinedStr(values=values):
                known = "".join(self._text(value) or _UNKNOWN for value in values)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = [self._text(left), self._text(right)]
                if parts != [None, None]:
                    known = "".join(_UNKNOWN if part is None else part for part in parts)
            case ast.Call(func=ast.Attribute(value=template, attr="format")):
                known = self._text(template)
                if known is not None:
                    known = _fill(known, self._keywords(node.keywords))
        return known if isinstance(known, str) else None

    def _keywords(self, keywords: Sequence[ast.keyword]) -> dict[str, str]:
        values: dict[str, str] = {}
        for keyword in keywords:
            if keyword.arg is None:
                values |= self._mapping(keyword.value)
            else:
                values[keyword.arg] = self._text(keyword.value) or _UNKNOWN
        return values

    def _mapping(self, node: ast.expr) -> dict[str, str]:
        """Evaluate an expression as a mapping of texts, in torch's ways of writing one."""
        match node:
            case ast.Name(id=name):
                known = self.constants.get(name)
                return known if isinstance(known, dict) else {}
            case ast.Dict(keys=keys, values=values):
                pairs = [
                    (self._text(key), self._text(value))
                    for key, value in zip(keys, values, strict=True)
                    if key is not None
                ]
                return {key: value for key, value in pairs if key and value}
            case ast.Call(func=ast.Name(id="parse_kwargs"), args=[text]):
                sections = re.split(r"\n\s{4}(?!\s)", self._text(text) or "")
                return {part.split()[0]: part.strip() for part in sections if part.strip()}
            case ast.Call(func=ast.Name(id="merge_dicts"), args=parts):
                merged: dict[str, str] = {}
                for part in parts:
                    merged |= self._mapping(part)
                return merged
        return {}


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Do what `str.format` does with the fields that are known."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError:  # a lone brace: the file itself would fail here
        return template
    return "".join(
        literal + ("" if field is None else values.get(field, _UNKNOWN))
        for literal, field, _, _ in pieces
    )
