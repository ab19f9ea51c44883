"""The class of commands, and those on data, runs, recipes, the cache and tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nextfill.config import (
    CacheConfig,
    InspectTokenizerConfig,
    LookConfig,
    NoConfig,
    PrepareConfig,
    PruneConfig,
    TrainConfig,
    TrainTokenizerConfig,
)
from nextfill.config.command_line.flags import Argument, CommandLine
from nextfill.config.options import Assignment
from nextfill.core.errors import NotSharedError, OtherRankError
from nextfill.core.progress import Observer, Silent
from nextfill.core.streams import print_json

if TYPE_CHECKING:
    from nextfill.api.verb import Request

QUIET = Argument("--quiet", "no progress on stderr")
JSON = Argument("--json", "print one JSON object on stdout, and nothing else there")
RECIPE = Argument("recipe", "a TOML recipe, or the name of one that ships", "?")
RESUME = Argument("--resume", "go on with the run in --out, also to other --max-steps or --epochs")
REWARM = Argument("--rewarm", "with --resume and further steps: begin the schedule anew from there")
NAME = Argument("name", "show this recipe, whole", "?")
SCHEMA = Argument("--schema", "print the JSON schema of recipes, for an editor to check them by")
TOKENIZERS = Argument("tokenizer", "folder, run directory, Hub id or builtin:NAME", "+")


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Args:
        summary: Its help, in a line.
        root: Its config class, whose fields are its flags.
        arguments: Its arguments that are not settings.
        run: Does the work and returns the result, of which ``--json`` prints the plain form; None
            where everything is printed already.
        show: Prints the result for a person.
        quickstart: Returns the defaults of settings where the model is a bundled one.
    """

    summary: str
    root: type
    arguments: tuple[Argument, ...]
    run: Callable[[CommandLine], Any]
    show: Callable[[Any], None]
    quickstart: Callable[[], Mapping[tuple[str, ...], Any]] | None = None


def from_tables(name: str) -> Callable[[Any], None]:
    """Return a function of `nextfill.cli.tables` that imports the module when it is called."""

    def show(result: Any) -> None:
        getattr(import_module("nextfill.cli.tables"), name)(result)

    return show


def observer_of(line: CommandLine) -> Observer:
    """Return the observer that shows progress at the terminal, or nothing with ``--quiet``."""
    from nextfill.terminal.progress_bar import Terminal

    return Silent() if line.arguments.quiet else Terminal()


def request(line: CommandLine, *arguments: Assignment, **receivers: Any) -> Request:
    """Return the request of a command line to a verb; settings among its arguments come first."""
    from nextfill.api.verb import Request

    return Request([*arguments, *line.settings], line.problems, **receivers)


def refuse_settings(line: CommandLine) -> None:
    """Raise the mistakes in the line of a command without settings."""
    from nextfill.config.layers import build

    build(NoConfig, [line.settings], line.problems)


def _run_train(line: CommandLine) -> Any:
    from nextfill.api.train import train
    from nextfill.cli.piped_text import refuse_unread_text
    from nextfill.training.distributed.rank_environment import is_follower

    asked, typed = request(line, observer=observer_of(line)), line.arguments
    if typed.recipe is None and not typed.resume:
        refuse_unread_text(line)
    if (count := ranks_to_start(line, TrainConfig)) > 1:
        from nextfill.api.train import check_settings
        from nextfill.training.distributed.rank_launch import launch, resumption

        check_settings(typed.recipe, asked, count, resume=typed.resume, rewarm=typed.rewarm)
        out = [str(item.value) for item in line.settings if item.path == ("out",)]
        going_on = resumption(out[0] if out else None, count)
        if status := launch("train", line.words, count, going_on):
            raise OtherRankError("", status)
        return None
    try:
        result = train(typed.recipe, resume=typed.resume, rewarm=typed.rewarm, request=asked)
        return None if is_follower() else result
    except NotSharedError as error:  # the results come first: they are there, whatever the Hub said
        if error.result is not None:
            show = print_json if line.arguments.json else TRAIN.show
            show(error.result.to_json() if line.arguments.json else error.result)
        raise


def ranks_to_start(line: CommandLine, root: type) -> int:
    """Return the number of processes to start for a command; 1 in each of them."""
    asked = [item.value for item in line.settings if item.path == ("nproc",)]
    if not asked or line.problems:
        return 1
    from nextfill.training.distributed.rank_environment import launched_rank

    if launched_rank(may_be_alone=root is not TrainConfig) is not None:
        return 1
    from nextfill.config.layers import build
    from nextfill.training.distributed.rank_launch import number_of_ranks

    config: Any = build(root, [[item for item in line.settings if item.path == ("nproc",)]])
    return number_of_ranks(config.nproc)


def _quickstart() -> dict[tuple[str, ...], Any]:
    from nextfill.config.shipped_recipes import QUICKSTART, shipped_settings

    return shipped_settings(QUICKSTART)


TRAIN = Command(
    "Fine-tune a language model on your text, and say how much better it got.",
    TrainConfig,
    (RECIPE, RESUME, REWARM, QUIET, JSON),
    _run_train,
    from_tables("show_training"),
    _quickstart,
)


def _run_look(line: CommandLine) -> Any:
    from nextfill.api.look import look
    from nextfill.cli.piped_text import refuse_unread_text

    refuse_unread_text(line)
    return look(request=request(line, observer=observer_of(line)))


LOOK = Command(
    "Look at the first records of data, and at the documents and blocks they become.",
    LookConfig,
    (QUIET, JSON),
    _run_look,
    from_tables("show_look"),
)


def _run_prepare(line: CommandLine) -> Any:
    from nextfill.api.prepare import prepare
    from nextfill.cli.piped_text import refuse_unread_text

    refuse_unread_text(line)
    return prepare(request=request(line, observer=observer_of(line)))


PREPARE = Command(
    "Read, tokenize and divide data; print where every token went.",
    PrepareConfig,
    (QUIET, JSON),
    _run_prepare,
    from_tables("show_preparation"),
)


def _run_recipes(line: CommandLine) -> Any:
    from nextfill.config.recipe_file import recipe_schema, recipes

    refuse_settings(line)
    if line.arguments.schema:
        import json

        schema = recipe_schema()
        if line.arguments.json:
            return schema
        print(json.dumps(schema, indent=2))
        return None
    shipped = recipes(line.arguments.name)
    if line.arguments.json:
        return {"recipes": [recipe.to_json() for recipe in shipped]}
    if line.arguments.name is not None:
        print(shipped[0].toml, end="")
        return None
    return shipped


RECIPES = Command(
    "List the recipes that ship, or show one of them.",
    NoConfig,
    (NAME, SCHEMA, JSON),
    _run_recipes,
    from_tables("show_recipes"),
)


def _list_cache(line: CommandLine) -> Any:
    from nextfill.api.cache import list_cache

    return list_cache(request=request(line))


def _prune_cache(line: CommandLine) -> Any:
    from nextfill.api.cache import prune_cache

    return prune_cache(request=request(line))


def _size_of_cache(line: CommandLine) -> Any:
    listing = _list_cache(line)
    sizes = {"cache": str(listing.cache), "size_bytes": listing.size_bytes}
    by_kind = {
        kind: sum(entry.size_bytes for entry in listing.entries if entry.kind == kind)
        for kind in ("tokens", "model", "input", "tokenizer", "unfinished")
    }
    return {**sizes, "limit_bytes": listing.limit_bytes, "by_kind": by_kind}


CACHE_LIST = Command(
    "List what the cache holds, the last used first.",
    CacheConfig,
    (JSON,),
    _list_cache,
    from_tables("show_listing"),
)
CACHE_SIZE = Command(
    "Say how large the cache is, and how large it may grow.",
    CacheConfig,
    (JSON,),
    _size_of_cache,
    from_tables("show_size"),
)
CACHE_PRUNE = Command(
    "Remove from the cache what was not used for long.",
    PruneConfig,
    (JSON,),
    _prune_cache,
    from_tables("show_pruning"),
)


def _train_tokenizer(line: CommandLine) -> Any:
    from nextfill.api.tokenizer import train_tokenizer

    return train_tokenizer(request=request(line, observer=observer_of(line)))


def _inspect_tokenizer(line: CommandLine) -> Any:
    from nextfill.api.tokenizer import inspect_tokenizer

    asked = request(line, observer=observer_of(line))
    return inspect_tokenizer(*line.arguments.tokenizer, request=asked)


TRAIN_TOKENIZER = Command(
    "Train a tokenizer on your text, but for what nextfill train would hold out.",
    TrainTokenizerConfig,
    (QUIET, JSON),
    _train_tokenizer,
    from_tables("show_tokenizer"),
)

INSPECT_TOKENIZER = Command(
    "See what tokenizers make of your text, and what they split worst.",
    InspectTokenizerConfig,
    (TOKENIZERS, QUIET, JSON),
    _inspect_tokenizer,
    from_tables("show_inspection"),
)
