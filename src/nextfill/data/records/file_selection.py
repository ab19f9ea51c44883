"""The files read below a folder, glob, archive or bucket, and the reasons against others."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.data.records.file_formats import (
    ARCHIVE,
    HEAD_BYTES,
    INSTALL_DOCUMENTS,
    RICH_TEXT,
    TAR,
    format_by_name,
    placeholder,
    readable_formats,
)
from nextfill.data.records.files import INPUTS, display_name, input_name
from nextfill.data.records.foreign_files import (
    LOCK_OF_OFFICE,
    files_of_words,
    kind_by_name,
    plain_text_advice,
    some_of,
)

RUN, MODEL, TOKENIZER = "run directory", "model directory", "tokenizer directory"
CHECKPOINT, CACHE = "checkpoint directory", "cache directory"
RESULTS = "results of nextfill"
HIDDEN = "hidden"
_NO_FORMAT = "no text format"

Read = Callable[[str, int], bytes]
"""Returns the first bytes of a file, at most so many, by its path below the source."""

_MOST_BYTES = 1 << 20
_RUN_FILES = {"measured.json", "ledger.json", "events.jsonl"}
_TABLES = {"model", "data", "training"}
_WEIGHTS = re.compile(
    r"(model|pytorch_model|adapter_model|tf_model|flax_model|consolidated)[\w.-]*"
    r"\.(safetensors|bin|h5|msgpack|pth?)"
)
_VOCABULARY = re.compile(r"(tokenizer|vocab|merges|spiece|sentencepiece\.bpe)\.(json|txt|model)")
_CACHED = {
    "stores": re.compile(r"[0-9a-f]{32}(\.tmp-.*)?"),
    "digests": re.compile(r"[0-9a-f]{32}\.(\d+\.tmp|json)"),
    "tokenizers": re.compile(r"[0-9a-f]{64}\.(\d+\.tmp|json|backend)"),
    "locks": re.compile(r"[0-9a-f]{32}"),
}
_STORE_FILE = re.compile(r"meta\.json|shard-\d{5}")
_RECORD_KEYS = {"digests": {"path", "state", "sha256"}, "tokenizers": {"fingerprint"}}
"""Of earlier versions; today's are those of `core.json_cache`."""

_REMEMBERED = {"about", "facts", "checksum"}
_RESULT = re.compile(
    rb'\{"record": \d+, ("sample": \d+, "prompt": |"blank": \d+, "answer": \d+, "prompt": '
    rb'|("name": "([^"\\]|\\.)*", )?"nats": ([\d.e+-]+, "targets": |\{"))'
)
_PAGE = re.compile(
    rb'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/>'
    rb'<meta http-equiv="Content-Security-Policy" content="default-src &#x27;none'
)
_SAVED_WITH_ARROW = ("state.json", "dataset_info.json")
MOST_EXAMPLES = 3
"""Names of files that are left out for one reason, in messages."""

_MOST_SUFFIXES = 20
_LONGEST_SUFFIX = 12


@dataclass(frozen=True)
class Entry:
    """A file below a source, before its selection.

    Args:
        path: Its path below the source, with forward slashes.
        size: Bytes; None where unknown.
        unfit: The reason why it cannot be read whatever its name, or an empty string.
    """

    path: str
    size: int | None
    unfit: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names along the path, by which files are sorted."""
        return PurePosixPath(self.path).parts


@dataclass(frozen=True)
class SelectedFile:
    """The path, format and compression of a file to read."""

    path: str
    format: str
    compression: str


def select_files(
    entries: Iterable[Entry], format_flag: Format | None, what: str, read: Read | None = None
) -> tuple[list[SelectedFile], Mapping[str, int], Mapping[str, Sequence[str]]]:
    """Return the files to read, sorted by path; counts and first names of others by reason."""
    ordered = sorted(entries, key=lambda entry: entry.parts)
    folders_of_arrow = {entry.parts[:-1] for entry in ordered if entry.path.endswith(".arrow")}
    selected: list[SelectedFile] = []
    left_out: Counter[str] = Counter()
    names: defaultdict[str, list[str]] = defaultdict(list)
    for entry in ordered:
        by_name, compression = format_by_name(entry.path)
        file_format = format_flag or by_name
        reason = _reason(entry, file_format, entry.parts[:-1] in folders_of_arrow)
        if file_format and not reason and read is not None:
            head, outer = read(entry.path, HEAD_BYTES), "" if compression else file_format
            other = placeholder(head, outer, by_flag=format_flag is not None)
            reason = other.reason if other else ""
        if reason or file_format is None:
            left_out[reason] += 1
            if left_out[reason] <= MOST_EXAMPLES:
                names[reason].append(display_name(entry.path))
        else:
            selected.append(SelectedFile(entry.path, file_format, compression))
    by_reason = _commonest(left_out)
    if not selected:
        there = (
            f"found {describe_counts(by_reason, names)}" if by_reason else "found no file at all"
        )
        hints = " ".join([*not_read_though_words(ordered, read), readable_formats()])
        hints += plain_text_advice(_unknown(ordered), read)
        raise DataError(f"{what} holds no file that can be read: {there}. {hints}")
    return selected, by_reason, {reason: names[reason] for reason in by_reason if names[reason]}


def not_read_though_words(entries: Iterable[Entry], read: Read | None) -> list[str]:
    """Return a sentence, with the remedy, for each kind of files of words in no format."""
    paths = {display_name(path): path for path in _unknown(entries)}
    return files_of_words(paths, lambda name: read(paths[name], HEAD_BYTES) if read else b"")


def _unknown(entries: Iterable[Entry]) -> list[str]:
    """Return the paths of files whose names say no format."""
    reasons = ((one.path, _reason(one, None, beside_arrow=False)) for one in entries)
    return [p for p, why in reasons if why.startswith(_NO_FORMAT) and not format_by_name(p)[0]]


def _reason(entry: Entry, file_format: str | None, beside_arrow: bool) -> str:
    """Return the reason for leaving a file out, or an empty string."""
    name = entry.parts[-1]
    if any(part.startswith(".") for part in entry.parts):
        return "not downloaded from iCloud" if name.endswith(".icloud") else HIDDEN
    if entry.unfit or entry.size == 0:
        return entry.unfit or "empty"
    if name in _SAVED_WITH_ARROW and beside_arrow:
        return "description of a saved data set"
    if file_format is not None or (name.startswith(LOCK_OF_OFFICE) and kind_by_name(name)):
        return "lock file of Office" if name.startswith(LOCK_OF_OFFICE) else _unread(file_format)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ARCHIVE or TAR.search(name):
        return f"archive inside ({suffix})"
    return f"{_NO_FORMAT} ({display_name(suffix[:_LONGEST_SUFFIX]) or 'no suffix'})"


def _unread(file_format: str | None) -> str:
    """Return the reason for leaving a document out while the library that reads it is missing."""
    library = RICH_TEXT.get(file_format or "")
    if library is None or find_spec(library) is not None:
        return ""
    return f"documents (.{file_format}), read after {INSTALL_DOCUMENTS}"


def _commonest(left_out: Counter[str]) -> dict[str, int]:
    """Return the commonest reasons, and the sum of the others."""
    common = dict(left_out.most_common(_MOST_SUFFIXES))
    rest = left_out.total() - sum(common.values())
    return {**common, **({f"{_NO_FORMAT} (others)": rest} if rest else {})}


def describe_counts(
    left_out: Mapping[str, int], names: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> str:
    """Format counts by reason for a message, and after them the first names of each.

    Example:
        >>> describe_counts({"no text format (.png)": 4, "empty": 1}, {"empty": ["a.txt"]})
        '4 no text format (.png), 1 empty: a.txt'
    """
    counts = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
    named = [some_of(names[reason], left_out[reason]) for reason in left_out if names.get(reason)]
    return f"{counts}: {'; '.join(named)}" if named else counts


def without_outputs(
    entries: Sequence[Entry], read: Read, root: str, *, pattern: re.Pattern[str] | None = None
) -> list[Entry]:
    """Replace the files of each folder that holds no text, such as a run, by one unfit entry."""
    kinds = {folder: kind for folder, kind in _kinds(entries, read, root).items() if folder}
    others: list[Entry] = []
    outputs: dict[str, Entry] = {}
    for entry in entries:
        if pattern is not None and not pattern.match(entry.path):
            continue
        above = [folder for folder in _parents(entry.path) if folder in kinds]
        if above:
            folder = above[0]  # the outermost: a run, rather than its model
            kind = kinds[folder]
            whole = folder.rpartition("/")[0] if kind == CACHE else folder  # a cache has several
            outputs[whole] = Entry(folder, None, kind)
        elif pattern is None and _is_result(entry, read):
            others.append(Entry(entry.path, entry.size, RESULTS))
        else:
            others.append(entry)
    return [*others, *outputs.values()]


def refuse_output(entries: Sequence[Entry], read: Read, what: str, path: str) -> None:
    """Refuse a folder that is itself a run directory, a model, a tokenizer or a cache."""
    kind = _kinds(entries, read, Path(path).absolute().name).get("", "")
    if kind:
        use = f" {path} serves where a model is asked for." if kind in (RUN, MODEL) else ""
        raise DataError(
            f"{what} is a {kind}, and its files are no text to read.{use} Name your text with "
            f"--data; files in there that are text, with a pattern: --data '{path}/*.txt'"
        )


def _kinds(entries: Iterable[Entry], read: Read, root: str) -> dict[str, str]:
    """Return the kind of each folder without text, by its path; the root's path is empty."""
    children: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.unfit:  # a pipe, say, which must not be opened
            continue
        below = entry.path
        for folder in reversed(["", *_parents(entry.path)]):
            children[folder].add(PurePosixPath(below).name)
            below = folder
    kinds = {
        folder: _kind(folder, names, read)
        or (CACHE if _is_cached(folder, PurePosixPath(folder).name or root, children, read) else "")
        for folder, names in children.items()
    }
    return {folder: kind for folder, kind in kinds.items() if kind}


def _parents(path: str) -> list[str]:
    """Return the folders above a file, the outermost first.

    Example:
        >>> _parents("a/b/c.txt")
        ['a', 'a/b']
    """
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _kind(folder: str, names: set[str], read: Read) -> str:
    """Return the kind of a folder by the files in it, or an empty string."""
    if "config.toml" in names and names & _RUN_FILES and _is_run(folder, read):
        return RUN
    has_weights = any(_WEIGHTS.fullmatch(name) for name in names)
    if has_weights and names & {"config.json", "adapter_config.json"}:
        return MODEL
    if has_weights and "cursor.json" in names:
        return CHECKPOINT
    if "tokenizer_config.json" in names and any(_VOCABULARY.fullmatch(name) for name in names):
        return TOKENIZER
    return ""


def _is_run(folder: str, read: Read) -> bool:
    with suppress(ValueError):  # no TOML, or no text at all
        tree = tomllib.loads(read(_join(folder, "config.toml"), _MOST_BYTES).decode())
        return tree.keys() >= _TABLES
    return False


def _is_cached(folder: str, name: str, children: dict[str, set[str]], read: Read) -> bool:
    """Check for one of the folders of a cache."""
    names = sorted(one for one in children[folder] if not one.startswith("."))
    if not names:
        return False
    if name == INPUTS:
        return all(input_name(Path(name) / one) for one in names)
    if name not in _CACHED or not all(_CACHED[name].fullmatch(one) for one in names):
        return False
    if name == "stores":
        stores = (children.get(_join(folder, one), set()) for one in names)
        return all(any(map(_STORE_FILE.fullmatch, store)) for store in stores)
    if name in _RECORD_KEYS:
        records = [_join(folder, one) for one in names if one.endswith(".json")]
        kinds = (_RECORD_KEYS[name], _REMEMBERED)
        return all(any(_has_keys(read, one, keys) for keys in kinds) for one in records[:1])
    return True


def _has_keys(read: Read, path: str, keys: set[str]) -> bool:
    with suppress(ValueError, AttributeError):
        return bool(json.loads(read(path, _MOST_BYTES)).keys() >= keys)
    return False


def _is_result(entry: Entry, read: Read) -> bool:
    """Check for a file of ours: results of a command, or a page."""
    begin = {".jsonl": _RESULT, ".html": _PAGE}.get(PurePosixPath(entry.path).suffix)
    if begin is None or not entry.size or entry.unfit:
        return False
    return bool(begin.match(read(entry.path, 200)))
