"""Folders of ours and of models among the user's text, told by the files in them."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from nextfill.core.errors import DataError
from nextfill.core.shell_command import shell_word
from nextfill.data.records.file_selection import Entry, Read
from nextfill.data.records.files import INPUTS, input_name
from nextfill.data.records.formats.file_formats import format_by_name

RUN, MODEL, TOKENIZER = "run directory", "model directory", "tokenizer directory"
CHECKPOINT, CACHE = "checkpoint directory", "cache directory"
RESULTS = "results of nextfill"
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
_WRITTEN = ("txt", "md", "docx", "odt", "rtf", "epub", "pdf")
_OF_A_MODEL = ("README.md", "merges.txt", "vocab.txt", "added_tokens.txt")
"""Files of a model that look like text."""


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
        texts = {
            PurePosixPath(entry.path).suffix
            for entry in entries
            if "/" not in entry.path
            and format_by_name(entry.path)[0] in _WRITTEN
            and entry.parts[-1] not in _OF_A_MODEL
        }
        pattern = shell_word(f"{path.rstrip('/')}/*{min(texts)}") if texts else ""
        there = f"; what is text in there, with a pattern: --data {pattern}" if texts else "."
        raise DataError(
            f"{what} is a {kind}, and its files are no text to read.{use} Name your text with "
            f"--data{there}"
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
    if "cursor.json" in names and (has_weights or "shares.json" in names):
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
