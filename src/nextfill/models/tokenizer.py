"""Load a tokenizer on its own, which preparing data needs and which does not import PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nextfill.config import ModelConfig
from nextfill.config.model_settings import LIVE, NOTHING_LIVE, Live
from nextfill.core.errors import ConfigError, ModelError
from nextfill.data.store.tokenizer_facts import tokenizer_facts
from nextfill.models.configuration import CONFIG, known_types, read_config, read_shape
from nextfill.models.location import model_folder
from nextfill.models.model_folder import library_errors
from nextfill.models.tokenizer_files import check_tokenizer_files, sample_ids

SCRATCH = "scratch:"


_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")
"""What tells that a folder holds a tokenizer; one of them is enough."""

_found: list[tuple[int, bool]] = []
"""How transformers' logging was before we made it quiet: its level, and whether it shows bars."""


def quiet_transformers() -> None:
    """Keep transformers' own bars and load reports off the terminal; ours say what matters."""
    from transformers.utils import logging

    if not _found:
        _found.append((logging.get_verbosity(), logging.is_progress_bar_enabled()))
    logging.set_verbosity_error()
    logging.disable_progress_bar()


@contextmanager
def transformers_as_found() -> Iterator[None]:
    """Let transformers speak again afterwards, to the program that goes on with it.

    Its Trainer, for one, shows no progress while it is quiet.
    """
    try:
        yield
    finally:
        if _found:
            from transformers.utils import logging

            level, shows_bars = _found.pop()
            logging.set_verbosity(level)
            if shows_bars:
                logging.enable_progress_bar()


def load_tokenizer(
    config: ModelConfig,
    live: Live = NOTHING_LIVE,
    *,
    alone: bool = False,
) -> Any:
    """Load the tokenizer that a job uses, without loading the model."""
    if live.tokenizer is not None:
        quiet_transformers()
        return _checked(live.tokenizer, config.tokenizer or config.name)
    return _load(config, *_place(config, alone=alone))


def load_tokenizer_facts(config: ModelConfig, cache: Path, live: Live = NOTHING_LIVE) -> Any:
    """Return what is known of a job's tokenizer; it is loaded only if it was never seen before."""
    if live.tokenizer is not None or config.trust_remote_code:
        return load_tokenizer(config, live)
    name, folder = _place(config)
    return tokenizer_facts(cache, folder, lambda: _load(config, name, folder))


def _place(config: ModelConfig, *, alone: bool = False) -> tuple[str, Path]:
    """Return the name of a job's tokenizer and the folder it lies in."""
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
    folder, _ = model_folder(name, revision, kind="tokenizer", called=called)
    if not any(file.is_file() for kind in _FILES for file in folder.glob(kind)):
        raise ModelError(
            f"{name} holds no tokenizer (expected tokenizer.json in {folder}): {advice}."
        )
    return name, folder


def _load(config: ModelConfig, name: str, folder: Path) -> Any:
    from transformers import AutoTokenizer

    quiet_transformers()
    has_config = (folder / CONFIG).is_file()  # which says what kind of tokenizer it is
    if has_config and read_config(folder, name).get("model_type") in known_types():
        read_shape(folder, name, trust_remote_code=config.trust_remote_code)
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
    """Say what to do about files of a tokenizer that cannot be loaded."""
    if (folder / "tokenizer.json").is_file():
        return (
            f"Its files in {folder} are damaged or of a kind that is not known: fetch them again."
        )
    held = sorted(file.name for kind in (*_FILES, "merges.txt") for file in folder.glob(kind))
    return (
        f"Found {', '.join(held)} in {folder}, and no tokenizer.json. vocab.txt is read with the "
        "config.json of its model, and vocab.json with that and merges.txt. For other kinds, where "
        "transformers and what it needs for it are installed, type AutoTokenizer"
        f".from_pretrained({str(folder)!r}).save_pretrained(FOLDER) and give --tokenizer FOLDER."
    )


def _checked(tokenizer: Any, name: str) -> Any:
    """Refuse a tokenizer without a Rust back end or without a vocabulary."""
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
