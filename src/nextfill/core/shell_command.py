"""Commands of ours as they can be typed, as they stand, into the shell this program runs in."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

PROGRAM = "nextfill"

_LETTERS = {"\n": r"\n", "\t": r"\t"}


def shell_command(*words: object) -> str:
    """Return a command of ours, quoted, with the path of the program where its name would not do.

    Args:
        *words: The command and its arguments; a `Path` is never taken for a flag.

    Example:
        >>> shell_command("train", "--out", Path("my runs/x")).partition(" train ")[2]
        "--out 'my runs/x'"
    """
    return " ".join([program(), *map(shell_word, words)])


def shell_word(word: object) -> str:
    r"""Return a word quoted for a shell.

    A character that a terminal would not show, or not show as it is, is spelled by its bytes, which
    bash, zsh and ksh understand.

    Example:
        >>> print(shell_word("It's"), shell_word("a\nb"), shell_word("caf\u00e9"))
        'It'"'"'s' $'a\nb' 'café'
    """
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if all(map(_is_shown, text)):
        return shlex.quote(text)
    return "$'" + "".join(_spelled(character) for character in text) + "'"


def _is_shown(character: str) -> bool:
    if not character.isprintable():
        return False
    try:
        character.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _spelled(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if _is_shown(character):
        return character
    if character in _LETTERS:
        return _LETTERS[character]
    # Four bytes at most, each of two digits; nothing after them is taken for a third.
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def program() -> str:
    """Return the words that start this program in the shell it runs in.

    It is the name alone where the shell finds the same program by it; else its path, from the
    folder one stands in where it lies below. Started as a module, or from a Python program without
    a script of ours beside its interpreter, it is ``python -m nextfill``.
    """
    started = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
    as_module = started.name == "__main__.py" and started.parent.name == PROGRAM
    if started.name == PROGRAM and started.is_file():
        return _by_name_or_path(PROGRAM, started)
    script = Path(sys.executable).with_name(PROGRAM) if sys.executable else None
    if not as_module and script is not None and script.is_file():
        return _by_name_or_path(PROGRAM, script)
    return f"{_python()} -m {PROGRAM}"


def _python() -> str:
    if not sys.executable:
        return "python3"
    names = ("python", "python3")
    found = (name for name in names if _by_name_or_path(name, Path(sys.executable)) == name)
    return next(found, _shown_path(Path(sys.executable)))


def _by_name_or_path(name: str, path: Path) -> str:
    """Return a program's name where the shell finds it by that, else its path."""
    import shutil  # not for --help

    found = shutil.which(name)
    # Links stay: those of an environment lead to the interpreter that it was made from.
    same = found is not None and Path(found).absolute() == path.absolute()
    return name if same else _shown_path(path)


def _shown_path(path: Path) -> str:
    whole = path.absolute()
    if whole.is_relative_to(Path.cwd()):
        below = str(whole.relative_to(Path.cwd()))
        return shell_word(below if os.sep in below else f"./{below}")
    return shell_word(whole)
