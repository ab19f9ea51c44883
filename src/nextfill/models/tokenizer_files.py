"""Checks of a tokenizer's files before transformers reads them: ids, patterns and sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from nextfill.core.errors import ModelError
from nextfill.models.model_folder import library_errors, read_json, settings_in

_SHORT = 32
_LONG = (64, 128, 256, 512, 1024)
_MOST_LETTERS = 16
_PATIENCE_S = 0.05
"""Of the processor's time, for one text; an honest pattern takes some microseconds."""


def check_pattern(
    pattern: str, match: Callable[[str], object], texts: Iterable[str], where: str
) -> None:
    """Refuse a regular expression that takes ages."""
    for text in texts:
        if min(_seconds(match, text) for _ in range(2)) > _PATIENCE_S:
            raise ModelError(
                f"{where}: the regular expression {pattern[:200]!r} takes ages, more than "
                f"{_PATIENCE_S * 1000:.0f} ms for {len(text)} characters: mend it, or take another "
                "file."
            )


def runs(pattern: str) -> Iterator[str]:
    """Yield texts that repeat a character and end in another, for some of a pattern's own."""
    letters = dict.fromkeys([*"a1 .\né", *(c for c in pattern if c.isalnum())])
    for letter in list(letters)[:_MOST_LETTERS]:
        for length in (*range(1, _SHORT), *_LONG):
            yield letter * length + "\0"


def beginnings(names: Iterable[str]) -> Iterator[str]:
    """Yield the beginnings of names, each longer and longer."""
    for name in names:
        for length in range(1, len(name) + 1):
            yield name[:length]


def _seconds(match: Callable[[str], object], text: str) -> float:
    """Return the time of this thread's own, so that a busy machine makes no pattern slow."""
    before = time.thread_time()
    match(text)
    return time.thread_time() - before


_SLACK = 2**20
"""Ids that a vocabulary may leave out, beside as many as it has."""
_LARGEST = 2**24
_MOST_GROWTH = 4096
_FAST = "tokenizer*.json"
_CONFIG = "tokenizer_config*.json"


def check_tokenizer_files(folder: Path) -> None:
    """Refuse a tokenizer whose files would take gigabytes or for ever to read or to use."""
    settings = sorted(folder.glob(_CONFIG))
    for path in sorted(set(folder.glob(_FAST)) - set(settings)):
        if path.is_file():
            _check_fast(path)
    for path in [*settings, folder / "special_tokens_map.json"]:
        if path.is_file():
            _check_config(path)
    for name in ("vocab.json", "added_tokens.json"):
        if (folder / name).is_file():
            ids = read_json(folder / name, megabytes=128)
            _check_ids(folder / name, list(ids.values()), len(ids))


def _check_config(path: Path) -> None:
    content = read_json(path)
    decoder = content.get("added_tokens_decoder")
    if decoder is None:
        return
    if not isinstance(decoder, dict) or not all(key.isdecimal() for key in decoder):
        raise ModelError(f"{path}: added_tokens_decoder is damaged: expected tokens by their ids.")
    with library_errors(f"{path} is damaged"):  # numbers of too many digits
        _check_ids(path, [int(key) for key in decoder], len(decoder))


def _check_fast(path: Path) -> None:
    content = read_json(path, megabytes=128)
    model = content.get("model")
    added = content.get("added_tokens") or []
    if not isinstance(model, dict) or not isinstance(added, list):
        raise ModelError(f"{path} is damaged: expected an object model, and a list added_tokens.")
    vocabulary = model.get("vocab")
    ids: list[Any] = list(vocabulary.values()) if isinstance(vocabulary, dict) else []
    entries = len(vocabulary) if isinstance(vocabulary, dict | list) else 0
    ids += [one.get("id") if isinstance(one, dict) else one for one in added]
    _check_ids(path, ids, entries + len(added))
    around = {
        "model": {key: one for key, one in model.items() if key not in ("vocab", "merges")},
        **{key: one for key, one in content.items() if key not in ("model", "added_tokens")},
    }
    growth = 1
    for keys, value in settings_in(around):
        key = keys[-1]
        if key == "Regex" and isinstance(value, str):
            _check_regex(value, str(path))
        if key == "content" and isinstance(value, str):
            growth *= max(1, len(value))
        if isinstance(value, int) and not isinstance(value, bool) and value > _LARGEST:
            raise ModelError(
                f"{path} says {key} is a number of {value.bit_length()} bits; expected at most "
                f"{_LARGEST:,}. Fetch it again."
            )
    if growth > _MOST_GROWTH:
        raise ModelError(
            f"{path} replaces characters by texts so long that any text would become more than "
            f"{_MOST_GROWTH:,} times as long. Fetch it again."
        )


def _check_ids(path: Path, ids: Iterable[Any], entries: int) -> None:
    limit = 2 * entries + _SLACK
    for one in ids:
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < limit:
            shown = f"{one:,}" if isinstance(one, int) and one.bit_length() < 200 else type(one)
            raise ModelError(
                f"{path} gives a token the id {shown}; expected a whole number from 0 on, below "
                f"{limit:,} for its {entries:,} entries. Fetch it again."
            )


@lru_cache
def _check_regex(pattern: str, where: str) -> None:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    with library_errors(f"{where}: the regular expression {pattern[:200]!r} is none"):
        split = Split(Regex(pattern), "isolated")
        check_pattern(pattern, split.pre_tokenize_str, runs(pattern), where)


TEXT = "The river, 12 stones;\n\tÜberfluß日本語🦊\ue000 aaaa  <s>"
"""Words, numbers, spaces and characters that a vocabulary may have no entry for."""
_MOST_TOKENS = 1000
"""Tokens that the text above may have: about twenty for every character."""


def sample_ids(tokenizer: Any, name: str) -> list[int]:
    """Return the ids of a plain text, refusing a tokenizer that fails on it or bloats it."""
    with library_errors(f"The tokenizer of {name} cannot be used", "Fetch its files again."):
        ids: list[int] = tokenizer(TEXT)["input_ids"]
    if len(ids) > _MOST_TOKENS:
        raise ModelError(
            f"The tokenizer of {name} makes {len(ids):,} tokens of {len(TEXT)} characters: its "
            "files are damaged. Fetch them again."
        )
    return ids
