"""Mistakes in the words of a command line that argparse would not tell, or not tell well."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from itertools import takewhile

from nextfill.config.command_line.several_names import as_recipe
from nextfill.config.options import Setting, settings
from nextfill.core.paths import is_folder, is_there
from nextfill.core.shell_command import shell_command, shell_word

SOURCES = ("--data", "--eval-data")
_RECIPES = ("--config", "--config-file", "--config-path", "--recipe")
_MODELS = ("--model", "--model-name-or-path", "--model-name", "--base-model")
_LISTS = ("--lora-target-modules", "--target-modules", "--lora-modules")
_COMMAS = ("--lora-targets", "--freeze", "--train-only")
"""Flags whose value may be several names joined by commas."""
_KEY = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")
"""The name of a setting with its section's before it."""
_NEGATIVE = re.compile(r"-[0-9.][0-9.e-]*")


def named_twice(words: Sequence[str], root: type) -> Iterator[str]:
    """Yield a problem for each flag that is given twice, of which one value would be lost."""
    before = [*takewhile(lambda word: word != "--", words)]
    counts = Counter(word.partition("=")[0] for word in before)
    for flag in SOURCES:
        if counts[flag] > 1:
            yield (
                f"{flag} is given {counts[flag]} times, and takes one name: name a folder, or a "
                f"pattern in quotes such as 'notes/*.docx'. {as_recipe(_values_of(flag, before))}"
            )
    for flag, values in _given(before, root).items():
        different = [shell_word(one) for one in dict.fromkeys(values)]
        if len(different) > 1 and flag not in SOURCES:
            joined = ",".join(one.strip(",") for one in dict.fromkeys(values))
            last = different.pop()
            told = f"{flag} is given {len(values)} times, as {', '.join(different)} and {last}, and"
            if flag in _COMMAS:
                command = f"{flag} {shell_word(joined)}"
                yield f"{told} takes its names joined by commas. Type: {command}"
            else:
                yield f"{told} takes one value: leave the others out."


def _values_of(flag: str, words: Sequence[str]) -> list[str]:
    """Return the values of a flag that is given several times."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    parts = [(*word.partition("="), after) for word, after in pairs]
    return [value or after for name, _, value, after in parts if name == flag]


def without_loose_values(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words without a ``--set`` whose value had no equals sign, and its problem.

    Example:
        >>> without_loose_values(["--set", "training.beta2", "0.9", "--seed", "1"])[0]
        ['--seed', '1']
    """
    kept: list[str] = []
    problems: list[str] = []
    rest = list(words)
    while rest and rest[0] != "--":
        flag, key, value = [*rest, "", ""][:3]
        is_value = bool(value) and (_is_name(value) or _NEGATIVE.fullmatch(value) is not None)
        if flag == "--set" and _KEY.fullmatch(key) and is_value:
            pair = f"{key}={value}"
            problems.append(
                f"--set takes a setting and its value joined by =, and {key} has none. Type: "
                f"--set {shell_word(pair)}"
            )
            del rest[:3]
        else:
            kept.append(rest.pop(0))
    return [*kept, *rest], problems


def _given(words: Sequence[str], root: type) -> dict[str, list[str]]:
    """Return the values typed after each flag of one value, and the forms of each switch."""
    by_flag = {one.flag: one for one in settings(root)}
    by_flag |= {f"--no-{flag[2:]}": one for flag, one in by_flag.items() if one.kind is bool}
    found: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if (setting := by_flag.get(flag)) is None:
            continue
        if setting.kind is bool:
            value = flag
        elif not equals:
            value = next(rest, "")
        if not _is_list(setting):
            found.setdefault(setting.flag, []).append(value)
    return found


def without_further_names(
    words: Sequence[str], root: type, positionals: Set[str]
) -> tuple[list[str], list[str]]:
    """Return the words without a flag's second and further names, and a problem for each such flag.

    Only where the words are no arguments of the command: a recipe, or a model and its texts.
    """
    if positionals - {"recipe"}:
        return [*words], []
    several = {one.flag: one for one in settings(root) if one.flag in _COMMAS or _is_list(one)}
    kept: list[str] = []
    problems: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        kept.append(word)
        if word == "--":
            return [*kept, *rest], problems
        if word not in several or not rest or rest[0].startswith("-"):
            continue
        kept.append(first := rest.pop(0))
        further = [*takewhile(_is_name, rest)]
        if not further:
            continue
        del rest[: len(further)]
        names = [first, *further]
        if word in _COMMAS:
            command = f"{word} {shell_word(','.join(one.strip(',') for one in names))}"
        else:
            command = " ".join(f"{word} {shell_word(one)}" for one in names)
        problems.append(
            f"{word} takes one word at a time, and {further[0]} follows. Type: {command}"
        )
    return kept, problems


def _is_list(setting: Setting) -> bool:
    return getattr(setting.kind, "__origin__", None) is list


def _is_name(word: str) -> bool:
    """Tell a name after a flag's value from a recipe, which may follow there, and from a flag."""
    from nextfill.config.shipped_recipes import RECIPE_SUFFIX, recipe_names  # not for --help

    is_recipe = word.endswith(RECIPE_SUFFIX) or word in recipe_names()
    return not word.startswith("-") and not is_recipe and not is_there(word)


def names_after(flag: str, words: Sequence[str]) -> list[str]:
    """Return the names after another program's flag that takes several of them, or none.

    Example:
        >>> names_after("--target-modules", ["q_proj", "v_proj", "--epochs", "1"])
        ['q_proj', 'v_proj']
    """
    if flag.replace("_", "-") not in _LISTS:
        return []
    return [*takewhile(_is_name, words)]


def argument_for(
    flag: str, words: Sequence[str], command_words: Sequence[str], positionals: Set[str]
) -> str:
    """Return the command in which a flag's value stands as an argument of its own, or "".

    Args:
        flag: A flag that there is not, such as ``--config`` of a recipe.
        words: The whole command line after the command's name.
        command_words: The command's name.
        positionals: The names of its arguments without a flag.
    """
    plain = flag.replace("_", "-")
    if plain in _RECIPES and "recipe" in positionals:
        noun, flags = "A recipe", _RECIPES
    elif plain in _MODELS and "model" in positionals:
        noun, flags = "The model", _MODELS
    else:
        return ""
    named: list[object] = []
    others: list[object] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name.replace("_", "-") in flags:
            value = value if equals else next(rest, "")
            named += [value] if value else [noun.split()[1].upper()]
        else:
            others.append(word)
    command = shell_command(*command_words, *named, *others)
    return f" {noun} stands without a flag. Type: {command}"


def several_files(words: Sequence[str], left_over: Sequence[str], takes_value: Set[str]) -> str:
    """Return the problem of files where one name goes: the shell made them of a pattern."""
    if "--data" not in takes_value:
        return ""
    for at, word in enumerate(words):
        flag, mark, value = word.partition("=")
        is_data = flag in SOURCES
        if word.startswith("-") and not is_data:
            continue
        if not is_data and (not left_over or (at and words[at - 1] in takes_value)):
            continue
        first = [value] if mark else [] if is_data else [word]
        after = takewhile(lambda one: not one.startswith("-"), words[at + 1 :])
        files = list(takewhile(_is_source, [*first, *after]))
        if len(files) > 1 and (is_data or set(left_over) <= set(files)):
            return _one_name(flag if is_data else "--data", files)
    return ""


def _is_source(name: str) -> bool:
    """Tell a file or folder of text from a recipe, and from a run, which stand after it as well."""
    if is_folder(name):
        return not is_there(os.path.join(name, "config.toml"))  # noqa: PTH118
    return is_there(name) and not name.endswith(".toml")


def _one_name(flag: str, files: Sequence[str]) -> str:
    """Return the message about several files, with the pattern and the folder to type."""
    if any(map(is_folder, files)):
        return f"{flag} takes one name, and here are {len(files):,}. {as_recipe(files)}"
    folders = [os.path.dirname(one) for one in files]  # noqa: PTH120
    mixed = len({os.path.isabs(one) for one in folders}) > 1  # noqa: PTH117
    folder = "" if mixed else os.path.commonpath(folders)
    suffixes = {os.path.splitext(one)[1] for one in files}  # noqa: PTH122
    suffix = suffixes.pop() if len(suffixes) == 1 else ""
    within = [os.path.relpath(one, folder or ".") for one in files] if not mixed else []
    letters = zip(*(one.removesuffix(suffix) for one in within), strict=False)
    begun = "".join(some[0] for some in takewhile(lambda some: len({*some}) == 1, letters))
    pattern = os.path.join(folder, f"{glob.escape(begun)}*{suffix}")  # noqa: PTH118
    more = f" and {len(files) - 2:,} more" if len(files) > 2 else ""
    command = (
        f"{flag} {shlex.quote(pattern)}, or name the folder: {flag} {shell_word(folder or '.')}"
    )
    return (
        f"{flag} takes one name, and here are {len(files):,}: {', '.join(files[:2])}{more}. Of a "
        f"pattern without quotes a shell makes several names. Type: {command}"
    )
