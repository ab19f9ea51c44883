"""`nextfill tokenizer train` and `nextfill tokenizer inspect`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, QUIET, Command, observer_of
from nextfill.config import InspectTokenizerConfig, TrainTokenizerConfig
from nextfill.flags import Argument, CommandLine

TOKENIZERS = Argument("tokenizer", "folder, run directory, Hub id or builtin:NAME", "+")


def _train(line: CommandLine) -> Any:
    from nextfill.api.tokenizing import train_tokenizer_from

    return train_tokenizer_from(line.given, line.problems, observer_of(line))


def _inspect(line: CommandLine) -> Any:
    from nextfill.api.tokenizing import inspect_tokenizer_from

    names = line.arguments.tokenizer
    return inspect_tokenizer_from(names, line.given, line.problems, observer_of(line))


def _show_training(result: Any) -> None:
    from nextfill.show import show_tokenizer

    show_tokenizer(result)


def _show_inspection(result: Any) -> None:
    from nextfill.show import show_inspection

    show_inspection(result)


TRAIN_TOKENIZER = Command(
    "Train a tokenizer on your text, but for what nextfill train would hold out.",
    TrainTokenizerConfig,
    (QUIET, JSON),
    _train,
    _show_training,
)

INSPECT_TOKENIZER = Command(
    "See what tokenizers make of your text, and what they split worst.",
    InspectTokenizerConfig,
    (TOKENIZERS, QUIET, JSON),
    _inspect,
    _show_inspection,
)
