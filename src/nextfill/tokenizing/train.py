"""Train a tokenizer: what may be learnt from, its vocabulary, and a folder of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nextfill.atomic_write import write_folder
from nextfill.config import TrainTokenizerConfig
from nextfill.data.tokens.tokenize import Encoder
from nextfill.data.tokens.write import batches
from nextfill.errors import ConfigError, RunError
from nextfill.paths import check_utf8_name, user_path
from nextfill.tokenizing.kinds import KINDS, check_vocabulary, finish
from nextfill.tokenizing.result import TokenizerResult
from nextfill.tokenizing.texts import Progress, Texts, divide

INPUTS = ["input_ids", "attention_mask"]
"""What a call gives: no token types, which most models refuse and BERT takes for zeros."""


def train_tokenizer_of(config: TrainTokenizerConfig, on_progress: Progress) -> TokenizerResult:
    """Learn a tokenizer from what `nextfill train` would not hold out, and save it.

    Args:
        config: The settings.
        on_progress: Told of each stage.

    Returns:
        Where it lies, and what it was learnt from.

    Raises:
        NextfillError: If settings, data or folder cannot be used; no folder is made then.
    """
    vocabulary = config.vocabulary
    check_vocabulary(vocabulary)
    out = new_folder(config.out)
    kind = KINDS[vocabulary.kind]
    with ExitStack() as stack:
        with _writing(out):  # before the work, so that a place that cannot be written is known
            beside = stack.enter_context(write_folder(out, owned=False))
        division = divide(config.data, config.seed, on_progress)
        core = kind.learn(division.learnt, vocabulary, on_progress)
        made = finish(core, kind.roles, kind.single, kind.pair, model_input_names=INPUTS)
        bytes_per_token = _bytes_per_token(made, division.held_out, on_progress)
        with _writing(out):
            made.save_pretrained(beside)
            stack.close()
    return TokenizerResult(
        tokenizer=str(out),
        kind=vocabulary.kind,
        vocab_size=len(made),
        asked_size=vocabulary.vocab_size,
        special_tokens={token: made.convert_tokens_to_ids(token) for token in kind.special_tokens},
        source=division.learnt.source.name,
        documents=division.learnt.num_documents,
        characters=division.learnt.num_characters,
        left_out=division.left_out,
        held_out=division.held_out.num_documents,
        bytes_per_token=bytes_per_token,
    )


def _bytes_per_token(tokenizer: Any, texts: Texts, on_progress: Progress) -> float:
    encoder = Encoder(tokenizer, "tokenizers")
    num_bytes = num_tokens = done = 0
    for batch in batches(texts.documents()):
        on_progress(f"encoding held-out {texts.source.name}", done, texts.num_characters)
        num_tokens += len(encoder.encode([document.text for document in batch])[0])
        num_bytes += sum(len(document.text.encode()) for document in batch)
        done += sum(len(document.text) for document in batch)
    return num_bytes / num_tokens if num_tokens else math.nan


def new_folder(out: str | None) -> Path:
    """Return the path of a folder to be made.

    Raises:
        ConfigError: If none was given.
        RunError: If it is in use.
    """
    if out is None:
        raise ConfigError(["--out names the tokenizer's folder: give one, such as --out my-words."])
    path = check_utf8_name(user_path(out, "--out"), "--out")
    if path.exists() and not path.is_dir():
        raise RunError(f"--out {out} is a file: give a folder.")
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"--out {out} is not empty: give a new or empty folder.")
    return path


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn what the disk refuses into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"--out {out} cannot be written: {error.strerror or error}.") from error
