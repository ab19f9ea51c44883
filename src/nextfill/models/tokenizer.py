"""A tokenizer on its own: loading, checks of its files, its mask token; without PyTorch."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextfill.config import MaskingConfig, ModelConfig
from nextfill.config.prefixes import LIVE, SCRATCH
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, ModelError
from nextfill.core.model_folders import folders_within
from nextfill.core.shell_command import shell_command
from nextfill.data.store.tokenizer_backend import tokenizer_facts
from nextfill.models.folder.configuration import (
    CONFIG,
    known_types,
    read_config,
    transformers_config,
)
from nextfill.models.folder.location import ADAPTER_CONFIG, folder_with, holds_any
from nextfill.models.folder.tokenizer_files import PlainTokenizer, check_tokenizer_files, read_plain
from nextfill.models.libraries import library_errors, quiet_transformers
from nextfill.models.model_making import making_models

if TYPE_CHECKING:  # its NumPy would slow the help down
    from nextfill.objectives.masked import Masking

_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")
"""Files of which a tokenizer's folder holds one at least."""

TEXT = "The river, 12 stones;\n\tÜberfluß日本語🦊\ue000 aaaa  <s>"
"""Words, numbers, spaces and characters that a vocabulary may have no entry for."""
_MOST_TOKENS = 1000
"""Tokens that the text above may have: about twenty for every character."""


def load_tokenizer(
    config: ModelConfig,
    live: Live = NOTHING_LIVE,
    *,
    alone: bool = False,
) -> Any:
    """Load the tokenizer of a job without its model; ``alone`` if only a tokenizer was named."""
    if live.tokenizer is not None:
        quiet_transformers()
        return _checked(live.tokenizer, config.tokenizer or config.name)
    return _load(config, *_place(config, alone=alone))


def load_tokenizer_facts(config: ModelConfig, cache: Path, live: Live = NOTHING_LIVE) -> Any:
    """Return a job's tokenizer, or its cached `TokenizerFacts` if it was seen before."""
    if live.tokenizer is not None or config.trust_remote_code:
        return load_tokenizer(config, live)
    name, folder = _place(config)

    def load_plain() -> PlainTokenizer | None:
        check_tokenizer_files(folder)
        return read_plain(folder, TEXT, _MOST_TOKENS)

    return tokenizer_facts(cache, folder, lambda: _load(config, name, folder), load_plain)


def _place(config: ModelConfig, *, alone: bool = False) -> tuple[str, Path]:
    """Return the name of a job's tokenizer and its folder."""
    advice = "name the folder of one" if alone else "give one with --tokenizer"
    if config.tokenizer is None and config.name.startswith(SCRATCH):
        raise ConfigError([f"{config.name} has no tokenizer of its own: {advice}."])
    name = config.tokenizer or config.name
    if name.startswith(LIVE):
        raise ConfigError(
            [f"The tokenizer was a live one ({name}): hand it over again, as tokenizer=tokenizer."]
        )
    revision = config.revision if config.tokenizer is None else None
    called = "model" if config.tokenizer is None and not alone else "tokenizer"
    name, folder = folder_with(_FILES, name, revision, called)
    if not holds_any(folder, _FILES):
        if not holds_any(folder, (CONFIG, ADAPTER_CONFIG)):
            hint = folders_within(folder) or (
                f"If its files are your text, type: {shell_command('train', '--data', Path(name))}"
            )
            raise ModelError(
                f"{name} is no {called}: {folder} holds neither config.json nor tokenizer.json. "
                f"{hint}"
            )
        raise ModelError(
            f"{name} holds no tokenizer (expected tokenizer.json in {folder}): {advice}."
        )
    return name, folder


@making_models()
def _load(config: ModelConfig, name: str, folder: Path) -> Any:
    from transformers import AutoTokenizer

    quiet_transformers()
    has_config = (folder / CONFIG).is_file()  # which says what kind of tokenizer it is
    if has_config and read_config(folder, name).get("model_type") in known_types():
        transformers_config(folder, name, trust_remote_code=config.trust_remote_code)
    check_tokenizer_files(folder)
    with library_errors(f"The tokenizer of {name} cannot be loaded", _advice(folder)):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=config.trust_remote_code, **_letter_case(folder)
        )
    _checked(tokenizer, name)
    sample_ids(tokenizer, name)
    return tokenizer


def _letter_case(folder: Path) -> dict[str, bool]:
    """Return the option that keeps capitals, where a vocabulary has them and nothing else says so.

    transformers takes BERT's vocab.txt for one of small letters unless a setting says otherwise,
    and with a vocabulary that tells capitals apart would never find a word that begins with one.
    """
    vocabulary = folder / "vocab.txt"
    if (folder / "tokenizer.json").is_file() or not vocabulary.is_file():
        return {}
    with suppress(OSError, ValueError):
        if "do_lower_case" in json.loads((folder / "tokenizer_config.json").read_text("utf-8")):
            return {}
    with suppress(OSError, ValueError):
        words = vocabulary.read_text("utf-8").split()
        if any(word != word.lower() and word[0] not in "[<" for word in words):
            return {"do_lower_case": False}
    return {}


def _advice(folder: Path) -> str:
    """Return a remedy for files of a tokenizer that cannot be loaded."""
    if (folder / "tokenizer.json").is_file():
        return (
            f"Its files in {folder} are damaged or of a kind that is not known: fetch them again."
        )
    files = sorted(file.name for kind in (*_FILES, "merges.txt") for file in folder.glob(kind))
    return (
        f"Found {', '.join(files)} in {folder}, and no tokenizer.json. vocab.txt is read with the "
        "config.json of its model, and vocab.json with that and merges.txt. For other kinds, where "
        "transformers and what it needs for it are installed, type AutoTokenizer"
        f".from_pretrained({str(folder)!r}).save_pretrained(FOLDER) and give --tokenizer FOLDER."
    )


def _checked(tokenizer: Any, name: str) -> Any:
    """Return a tokenizer, refusing one without a Rust back end or without a vocabulary."""
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"The tokenizer of {name} has no tokenizer.json: convert it with transformers first."
        )
    # Where the files of a vocabulary are missing, transformers makes one of special tokens alone.
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(
            f"The tokenizer of {name} is empty: it holds no vocabulary, so that no text has tokens "
            "in it. Fetch its tokenizer.json, or vocab.txt, or vocab.json and merges.txt."
        )
    return tokenizer


def sample_ids(tokenizer: Any, name: str) -> list[int]:
    """Return the ids of a plain text, refusing a tokenizer that fails on it or bloats it."""
    with library_errors(f"The tokenizer of {name} cannot be used", "Fetch its files again."):
        ids: list[int] = tokenizer(TEXT)["input_ids"]
    if len(ids) > _MOST_TOKENS:
        raise ModelError(
            f"The tokenizer of {name} makes {amount(len(ids), 'token')} of {len(TEXT)} "
            "characters: its "
            "files are damaged. Fetch them again."
        )
    return ids


def masking_of(tokenizer: Any, config: MaskingConfig, name: str) -> Masking:
    """Return the masking of a tokenizer's vocabulary by the settings."""
    import numpy as np

    from nextfill.objectives.masked import Masking

    special = np.array(sorted(set(tokenizer.all_special_ids)), np.int64)
    ids = np.array(sorted(set(tokenizer.get_vocab().values())), np.int64)
    masking = Masking(
        rate=config.rate,
        unit=config.unit,
        mask_id=mask_id_of(tokenizer, name),
        special_ids=special,
        random_ids=ids[~np.isin(ids, special)],
        mask_share=config.mask_share,
        random_share=config.random_share,
    )
    for flag, rate in (("start", config.rate_start), ("end", config.rate_end)):
        if rate is None:
            continue
        try:
            replace(masking, rate=rate)
        except ConfigError as error:
            named = [one.replace("--mask-rate", f"--mask-rate-{flag}") for one in error.problems]
            raise ConfigError(named) from error
    return masking


def mask_id_of(tokenizer: Any, name: str) -> int:
    """Return the id of the mask token, refusing a tokenizer without one."""
    mask = tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            f"The tokenizer of {name} has no mask token, which a masked model fills in: give the "
            "model's own tokenizer, or one with a mask token, with --tokenizer."
        )
    return int(mask)
