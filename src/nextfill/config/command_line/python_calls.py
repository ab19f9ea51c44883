"""Commands in messages, rewritten as the calls that a Python program types."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from nextfill.config.options import Setting, settings

_PROGRAM = (
    r"(?:(?:'[^'\n]+'|[^\s'`(]+) -m nextfill|'[^'\n]*/nextfill'|[^\s'`(.]*(?<![\w.])nextfill)"
)
_VERBS: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "train": ("train", "TrainConfig", ("recipe",)),
    "prepare": ("prepare", "PrepareConfig", ()),
    "look": ("look", "LookConfig", ()),
    "evaluate": ("evaluate", "EvaluateConfig", ("model", "*")),
    "generate": ("generate", "GenerateConfig", ("model", "prompt")),
    "fill": ("fill", "FillConfig", ("model", "text")),
    "serve": ("serve", "ServeConfig", ("model", "*")),
    "report": ("report", "ReportConfig", ("run", "*")),
    "share": ("share", "SharingConfig", ("run", "repo")),
    "track": ("track", "TrackConfig", ("run",)),
    "export": ("export", "ExportConfig", ("model",)),
    "bundle": ("bundle", "BundleConfig", ("run",)),
    "login": ("login", "NoConfig", ()),
    "tokenizer train": ("train_tokenizer", "TrainTokenizerConfig", ()),
    "tokenizer inspect": ("inspect_tokenizer", "InspectTokenizerConfig", ("*",)),
    "cache prune": ("prune_cache", "PruneConfig", ()),
    "cache list": ("list_cache", "CacheConfig", ()),
}
"""Each command's function, its settings and its arguments without a name; a star is any number."""

_COMMAND = re.compile(rf"{_PROGRAM} (?P<words>{'|'.join(_VERBS)})(?![\w=(-])")
_WORD = re.compile(r" (?P<word>'[^'\n]*'(?=[\s.,;:)`]|$)|[^\s'`$]+)")
_NUMBER = re.compile(r"-?\d[\d_]*(\.\d+)?(e-?\d+)?")
_ENDS = ".,;:)"
_SWITCHES = ("quiet", "resume", "rewarm")


def calls_in(message: str) -> Iterator[tuple[int, int, str]]:
    """Yield the beginning and the end of each command in a message, and the call it is in Python.

    A command with a flag that the function does not take stays one.

    Example:
        >>> list(calls_in("type: nextfill train own.toml --model runs/a"))
        [(6, 44, "nextfill.train('own.toml', model='runs/a')")]
        >>> [call for _, _, call in calls_in("by nextfill generate and nextfill fill.")]
        ['nextfill.generate()', 'nextfill.fill()']
    """
    for command in _COMMAND.finditer(message):
        name, root, places = _VERBS[command["words"]]
        if (found := _arguments(message, command.end(), root, places)) is not None:
            end, arguments = found
            yield command.start(), end, f"nextfill.{name}({', '.join(arguments)})"


def _arguments(
    message: str, at: int, root: str, places: Sequence[str]
) -> tuple[int, list[str]] | None:
    """Return the end of a command's words and its arguments; None with a flag not known here."""
    known = _known(root)
    arguments: list[str] = []
    while (match := _WORD.match(message, at)) is not None:
        word, last = _parted(match["word"])
        end = match.start("word") + len(word)
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            keyword = name.replace("-", "_")
            on = keyword in known or not keyword.startswith("no_")
            keyword = keyword if on else keyword.removeprefix("no_")
            if keyword not in known:
                return None
            setting = known[keyword]
            if setting is None or setting.kind is bool:
                arguments.append(f"{keyword}={on}")
            else:
                if not equals:
                    following = None if last else _WORD.match(message, end)
                    if following is None:
                        return None
                    value, last = _parted(following["word"])
                    end = following.start("word") + len(value)
                arguments.append(f"{keyword}={_written(value)}")
        elif _is_argument(word, message, end, len(arguments), places):
            arguments.append(_written(word))
        else:
            break
        at = end
        if last:
            break
    return at, arguments


def _parted(word: str) -> tuple[str, bool]:
    """Return a word without the marks of the sentence after it, and whether there were any."""
    if word.startswith("'") or not word.strip("."):  # the folder one stands in
        return word, False
    plain = word.rstrip(_ENDS)
    return plain, plain != word


def _is_argument(word: str, message: str, end: int, count: int, places: Sequence[str]) -> bool:
    """Tell an argument from a word of the sentence that a command stands in."""
    if count >= len(places) and places[-1:] != ("*",):
        return False
    if re.search(r"[/.:_\d']|^[A-Z]+$", word):
        return True
    return bool(re.match(r"$|\n| --|[.,;:)](\s|$)", message[end:]))


def _written(word: str) -> str:
    """Return a word of a shell as a value in Python; a placeholder stays one."""
    if _NUMBER.fullmatch(word) or re.fullmatch(r"[A-Z]+", word):
        return word
    return repr("".join(shlex.split(word)) if word.startswith("'") else word)


@cache
def _known(root: str) -> Mapping[str, Setting | None]:
    """Return the settings of a verb by their keywords, and its own switches."""
    from nextfill import config

    known: dict[str, Setting | None] = dict.fromkeys(_SWITCHES)
    return known | {one.keyword: one for one in settings(getattr(config, root))}
