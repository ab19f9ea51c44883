"""A model's settings: JSON of bounded size, and checks of config.json.

A configuration of a few bytes can ask for lists of a billion layers, for a program from somewhere
else, or for tokens that the vocabulary does not have.
"""

from __future__ import annotations

import json
import re
import stat
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from nextfill.core.errors import ModelError
from nextfill.models.libraries import gone_problem, library_errors

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
MEGABYTE = 2**20
DEEPEST = 64
"""Levels of lists and objects within one another; libraries copy them by calling themselves."""

MOST_LAYERS = 1000
"""Layers that a model of few weights may have, too; some use the same weights in every layer."""
LARGEST_SIZE = 2**24
LARGEST_COUNT = 2**20
_LAYERS = re.compile(r"layers?$|^(n_|num_)?(depth|blocks|stages)s?$")
_COUNT = re.compile(r"labels$|window|chunk|block_size|stride|kernel|bucket|hash")
_NOT_A_SIZE = re.compile(
    r"position|theta|length|seq|context|ctx|base|seed|tokens?$|_ids?$|freq|total"
)
_PROGRAM = re.compile(r"^_?(attn|experts)_implementation(_internal)?$")
_BUILTIN_PROGRAMS = {"eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm"}
_IDS = re.compile(
    r"^(bos|eos|pad|cls|sep|mask|unk|decoder_start|forced_bos|forced_eos)_token_id$"
    r"|^(begin_)?suppress_tokens$|^bad_words_ids$|^forced_decoder_ids$"
)

_CONTAINERS = frozenset([dict, list])

_PATIENCE_S = 0.05
"""Processor time for one match of a regular expression; an honest one takes microseconds."""


def read_json(path: Path, *, megabytes: int = 16) -> dict[str, Any]:
    """Read a JSON object from a regular file of bounded size and depth."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is no regular file: expected a file with a JSON object.")
        if status.st_size > megabytes * MEGABYTE:
            raise ModelError(
                f"{path} holds {status.st_size:,} bytes; expected JSON of {megabytes} MB at most. "
                "Fetch it again."
            )
        content = json.loads(path.read_bytes().decode())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error}. Expected a JSON object.") from error
    except RecursionError as error:
        raise ModelError(_too_deep(path)) from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} holds a JSON {type(content).__name__}; expected an object, {{...}}."
        )
    if _is_deeper(content, DEEPEST):
        raise ModelError(_too_deep(path))
    return content


def _too_deep(path: Path) -> str:
    return (
        f"{path} is damaged: its lists and objects lie more than {DEEPEST} deep within one another."
    )


def _is_deeper(content: dict[str, Any], limit: int) -> bool:
    level: list[Any] = [content]
    for _ in range(limit):  # a tokenizer has 150,000 values: isinstance of each takes twice as long
        within = chain.from_iterable(one.values() if type(one) is dict else one for one in level)
        level = [inner for inner in within if type(inner) in _CONTAINERS]
    return bool(level)


def settings_in(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every plain value in JSON with the keys that lead to it; lists have none.

    Example:
        >>> list(settings_in({"a": {"b": [1, 2]}, "c": None}))
        [(('a', 'b'), 1), (('a', 'b'), 2), (('c',), None)]
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from settings_in(inner, (*keys, key))
    elif isinstance(value, list):
        for inner in value:
            yield from settings_in(inner, keys)
    else:
        yield keys, value


def check_pattern(
    pattern: str, match: Callable[[str], object], texts: Iterable[str], file: str
) -> None:
    """Refuse a regular expression in a file that takes ages for one of the texts."""
    for text in texts:
        if min(_seconds(match, text) for _ in range(2)) > _PATIENCE_S:
            raise ModelError(
                f"{file}: the regular expression {pattern[:200]!r} takes ages, more than "
                f"{_PATIENCE_S * 1000:.0f} ms for {len(text)} characters: mend it, or take another "
                "file."
            )


def _seconds(match: Callable[[str], object], text: str) -> float:
    """Return the time of this thread alone, so that a busy machine makes no pattern slow."""
    before = time.thread_time()
    match(text)
    return time.thread_time() - before


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Read a model's config.json, refusing sizes and programs that no honest one has."""
    paths = sorted(folder.glob("config.*.json"))  # of which it may name one for a version
    if not (folder / CONFIG).is_file():
        is_tokenizer = (folder / "tokenizer.json").is_file()
        hint = " What is there is a tokenizer, for --tokenizer." if is_tokenizer else ""
        raise ModelError(
            f"{name} has no {CONFIG} (expected it in {folder}): give the folder of a model.{hint}"
        )
    for path in [*paths, folder / CONFIG]:
        config = read_json(path)
        for keys, value in settings_in(config):
            _check_setting(path, keys, value)
    if problem := gone_problem(config.get("model_type")):
        raise ModelError(f"{name} cannot be used: {problem}")
    return config


def _check_setting(path: Path, keys: tuple[str, ...], value: Any) -> None:
    key = keys[-1]
    program = next(filter(_PROGRAM.match, keys), None)
    if program is not None:
        if value is not None and value not in _BUILTIN_PROGRAMS:
            expected = ", ".join(sorted(_BUILTIN_PROGRAMS))
            raise ModelError(
                f"{path} asks for {program} {value!r}: a program from elsewhere would be fetched "
                f"and run. Remove the line; expected one of {expected}."
            )
        return
    if isinstance(value, bool) or not isinstance(value, int) or _NOT_A_SIZE.search(key):
        return
    largest = LARGEST_COUNT if _COUNT.search(key) or _LAYERS.search(key) else LARGEST_SIZE
    if value > largest:
        raise ModelError(
            f"{path} says {key} is {_number(value)}; no model has more than {largest:,}. "
            "Fetch it again."
        )


def transformers_config(folder: Path, name: str, *, trust_remote_code: bool) -> Any:
    """Read a model's configuration as an object of transformers."""
    from transformers import AutoConfig

    config = read_config(folder, name)
    kind = config.get("model_type")
    if "auto_map" in config and not trust_remote_code and kind not in known_types():
        raise ModelError(
            f"{name} is a {kind!r}, which comes with code of its own, and that is run only with "
            "--trust-remote-code: give it if you have read the code and trust it."
        )
    with library_errors(f"The configuration of {name} cannot be used", f"See {folder / CONFIG}."):
        return AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)


def known_types() -> Container[Any]:
    """Return the types of model that transformers has."""
    from transformers import CONFIG_MAPPING

    return list(CONFIG_MAPPING.keys())


def check_layers(config: Mapping[str, Any], num_tensors: int, folder: Path) -> None:
    """Refuse a config.json of more layers than its weights have tensors for."""
    limit = max(MOST_LAYERS, num_tensors)
    for keys, value in settings_in(config):
        key = keys[-1]
        if _LAYERS.search(key) and isinstance(value, int) and value > limit:
            raise ModelError(
                f"{folder / CONFIG} says {key} is {_number(value)}, and the weights are "
                f"{num_tensors:,} tensors, too few for so many layers. Fetch both again."
            )


def forget_ids(config: Any, kind: object, rows: int) -> None:
    """Take ids of special tokens out of a configuration that are its type's own and no rows' here.

    GPT-2's are 50256, which stay in the config of whoever trains one with a smaller vocabulary.
    Nothing reads them: the tokenizer says which tokens are special.
    """
    for key, value in list(vars(config).items()) if config is not None else ():
        if (
            _IDS.match(key)
            and isinstance(value, int)
            and value >= rows
            and _is_own(kind, key, value)
        ):
            setattr(config, key, None)


def _is_own(kind: object, key: str, value: object) -> bool:
    """Tell an id that a type of model has where nobody names any."""
    from transformers import CONFIG_MAPPING

    known = isinstance(kind, str) and kind in known_types()
    return known and value is not None and getattr(CONFIG_MAPPING[kind](), key, None) == value


def check_special_ids(settings: Mapping[str, Any], rows: int, path: Path, kind: object) -> None:
    """Refuse ids of special tokens beyond the rows of the embedding, but for the type's own."""
    for key, value in settings.items():
        if not _IDS.match(key):
            continue
        for keys, one in settings_in(value):
            is_id = one is None or (isinstance(one, int) and not isinstance(one, bool))
            if is_id and not keys and (one is None or -1 <= one < rows):  # -1 once said none
                continue
            if is_id and not keys and _is_own(kind, key, value):
                continue
            raise ModelError(
                f"{path} says {key} is {_number(one)}; expected an id of the vocabulary, from 0 to "
                f"{rows - 1}, or null. Mend it, or fetch it again."
            )


def _number(value: Any) -> str:
    if not isinstance(value, int):
        return repr(value)[:80]
    # Python writes out no number of more than 4,300 digits.
    return f"{value:,}" if value.bit_length() < 200 else f"a number of {value.bit_length()} bits"
