"""New words of a run: their choice, their tokens and embeddings, and the model without them.

The model is scored as it is, in its own tokens, before it gets new ones: afterwards a token is
something else, and only figures over bytes can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nextfill.config import NewTokensConfig, TrainConfig
from nextfill.config.prefixes import SCRATCH
from nextfill.config.settings.model_settings import Live
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError
from nextfill.core.paths import user_path
from nextfill.core.progress import Observer
from nextfill.data.costly_words import costly_words
from nextfill.data.parts import Part
from nextfill.data.store.tokenizer_backend import fingerprint_of
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.new_embeddings import add_embeddings
from nextfill.models.new_tokens import Extension, check_saved, check_words, extend_tokenizer
from nextfill.models.trained_parameters import embedding_names
from nextfill.training.model_before import StagesAlone, figures_before
from nextfill.training.training_data import prepare_parts

NEW_TOKENS = "new tokens"
"""Name of the checksum of a tokenizer with its new words, among those of a run's model."""


@dataclass(frozen=True)
class NewTokens:
    """What a run added to its model's vocabulary.

    Args:
        extension: The words and their tokens.
        fingerprint: That of the tokenizer with them.
        held_out_tokens_without: Tokens of the held-out documents before.
        without: The figures of the model without them, in its own tokens, on the held-out
            documents; None of a model of random weights, and where they are on record already.
    """

    extension: Extension
    fingerprint: str
    held_out_tokens_without: int
    without: Mapping[str, Any] | None

    def event(self, held_out: Part) -> dict[str, Any]:
        """Return the record of it in a run's events; the held-out part is in the new tokens."""
        return {
            "event": "new tokens",
            "step": 0,
            "words": list(self.extension.words),
            "tokens": len(self.extension.tokens),
            "already": list(self.extension.already),
            "held_out_tokens": held_out.num_tokens,
            "held_out_tokens_without": self.held_out_tokens_without,
            "without": self.without,
        }


def add_new_tokens(
    config: TrainConfig,
    loaded: LoadedModel,
    observer: Observer,
    *,
    live: Live,
    device: torch.device,
    compare: bool,
) -> tuple[TrainConfig, LoadedModel, NewTokens | None]:
    """Give the words of the settings tokens of their own, and record those that were found.

    Args:
        config: The settings, with the block size.
        loaded: The model.
        observer: Gets notes on it.
        live: Model and tokenizer of a program, which are not made larger.
        device: The device to score the model on.
        compare: Whether to score the model without them, too.
    """
    settings = config.new_tokens
    if not settings.wanted:
        return config, loaded, None
    _check_model(loaded, live)
    words = check_words(settings.words, loaded.tokenizer, "--add-tokens")
    chosen = settings.chosen
    if chosen is None:
        chosen = _words_of_file(settings, loaded)
        chosen += _words_of_data(config, loaded, {*words, *chosen}, observer)
    every = list(dict.fromkeys([*words, *chosen]))
    extension = extend_tokenizer(loaded.tokenizer, every, loaded.name)
    config = replace(config, new_tokens=replace(settings, chosen=chosen or None))
    if extension.already:
        count = len(extension.already)
        shown = ", ".join(extension.already[:3]) + (", ..." if count > 3 else "")
        observer.on_note(
            f"{amount(count, 'word')} {'is' if count == 1 else 'are'} in the vocabulary of "
            f"{loaded.name} already: {shown}"
        )
    if not extension.tokens:
        return config, loaded, None
    trust = config.model.trust_remote_code
    check_saved(extension, loaded.model.config, loaded.name, trust_remote_code=trust)
    without, tokens = None, 0
    if compare:
        part = prepare_parts(config, loaded, StagesAlone(observer)).held_out
        tokens = part.num_tokens
        if not loaded.name.startswith(SCRATCH):
            loaded.model.to(device)
            label = "evaluating the model without new tokens"
            without = figures_before(config, loaded, part, observer, label)
    loaded = add_embeddings(loaded, extension)
    observer.on_note(
        f"{amount(len(extension.tokens), 'new token')} for {amount(len(extension.words), 'word')}; "
        "a token is no longer what it was, so compare bits per byte, not perplexities"
    )
    return config, loaded, NewTokens(extension, fingerprint_of(loaded.tokenizer), tokens, without)


def check_trained(loaded: LoadedModel, new: NewTokens | None) -> None:
    """Refuse to leave the rows of new tokens untrained."""
    if new is None:
        return
    frozen = {name for name, one in loaded.model.named_parameters() if not one.requires_grad}
    model: Any = loaded.model
    tables = {
        id(one.weight) for one in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    named = dict(loaded.model.named_parameters())
    if left := sorted(one for one in frozen & embedding_names(model) if id(named[one]) in tables):
        raise ConfigError(
            [
                f"--add-tokens: {', '.join(left)} would not be trained, and with them no new "
                "token: leave out --freeze embeddings, or name embeddings in --train-only, too."
            ]
        )


def _check_model(loaded: LoadedModel, live: Live) -> None:
    """Refuse a model that cannot be given new tokens for good."""
    if live.model is not None or live.tokenizer is not None:
        raise ConfigError(
            [
                "--add-tokens makes a model and a tokenizer larger, and live ones are yours: give "
                "a name, or type tokenizer.add_tokens(...) and model.resize_token_embeddings("
                "len(tokenizer)) first."
            ]
        )
    if loaded.adapter is not None:
        raise ConfigError(
            [
                f"--add-tokens: {loaded.name} is an adapter, which holds no embeddings: merge it "
                "first, or train the whole model that it is for."
            ]
        )


def _words_of_file(settings: NewTokensConfig, loaded: LoadedModel) -> list[str]:
    """Return the words of a file, one a line; empty lines are none."""
    if settings.file is None:
        return []
    flag = "--add-tokens-file"
    path = user_path(settings.file, flag)
    words = [line.strip() for line in _read(path, flag).splitlines()]
    words = [word for word in words if word]
    if not words:
        raise ConfigError([f"{flag} {path} holds no word; expected one a line."])
    return check_words(words, loaded.tokenizer, f"{flag} {path}")


def _read(path: Path, flag: str) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{flag} {path} is not in UTF-8: {error}."]) from error
    except OSError as error:
        raise ConfigError(
            [f"{flag} {path} cannot be read: {error.strerror}. Expected a file, a word a line."]
        ) from error


def _words_of_data(
    config: TrainConfig, loaded: LoadedModel, named: Set[str], observer: Observer
) -> list[str]:
    """Return the words of the training part that save most tokens, without those named already.

    Nothing of the held-out part is counted.
    """
    wanted = config.new_tokens.from_data
    if wanted is None:
        return []
    part = prepare_parts(config, loaded, StagesAlone(observer)).train
    found = [one.text for one in costly_words(part, loaded.tokenizer, observer.on_stage)]
    left_out = {*loaded.tokenizer.all_special_tokens, *named}
    fitting = [word for word in found if "," not in word and word not in left_out][:wanted]
    if len(fitting) < wanted:
        raise ConfigError(
            [
                f"--add-tokens-from-data {wanted}: the training data hold "
                f"{amount(len(fitting), 'word')} that {loaded.name} splits: ask for "
                f"{len(fitting) or 'none'}{' at most' if fitting else ', leave it out'}."
            ]
        )
    return fitting
