"""Names in the wrong place, such as a run in that of a recipe: what they are, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nextfill.config.prefixes import BUILTIN
from nextfill.config.resumption import further_run
from nextfill.core.errors import nearest
from nextfill.core.model_folders import folders_within, refuse_checkpoint, run_of_file
from nextfill.core.paths import nearest_path
from nextfill.core.shell_command import shell_command, shell_word

_CORPORA = "-docs"
"""The end of the names of built-in corpora."""

_TRUTHS = ("true", "false", "yes", "no", "on", "off")
"""Words that other programs take after a switch."""


def not_a_recipe(name: str, path: Path, shipped: Sequence[str]) -> str:
    """Return the message about a name that is no recipe's.

    Args:
        name: The name as it was given.
        path: Its path.
        shipped: The names of the recipes that ship.

    Example:
        >>> not_a_recipe("builtin:torch-docs", Path("builtin:torch-docs"), [])
        'builtin:torch-docs is no recipe. To train on that text, type: --data builtin:torch-docs'
    """
    word = shell_word(name)
    refuse_checkpoint(path)
    if path.exists():
        return f"{name} is {_kind_and_command(path, word)}"
    if (whole := path.with_name(f"{path.name}.toml")).is_file():
        command = shell_command("train", whole)
        return f"There is no recipe {name}, and there is {whole}. Type: {command}"
    if other := _of_another_kind(name, word):
        return f"{name} is {other}"
    hint = near_recipe(name, shipped)
    expected = f"Give a .toml file or one of: {', '.join(shipped)}."
    if path.suffix or name.startswith((".", "/", "~")):
        return f"There is no recipe {name}.{hint or nearest_path(path)} {expected}"
    if hint:
        return f"There is no recipe {name}.{hint} {expected}"
    elsewhere = f"A model of the Hub is given as --model {word}, and text as --data {word}."
    return f"There is no recipe {name}.{nearest_path(path)} {elsewhere} {expected}"


def near_recipe(name: str, shipped: Sequence[str]) -> str:
    """Return a hint with the recipes that begin with a name, or else are near it, or "".

    Example:
        >>> near_recipe("eli5", ["eli5-causal", "eli5-masked", "quickstart"])
        " Did you mean 'eli5-causal' or 'eli5-masked'?"
    """
    plain = name.removesuffix(".toml").lower().replace("_", "-")
    begun = [f"'{one}'" for one in shipped if plain and one.startswith(f"{plain}-")]
    return f" Did you mean {' or '.join(begun)}?" if begun else nearest(plain, shipped)


def _of_another_kind(name: str, word: str) -> str:
    """Return the end of the message about the name of a model or corpus, or about a truth value."""
    if name.lower() in _TRUTHS:
        return (
            "no recipe. A setting that is on or off takes no word after it: type --NAME or "
            "--no-NAME."
        )
    if not name.startswith(BUILTIN):
        return ""
    if name.endswith(_CORPORA):
        return f"no recipe. To train on that text, type: --data {word}"
    return f"a model, and no recipe. To train it, type: --model {word}"


def _kind_and_command(path: Path, word: str) -> str:
    """Return the end of the message about a file or folder."""
    if of_run := _of_a_run(path):
        return of_run
    if any((path / one).is_file() for one in ("config.json", "adapter_config.json")):
        return f"a model, and no recipe (.toml). To train it, type: --model {word}"
    if (path / "tokenizer.json").is_file():
        return f"a tokenizer, and no recipe (.toml). To train with it, type: --tokenizer {word}"
    if within := folders_within(path):
        return f"no recipe (.toml). {within}"
    if path.suffix.lower() in (".yaml", ".yml"):
        return (
            "YAML, and recipes are TOML (.toml): epochs = 3 below [training] in the place of "
            "epochs: 3 below training:. Write its settings as a recipe (nextfill recipes lists "
            f"some), or as flags. To train on it as text, type: --data {word}"
        )
    return f"no recipe (.toml). To train on it, type: --data {word}"


def _of_a_run(path: Path) -> str:
    """Return the end of the message about a run, or about a file of one, or ""."""
    if (path / "config.toml").is_file():
        command = shell_command("train", "--out", path, "--resume")
        return (
            f"a run, and no recipe (.toml). To go on with it, type: {command}; to train its model "
            f"further, in a new run: {further_run(path)}"
        )
    if (run := run_of_file(path)) is not None:
        return (
            f"a file of the run {shell_word(run)}, and no recipe. To train its model further, in a "
            f"new run: {further_run(run)}"
        )
    return ""


def ask_for_data(name: str, folder: Path) -> str:
    """Return the message about a folder without a run, which records no data."""
    refuse_checkpoint(folder)
    if not any((folder / one).is_file() for one in ("config.json", "adapter_config.json")):
        if within := folders_within(folder):
            return f"{name} is neither a run nor a model. {within}"
        return (
            f"{name} is neither a run nor a model. If it holds your text, put a model before it: "
            f"{shell_command('evaluate', 'MODEL', '--data', Path(name))}"
        )
    above = folder.absolute().parent
    of_run = folder.name == "model" and (above / "config.toml").is_file()
    run = f" Or evaluate its run: {shell_command('evaluate', above)}" if of_run else ""
    return (
        f"{name} is a folder and no run, so it does not say which text to score. Name it, as in: "
        f"{shell_command('evaluate', Path(name), '--data', 'notes.txt')}{run and '.'}{run}"
    )
