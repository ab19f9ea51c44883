"""The files read below a folder, glob, archive or bucket, and the reasons against others."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nextfill.config import Format
from nextfill.core.errors import DataError
from nextfill.data.records.fetched_inputs import kept_name
from nextfill.data.records.file_formats import ARCHIVE, TAR, format_by_name, placeholder, readable
from nextfill.data.records.files import shown
from nextfill.data.records.input_files import live_name

RUN, MODEL, TOKENIZER = "run directory", "model directory", "tokenizer directory"
CHECKPOINT, CACHE = "checkpoint directory", "cache directory"
RESULTS = "results of nextfill"

Read = Callable[[str, int], bytes]
"""Returns the first bytes of a file, at most so many, by its path below what was named."""

_MOST_BYTES = 1 << 20
_OF_A_RUN = {"measured.json", "ledger.json", "events.jsonl"}
_TABLES = {"model", "data", "training"}
_WEIGHTS = re.compile(
    r"(model|pytorch_model|adapter_model|tf_model|flax_model|consolidated)[\w.-]*"
    r"\.(safetensors|bin|h5|msgpack|pth?)"
)
_VOCABULARY = re.compile(r"(tokenizer|vocab|merges|spiece|sentencepiece\.bpe)\.(json|txt|model)")
_CACHED = {
    "stores": re.compile(r"[0-9a-f]{32}(\.tmp-.*)?"),
    "digests": re.compile(r"[0-9a-f]{32}\.(\d+\.tmp|json)"),
    "tokenizers": re.compile(r"[0-9a-f]{64}\.(\d+\.tmp|json)"),
    "locks": re.compile(r"[0-9a-f]{32}"),
}
_OF_A_STORE = re.compile(r"meta\.json|shard-\d{5}")
_OF_A_RECORD = {"digests": {"path", "state", "sha256"}, "tokenizers": {"fingerprint"}}
"""Of earlier versions; today's hold what `memory` writes."""

_REMEMBERED = {"about", "facts", "checksum"}
_RESULT = re.compile(
    rb'\{"record": \d+, ("sample": \d+, "prompt": |"blank": \d+, "answer": \d+, "prompt": '
    rb'|"nats": [\d.e+-]+, "targets": )'
)


def without_outputs(
    entries: Sequence[Entry], read: Read, root: str, *, pattern: re.Pattern[str] | None = None
) -> list[Entry]:
    """Put one entry that says what it is in the place of each folder that holds no text."""
    kinds = {folder: kind for folder, kind in _kinds(entries, read, root).items() if folder}
    kept: list[Entry] = []
    found: dict[str, Entry] = {}
    for entry in entries:
        if pattern is not None and not pattern.match(entry.path):
            continue
        above = [folder for folder in _above(entry.path) if folder in kinds]
        if above:
            folder = above[0]  # the outermost: a run, rather than its model
            kind = kinds[folder]
            whole = folder.rpartition("/")[0] if kind == CACHE else folder  # a cache has several
            found[whole] = Entry(folder, None, kind)
        elif pattern is None and entry.path.endswith(".jsonl") and _is_result(entry, read):
            kept.append(Entry(entry.path, entry.size, RESULTS))
        else:
            kept.append(entry)
    return [*kept, *found.values()]


def refuse_output(entries: Sequence[Entry], read: Read, what: str, path: str) -> None:
    """Refuse a folder that is itself no text: a run directory, a model, a tokenizer."""
    kind = _kinds(entries, read, Path(path).absolute().name).get("", "")
    if kind:
        use = f" It serves as --model {path}." if kind in (RUN, MODEL) else ""
        raise DataError(
            f"{what} is a {kind}, and its files are no text to read.{use} Name your text with "
            f"--data; files in there that are text, with a pattern: --data '{path}/*.txt'"
        )


def _kinds(entries: Iterable[Entry], read: Read, root: str) -> dict[str, str]:
    """Return what each folder is that is no text, by its path; the root's is empty."""
    children: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.unfit:  # a pipe, say, which must not be opened
            continue
        below = entry.path
        for folder in reversed(["", *_above(entry.path)]):
            children[folder].add(PurePosixPath(below).name)
            below = folder
    found = {
        folder: _kind(folder, names, read)
        or (CACHE if _is_cached(folder, PurePosixPath(folder).name or root, children, read) else "")
        for folder, names in children.items()
    }
    return {folder: kind for folder, kind in found.items() if kind}


def _above(path: str) -> list[str]:
    """Return the folders that a file lies in, the outermost first.

    Example:
        >>> _above("a/b/c.txt")
        ['a', 'a/b']
    """
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _kind(folder: str, names: set[str], read: Read) -> str:
    """Say what a folder is by the files in it, or return an empty string."""
    if "config.toml" in names and names & _OF_A_RUN and _is_of_a_run(folder, read):
        return RUN
    has_weights = any(_WEIGHTS.fullmatch(name) for name in names)
    if has_weights and names & {"config.json", "adapter_config.json"}:
        return MODEL
    if has_weights and "cursor.json" in names:
        return CHECKPOINT
    if "tokenizer_config.json" in names and any(_VOCABULARY.fullmatch(name) for name in names):
        return TOKENIZER
    return ""


def _is_of_a_run(folder: str, read: Read) -> bool:
    with suppress(ValueError):  # no TOML, or no text at all
        tree = tomllib.loads(read(_join(folder, "config.toml"), _MOST_BYTES).decode())
        return tree.keys() >= _TABLES
    return False


def _is_cached(folder: str, name: str, children: dict[str, set[str]], read: Read) -> bool:
    """Tell whether a folder is one of those in a cache."""
    names = sorted(one for one in children[folder] if not one.startswith("."))
    if not names:
        return False
    if name == "inputs":
        inputs = [Path(name) / one for one in names]
        return all(live_name(one) or kept_name(one) for one in inputs)
    if name not in _CACHED or not all(_CACHED[name].fullmatch(one) for one in names):
        return False
    if name == "stores":
        stores = (children.get(_join(folder, one), set()) for one in names)
        return all(any(map(_OF_A_STORE.fullmatch, store)) for store in stores)
    if name in _OF_A_RECORD:
        records = [_join(folder, one) for one in names if one.endswith(".json")]
        kinds = (_OF_A_RECORD[name], _REMEMBERED)
        return all(any(_has_keys(read, one, keys) for keys in kinds) for one in records[:1])
    return True


def _has_keys(read: Read, path: str, keys: set[str]) -> bool:
    with suppress(ValueError, AttributeError):
        return bool(json.loads(read(path, _MOST_BYTES)).keys() >= keys)
    return False


def _is_result(entry: Entry, read: Read) -> bool:
    return bool(entry.size and not entry.unfit and _RESULT.match(read(entry.path, 200)))


HIDDEN = "hidden"
SAVED_SPLITS = "dataset_dict.json"
_SAVED_WITH_ARROW = ("state.json", "dataset_info.json")
_MOST_SUFFIXES = 20
_LONGEST_SUFFIX = 12


@dataclass(frozen=True)
class Entry:
    """A file that was found.

    Args:
        path: Its path below what was named, with forward slashes.
        size: Bytes; None where nobody tells.
        unfit: Why it cannot be read whatever its name, or an empty string.
    """

    path: str
    size: int | None
    unfit: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names along the path, by which files are sorted."""
        return PurePosixPath(self.path).parts


@dataclass(frozen=True)
class Chosen:
    """A file that is read, its format and its compression."""

    entry: Entry
    format: str
    compression: str


def choose(
    entries: Iterable[Entry],
    asked: Format | None,
    what: str,
    head: Callable[[Entry], bytes] = lambda entry: b"",
) -> tuple[list[Chosen], Mapping[str, int]]:
    """Sort files by path, and part those that are read from those that are left out."""
    found = sorted(entries, key=lambda entry: entry.parts)
    folders_of_arrow = {entry.parts[:-1] for entry in found if entry.path.endswith(".arrow")}
    chosen: list[Chosen] = []
    left_out: Counter[str] = Counter()
    for entry in found:
        known, compression = format_by_name(entry.path)
        known = asked or known
        reason = _reason(entry, known, entry.parts[:-1] in folders_of_arrow)
        if known and not reason:
            reason = _placeholder(head(entry), known, compression, asked)
        if reason or known is None:
            left_out[reason] += 1
        else:
            chosen.append(Chosen(entry, known, compression))
    by_reason = _fewer(left_out)
    if not chosen:
        there = f"found {told(by_reason)}" if by_reason else "found no file at all"
        raise DataError(f"{what} holds no file that can be read: {there}. {readable()}")
    return chosen, by_reason


def _reason(entry: Entry, known: str | None, beside_arrow: bool) -> str:
    """Say why a file is left out, or return an empty string."""
    name = entry.parts[-1]
    if any(part.startswith(".") for part in entry.parts):
        return "not downloaded from iCloud" if name.endswith(".icloud") else HIDDEN
    if entry.unfit or entry.size == 0:
        return entry.unfit or "empty"
    if name in _SAVED_WITH_ARROW and beside_arrow:
        return "description of a saved data set"
    if known is not None:
        return "lock file of Office" if name.startswith("~$") else ""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ARCHIVE or TAR.search(name):
        return f"archive inside ({suffix})"
    return f"no text format ({shown(suffix[:_LONGEST_SUFFIX]) or 'no suffix'})"


def _placeholder(head: bytes, known: str, compression: str, asked: Format | None) -> str:
    """Say what lies in a file's place, or return an empty string."""
    found = placeholder(head, "" if compression else known, asked=asked is not None)
    return found.reason if found else ""


def _fewer(left_out: Counter[str]) -> dict[str, int]:
    """Return the commonest reasons, and the sum of the others."""
    kept = dict(left_out.most_common(_MOST_SUFFIXES))
    rest = left_out.total() - sum(kept.values())
    return {**kept, **({"no text format (others)": rest} if rest else {})}


def told(left_out: Mapping[str, int]) -> str:
    """Return counts as a message has them.

    Example:
        >>> told({"no text format (.png)": 2, "empty": 1})
        '2 no text format (.png), 1 empty'
    """
    return ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())


def splits_beside(paths: Sequence[str]) -> list[str]:
    """Return the splits of a saved data set of several, of which one has to be named."""
    if SAVED_SPLITS not in paths:
        return []
    return sorted({path.partition("/")[0] for path in paths if "/" in path})
