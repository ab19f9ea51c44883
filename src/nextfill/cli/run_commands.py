"""The commands about data, runs, tokenizers and the cache: train, prepare, report and others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from nextfill.cli.command import JSON, QUIET, Command, observer_of
from nextfill.config import (
    CacheConfig,
    InspectTokenizerConfig,
    LoginConfig,
    NoConfig,
    PrepareConfig,
    PruneConfig,
    SharingConfig,
    TrainConfig,
    TrainTokenizerConfig,
)
from nextfill.config.flags import Argument, CommandLine
from nextfill.core.errors import HubError, NotSharedError
from nextfill.core.streams import print_json

RECIPE = Argument("recipe", "a TOML recipe, or the name of one that ships", "?")
RESUME = Argument("--resume", "go on with the run in --out")


def _run_train(line: CommandLine) -> Any:
    from nextfill.api.train import train_from

    observer, resume = observer_of(line), line.arguments.resume
    recipe = line.arguments.recipe
    try:
        return train_from(recipe, line.given, line.problems, resume=resume, observer=observer)
    except NotSharedError as error:  # the results come first: they are there, whatever the Hub said
        if error.result is not None:
            print_json(error.result.to_json()) if line.arguments.json else _show_train(error.result)
        raise


def _show_train(result: Any) -> None:
    from nextfill.cli.tables import show_training

    show_training(result)


def _quickstart() -> dict[tuple[str, ...], Any]:
    from nextfill.config.recipe_file import read_recipe
    from nextfill.config.resolve_training import QUICKSTART

    return {item.path: item.value for item in read_recipe(QUICKSTART)}


TRAIN = Command(
    "Fine-tune a language model on your text, and say how much better it got.",
    TrainConfig,
    (RECIPE, RESUME, QUIET, JSON),
    _run_train,
    _show_train,
    _quickstart,
)


def _run_prepare(line: CommandLine) -> Any:
    from nextfill.api.prepare import prepare_from

    return prepare_from(line.given, line.problems, observer_of(line))


def _show_prepare(result: Any) -> None:
    from nextfill.cli.tables import show_preparation

    show_preparation(result)


PREPARE = Command(
    "Read, tokenize and divide data; print where every token went.",
    PrepareConfig,
    (QUIET, JSON),
    _run_prepare,
    _show_prepare,
)


RUN = Argument("run", "run directory, finished or not")
NO_OPEN = Argument("--no-open", "do not show the page in a browser")


def _run_report(line: CommandLine) -> Any:
    from nextfill.api.report import report
    from nextfill.config.recipe_file import build

    build(NoConfig, [line.given], line.problems)
    page = report(line.arguments.run)
    if sys.stdout.isatty() and not (line.arguments.no_open or line.arguments.json):
        _open(page)
    return {"report": str(page)}


def _open(page: Path) -> None:
    """Show a page in a browser with a window; a text browser would take the terminal over."""
    windows = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if windows:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def _show_report(result: Any) -> None:
    from nextfill.cli.tables import show_report

    show_report(result)


REPORT = Command(
    "Make a run's page: curves, before and after, samples, where every token went.",
    NoConfig,
    (RUN, NO_OPEN, JSON),
    _run_report,
    _show_report,
)


SHARED_RUN = Argument("run", "run directory, or a model's folder")
REPO = Argument("repo", "repository on the Hub, USER/NAME; made if it does not exist")


def _run_share(line: CommandLine) -> Any:
    from nextfill.api.share import share_from

    arguments = line.arguments
    show = sys.stderr.isatty() and not arguments.quiet
    run, repo = arguments.run, arguments.repo
    on_note = observer_of(line).on_note
    return share_from(run, repo, line.given, line.problems, show_progress=show, on_note=on_note)


def _show_share(result: Any) -> None:
    from nextfill.cli.tables import show_sharing

    show_sharing(result)


SHARE = Command(
    "Push a run's model, tokenizer and card to the Hugging Face Hub.",
    SharingConfig,
    (SHARED_RUN, REPO, QUIET, JSON),
    _run_share,
    _show_share,
)


TOKEN_STDIN = Argument("--token-stdin", "read the token from stdin instead of asking for it")


def _run_login(line: CommandLine) -> Any:
    from nextfill.api.share import login
    from nextfill.config.recipe_file import build

    build(LoginConfig, [line.given], line.problems)
    if line.arguments.token_stdin:
        token = sys.stdin.readline()
        if not token.strip():
            raise HubError("--token-stdin: there is no token on stdin.")
        return login(token)
    if not sys.stdin.isatty():
        raise HubError(
            "There is no terminal to ask for the token at: pipe it in, with --token-stdin, or set "
            "HF_TOKEN."
        )
    return login()


def _show_login(result: Any) -> None:
    from nextfill.cli.tables import show_login

    show_login(result)


LOGIN = Command(
    "Log in to the Hugging Face Hub; say who you are and what the token may do.",
    LoginConfig,
    (TOKEN_STDIN, JSON),
    _run_login,
    _show_login,
)


NAME = Argument("name", "show this recipe, whole", "?")
SCHEMA = Argument("--schema", "print the JSON schema of recipes, for an editor to check them by")


def _run_recipes(line: CommandLine) -> Any:
    from nextfill.config.recipe_file import build

    build(NoConfig, [line.given], line.problems)
    if line.arguments.schema:
        import json

        from nextfill.config.json_schema import recipe_schema

        schema = recipe_schema()
        if line.arguments.json:
            return schema
        print(json.dumps(schema, indent=2))
        return None
    from nextfill.api.recipes import recipes

    found = recipes(line.arguments.name)
    if line.arguments.json:
        return {"recipes": [recipe.to_json() for recipe in found]}
    if line.arguments.name is not None:
        print(found[0].toml, end="")
        return None
    return found


def _show_recipes(result: Any) -> None:
    from nextfill.cli.tables import show_recipes

    show_recipes(result)


RECIPES = Command(
    "List the recipes that ship, or show one of them.",
    NoConfig,
    (NAME, SCHEMA, JSON),
    _run_recipes,
    _show_recipes,
)


def _list(line: CommandLine) -> Any:
    from nextfill.api.cache import list_from

    return list_from(line.given, line.problems)


def _prune(line: CommandLine) -> Any:
    from nextfill.api.cache import prune_from

    return prune_from(line.given, line.problems)


def _size(line: CommandLine) -> Any:
    listing = _list(line)
    plain = listing.to_json()
    kinds = ("tokens", "input", "unfinished")
    by_kind = {
        kind: sum(entry.size_bytes for entry in listing.entries if entry.kind == kind)
        for kind in kinds
    }
    return {key: plain[key] for key in ("cache", "size_bytes", "limit_bytes")} | {
        "by_kind": by_kind
    }


def _show_list(result: Any) -> None:
    from nextfill.cli.tables import show_listing

    show_listing(result)


def _show_size(result: Any) -> None:
    from nextfill.cli.tables import show_size

    show_size(result)


def _show_pruning(result: Any) -> None:
    from nextfill.cli.tables import show_pruning

    show_pruning(result)


CACHE_LIST = Command(
    "List what the cache holds, the last used first.",
    CacheConfig,
    (JSON,),
    _list,
    _show_list,
)
CACHE_SIZE = Command(
    "Say how large the cache is, and how large it may grow.",
    CacheConfig,
    (JSON,),
    _size,
    _show_size,
)
CACHE_PRUNE = Command(
    "Remove from the cache what was not used for long.",
    PruneConfig,
    (JSON,),
    _prune,
    _show_pruning,
)


TOKENIZERS = Argument("tokenizer", "folder, run directory, Hub id or builtin:NAME", "+")


def _train(line: CommandLine) -> Any:
    from nextfill.api.tokenizer import train_tokenizer_from

    return train_tokenizer_from(line.given, line.problems, observer_of(line))


def _inspect(line: CommandLine) -> Any:
    from nextfill.api.tokenizer import inspect_tokenizer_from

    names = line.arguments.tokenizer
    return inspect_tokenizer_from(names, line.given, line.problems, observer_of(line))


def _show_training(result: Any) -> None:
    from nextfill.cli.tables import show_tokenizer

    show_tokenizer(result)


def _show_inspection(result: Any) -> None:
    from nextfill.cli.tables import show_inspection

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
