"""What a model's configuration may say, held against its weights before anything is made of it.

A configuration of a few bytes can ask for lists of a billion layers, for a program from somewhere
else, or for tokens that the vocabulary does not have.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from nextfill.core.errors import ModelError
from nextfill.models.model_folder import library_errors, read_json, settings_in

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
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
_OWN_PROGRAMS = {"eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm"}
_IDS = re.compile(
    r"^(bos|eos|pad|cls|sep|mask|unk|decoder_start|forced_bos|forced_eos)_token_id$"
    r"|^(begin_)?suppress_tokens$|^bad_words_ids$|^forced_decoder_ids$"
)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Read a model's configuration, refusing what no configuration says."""
    paths = sorted(folder.glob("config.*.json"))  # of which it may name one for a version
    if not (folder / CONFIG).is_file():
        raise ModelError(
            f"{name} has no {CONFIG} (expected it in {folder}): give the folder of a model."
        )
    for path in [*paths, folder / CONFIG]:
        config = read_json(path)
        for keys, value in settings_in(config):
            _check_setting(path, keys, value)
    return config


def _check_setting(path: Path, keys: tuple[str, ...], value: Any) -> None:
    key = keys[-1]
    program = next(filter(_PROGRAM.match, keys), None)
    if program is not None:
        if value is not None and value not in _OWN_PROGRAMS:
            expected = ", ".join(sorted(_OWN_PROGRAMS))
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


def read_shape(folder: Path, name: str, *, trust_remote_code: bool) -> Any:
    """Read a model's configuration as transformers makes it."""
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
    """Refuse a configuration of more layers than there can be weights for."""
    limit = max(MOST_LAYERS, num_tensors)
    for keys, value in settings_in(config):
        key = keys[-1]
        if _LAYERS.search(key) and isinstance(value, int) and value > limit:
            raise ModelError(
                f"{folder / CONFIG} says {key} is {_number(value)}, and the weights are "
                f"{num_tensors:,} tensors, too few for so many layers. Fetch both again."
            )


def read_generation_config(folder: Path) -> dict[str, Any]:
    """Read a model's settings of generation; none where it has none."""
    path = folder / GENERATION_CONFIG
    return read_json(path) if path.is_file() else {}


def check_special_ids(settings: Mapping[str, Any], rows: int, path: Path) -> None:
    """Refuse ids of special tokens beyond the vocabulary."""
    for key, value in settings.items():
        if not _IDS.match(key):
            continue
        for keys, one in settings_in(value):
            is_id = one is None or (isinstance(one, int) and not isinstance(one, bool))
            if is_id and not keys and (one is None or -1 <= one < rows):  # -1 once said none
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
