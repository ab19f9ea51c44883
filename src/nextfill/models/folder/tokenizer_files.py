"""The files of a tokenizer: what is checked before a library reads them, and a plain reading.

transformers takes seconds to load a tokenizer, most of them imports of PyTorch. Where a folder says
all that it would do, its backend is read alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import ModelError
from nextfill.data.store.tokenizer_backend import SPECIAL_IDS
from nextfill.models.folder.configuration import CONFIG, check_pattern, read_json, settings_in
from nextfill.models.libraries import library_errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FAST = "tokenizer*.json"
_CONFIG = "tokenizer_config*.json"

_SLACK = 2**20
"""Ids that a vocabulary may leave out, beside as many as it has."""
_LARGEST = 2**24
_MOST_GROWTH = 4096
_WHOLE = frozenset([int])  # and no truths

_SHORT = 32
_LONG = (64, 128, 256, 512, 1024)
_MOST_LETTERS = 16

_PLAIN_CLASS = "TokenizersBackend"
"""The class of transformers that takes a tokenizer.json as it is."""
_PLAIN_TYPES = ("gpt2", "roberta")
"""Types of models for which it still takes that class, where their folder names it."""
_NO_CHANGE = {"backend", "tokenizer_class", "model_max_length", "is_local", "local_files_only"}
_NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_OTHERS = ("special_tokens_map.json", "added_tokens.json")
_MOST_IDS = 100_000
"""Entries beyond which transformers may exchange the rule that cuts words."""


class PlainTokenizer:
    """A tokenizer without transformers: its backend, and the ids of its special tokens.

    Args:
        backend: The backend, as it lies in the folder.
        named: The special tokens by their names in the settings, such as ``eos_token``.
    """

    def __init__(self, backend: Tokenizer, named: Mapping[str, str]) -> None:
        self.backend_tokenizer = backend
        for name in SPECIAL_IDS:
            token = named.get(name.removesuffix("_id"))
            setattr(self, name, None if token is None else backend.token_to_id(token))


def read_plain(folder: Path, text: str, most_tokens: int) -> PlainTokenizer | None:
    """Return the tokenizer of a folder that transformers would load unchanged, else None.

    Args:
        folder: The folder, whose files have been checked.
        text: A text that it must be able to encode.
        most_tokens: Tokens that this text may have.
    """
    settings = folder / "tokenizer_config.json"
    file = folder / "tokenizer.json"
    if not settings.is_file() or not file.is_file():
        return None
    if any((folder / name).exists() for name in _OTHERS) or not _is_plain_model(folder):
        return None
    said = read_json(settings)
    named = {key: said[key] for key in _NAMED if key in said}
    if said.get("tokenizer_class") != _PLAIN_CLASS or said.keys() - _NO_CHANGE - named.keys():
        return None
    from tokenizers import Tokenizer

    try:
        with library_errors("plain"):
            backend = Tokenizer.from_file(str(file))
            backend.no_truncation()
            backend.no_padding()
            length = len(backend.encode(text).ids)
    except ModelError:  # which transformers will tell
        return None
    added = backend.get_added_tokens_decoder().values()
    special = {one.content for one in added if one.special}
    if backend.post_processor is None or not {*map(str, named.values())} <= special:
        return None
    is_usable = len(special) < backend.get_vocab_size() <= _MOST_IDS and length <= most_tokens
    return PlainTokenizer(backend, named) if is_usable else None


def _is_plain_model(folder: Path) -> bool:
    if not (folder / CONFIG).exists():
        return True
    return read_json(folder / CONFIG).get("model_type") in _PLAIN_TYPES


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
            _check_ids(folder / name, ids.values(), len(ids))


def _check_config(path: Path) -> None:
    decoder = read_json(path).get("added_tokens_decoder")
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
    ids = list(ids)
    if (
        _WHOLE.issuperset(map(type, ids))
        and 0 <= min(ids, default=0) <= max(ids, default=0) < limit
    ):
        return
    for one in ids:
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < limit:
            shown = f"{one:,}" if isinstance(one, int) and one.bit_length() < 200 else type(one)
            raise ModelError(
                f"{path} gives a token the id {shown}; expected a whole number from 0 on, below "
                f"{limit:,} for its {entries:,} entries. Fetch it again."
            )


@lru_cache
def _check_regex(pattern: str, file: str) -> None:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    with library_errors(f"{file}: the regular expression {pattern[:200]!r} is none"):
        split = Split(Regex(pattern), "isolated")
        check_pattern(pattern, split.pre_tokenize_str, _repeated_letters(pattern), file)


def _repeated_letters(pattern: str) -> Iterator[str]:
    """Yield texts of one character repeated and another at the end, for some of a pattern's own."""
    letters = dict.fromkeys([*"a1 .\né", *(c for c in pattern if c.isalnum())])
    for letter in list(letters)[:_MOST_LETTERS]:
        for length in (*range(1, _SHORT), *_LONG):
            yield letter * length + "\0"
