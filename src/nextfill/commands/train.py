"""`nextfill train`."""

from __future__ import annotations

from typing import Any

from nextfill.commands.command import JSON, QUIET, Command, observer_of
from nextfill.config import TrainConfig
from nextfill.errors import NotSharedError
from nextfill.flags import Argument, CommandLine
from nextfill.streams import print_json

RECIPE = Argument("recipe", "a TOML recipe, or the name of one that ships", "?")
RESUME = Argument("--resume", "go on with the run in --out")


def _run_train(line: CommandLine) -> Any:
    from nextfill.api.training import train_from

    observer, resume = observer_of(line), line.arguments.resume
    recipe = line.arguments.recipe
    try:
        return train_from(recipe, line.given, line.problems, resume=resume, observer=observer)
    except NotSharedError as error:  # the results come first: they are there, whatever the Hub said
        if error.result is not None:
            print_json(error.result.to_json()) if line.arguments.json else _show_train(error.result)
        raise


def _show_train(result: Any) -> None:
    from nextfill.show import show_training

    show_training(result)


def _quickstart() -> dict[tuple[str, ...], Any]:
    from nextfill.recipe import read_recipe
    from nextfill.resolve.training import QUICKSTART

    return {item.path: item.value for item in read_recipe(QUICKSTART)}


TRAIN = Command(
    "Fine-tune a language model on your text, and say how much better it got.",
    TrainConfig,
    (RECIPE, RESUME, QUIET, JSON),
    _run_train,
    _show_train,
    _quickstart,
)
