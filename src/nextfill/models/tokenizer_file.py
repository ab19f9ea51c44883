"""A tokenizer's files, looked at before transformers reads them: ids, patterns and sizes.

An id far beyond the vocabulary makes tables of gigabytes, a regular expression can take for ever,
and a normaliser that replaces one letter by a million makes as much of any text.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from nextfill.errors import ModelError
from nextfill.models.json_file import read_json, settings_in
from nextfill.models.library_errors import library_errors
from nextfill.models.patterns import check_pattern, runs

_SLACK = 2**20
"""Ids that a vocabulary may leave out, beside as many as it has."""
_LARGEST = 2**24
_MOST_GROWTH = 4096
_FAST = "tokenizer*.json"
_CONFIG = "tokenizer_config*.json"


def check_tokenizer_files(folder: Path) -> None:
    """Refuse a tokenizer whose files would take gigabytes or for ever to read or to use.

    Args:
        folder: Where they lie.

    Raises:
        ModelError: With the file, and what is wrong.
    """
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
    """Return the ids of a plain text, refusing a tokenizer that fails on it or bloats it.

    Args:
        tokenizer: A transformers tokenizer.
        name: As the user wrote it, for messages.

    Raises:
        ModelError: With what it does.
    """
    with library_errors(f"The tokenizer of {name} cannot be used", "Fetch its files again."):
        ids: list[int] = tokenizer(TEXT)["input_ids"]
    if len(ids) > _MOST_TOKENS:
        raise ModelError(
            f"The tokenizer of {name} makes {len(ids):,} tokens of {len(TEXT)} characters: its "
            "files are damaged. Fetch them again."
        )
    return ids
