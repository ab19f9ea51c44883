"""Commands by the names that other programs have for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nextfill.core.shell_command import shell_command

_INSTEAD = {
    **dict.fromkeys(("eval", "test", "score", "compare", "diff", "benchmark"), "evaluate"),
    **dict.fromkeys(("finetune", "fine-tune", "tune", "fit", "learn"), "train"),
    **dict.fromkeys(("complete", "predict", "run", "write"), "generate"),
    **dict.fromkeys(("mask", "unmask", "fill-mask"), "fill"),
    **dict.fromkeys(("upload", "push", "publish"), "share"),
    **dict.fromkeys(("export", "zip", "pack", "save"), "bundle"),
    **dict.fromkeys(("preview", "show", "inspect", "head"), "look"),
    **dict.fromkeys(("tokenize", "preprocess"), "prepare"),
    **dict.fromkeys(("configs", "templates", "examples"), "recipes"),
    "auth": "login",
}
_OF_CACHE = {
    **dict.fromkeys(("clear", "clean", "delete", "remove", "rm", "purge", "empty"), "prune"),
    **dict.fromkeys(("ls", "show", "info"), "list"),
    "du": "size",
}
_GO_ON = ("resume", "continue")
_TALKS = ("chat", "talk", "interactive", "repl")


def instead(words: Sequence[str]) -> str:
    """Return a sentence with the command that another program's name stands for, or "".

    Args:
        words: The words of a command line whose command there is not.

    Example:
        >>> instead(["compare", "a", "b"]).endswith(" evaluate a b")
        True
        >>> instead(["resume", "runs/a"]).endswith(" train --out runs/a --resume")
        True
        >>> instead(["nonsense"])
        ''
    """
    first, rest = words[0].lower().replace("_", "-"), list(words[1:])
    if first in _GO_ON:
        run = Path(rest[0]) if rest and not rest[0].startswith("-") else "RUN"
        others = rest[1:] if isinstance(run, Path) else rest
        others = [one for one in others if one not in ("--resume", "--out")]
        command = shell_command("train", "--out", run, "--resume", *others)
    elif first in _TALKS:
        command = shell_command("generate", *(rest or ["MODEL"]), "--interactive")
    elif first == "version":
        command = shell_command("--version")
    elif first == "cache" and len(rest) > 0 and rest[0] in _OF_CACHE:
        command = shell_command("cache", _OF_CACHE[rest[0]], *rest[1:])
    elif first in _INSTEAD:
        command = shell_command(_INSTEAD[first], *rest)
    else:
        return ""
    return f" Type: {command}"
