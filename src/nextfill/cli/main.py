"""The command line: find the command, parse, make one call, show the result.

``--help`` answers at once: everything heavy is imported inside functions, after parsing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nextfill.cli import commands, model_commands, sharing_commands, track_command
from nextfill.config.command_line.flags import make_parser, parse
from nextfill.core import VERSION
from nextfill.core.errors import (
    ConfigError,
    Interrupted,
    NextfillError,
    OtherRankError,
    nearest,
)
from nextfill.core.shell_command import shell_command
from nextfill.core.signals import end_process, exit_status, handle_signals, ignore_signals
from nextfill.core.streams import (
    as_utf8,
    flush_stdout,
    leave_stdout,
    lenient_streams,
    plausible_screen_size,
    print_error,
    print_json,
    printable,
    to_stdout,
)

EXIT_DONE, EXIT_USER = 0, 2

COMMANDS = {
    "train": commands.TRAIN,
    "look": commands.LOOK,
    "prepare": commands.PREPARE,
    "evaluate": model_commands.EVALUATE,
    "generate": model_commands.GENERATE,
    "fill": model_commands.FILL,
    "serve": model_commands.SERVE,
    "report": sharing_commands.REPORT,
    "track": track_command.TRACK,
    "recipes": commands.RECIPES,
    "cache list": commands.CACHE_LIST,
    "cache size": commands.CACHE_SIZE,
    "cache prune": commands.CACHE_PRUNE,
    "export": model_commands.EXPORT,
    "share": sharing_commands.SHARE,
    "bundle": sharing_commands.BUNDLE,
    "login": sharing_commands.LOGIN,
    "tokenizer train": commands.TRAIN_TOKENIZER,
    "tokenizer inspect": commands.INSPECT_TOKENIZER,
}
"""The commands by name; a name of two words, as ``cache list``, belongs to a group."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Example:
        >>> main(["--version"])
        nextfill 0.1.0
        0
    """
    encoding = sys.getfilesystemencoding()
    words = [as_utf8(word, encoding) for word in (sys.argv[1:] if argv is None else argv)]
    with lenient_streams(), plausible_screen_size():
        return _status(words)


def _status(words: list[str]) -> int:
    with handle_signals():
        try:
            return _outcome(words)
        except KeyboardInterrupt as stop:
            ignore_signals()
            message = str(stop) or "interrupted before there was anything to save."
            from nextfill.training.distributed.rank_environment import is_follower  # not for --help

            if not is_follower():
                print_error(f"nextfill: {message}")
            return exit_status()


def _outcome(words: list[str]) -> int:
    try:
        status = _dispatch(words)
        flush_stdout()
    except OtherRankError as other:  # which has told it
        ignore_signals()
        return other.status
    except NextfillError as error:
        # What it quotes may come from data: names of fields, of files in an archive.
        print_error(f"nextfill: {printable(str(error))}")
        return EXIT_USER
    except Interrupted as stop:
        ignore_signals()
        print_error(f"nextfill: {stop}")
        return exit_status()
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        leave_stdout()
        return EXIT_DONE
    return status


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    with to_stdout():
        if not words or words[0].startswith("-"):
            return _top_level(words[0] if words else "--help")
        name, rest = _find(words)
    if name is None:
        return EXIT_DONE
    command = COMMANDS[name]
    hidden = ("--model",) if model_commands.MODEL in command.arguments else ()
    parser = make_parser(
        name,
        command.summary,
        command.root,
        command.arguments,
        hidden=hidden,
        quickstart=command.quickstart() if command.quickstart else {},
    )
    try:
        line = parse(parser, rest, command.root)
    except SystemExit as stop:  # argparse has printed the help
        return int(stop.code or 0)
    result = command.run(line)
    if result is None:  # it has shown all that there is to show
        return EXIT_DONE
    if getattr(line.arguments, "json", False):
        plain = result.to_json() if hasattr(result, "to_json") else result
        print_json(plain)
    else:
        command.show(result)
    return EXIT_DONE


def _find(words: list[str]) -> tuple[str | None, list[str]]:
    """Return the name of the command and the words after it; None where a group was listed."""
    first = words[0]
    if first in COMMANDS:
        return first, words[1:]
    inner = {name.partition(" ")[2]: name for name in COMMANDS if name.startswith(f"{first} ")}
    if not inner:
        from nextfill.cli.other_commands import instead  # not for --help

        known = [name.partition(" ")[0] for name in COMMANDS]
        hint = instead(words) or f"{nearest(first, known)} {_listing()}"
        raise ConfigError([f"There is no command '{first}'.{hint}"])
    second = words[1] if len(words) > 1 else "--help"
    if second in ("-h", "--help"):
        print(f"usage: nextfill {first} {{{','.join(inner)}}} [...]\n")
        _print_summaries(list(inner.values()))
        return None, []
    if second not in inner:
        from nextfill.cli.other_commands import instead

        listing = f"{nearest(second, inner)} There are: {', '.join(inner.values())}."
        raise ConfigError([f"There is no command '{first} {second}'.{instead(words) or listing}"])
    return inner[second], words[2:]


def _top_level(flag: str) -> int:
    if flag == "--version":
        print(f"nextfill {VERSION}")
        return EXIT_DONE
    if flag not in ("-h", "--help"):
        raise ConfigError([f"There is no flag {flag} before a command. {_listing()}"])
    print("usage: nextfill COMMAND [...]\n\nAdapt a language model to your own text.\n")
    _print_summaries(list(COMMANDS))
    print(f"\nBegin with:   {shell_command('train')}")
    print(f"More of each: {shell_command()} COMMAND --help")
    return EXIT_DONE


def _print_summaries(names: Sequence[str]) -> None:
    width = max(map(len, names))
    for name in names:
        print(f"  {name:<{width}}  {COMMANDS[name].summary}")


def _listing() -> str:
    return f"There are: {', '.join(COMMANDS)}."


if __name__ == "__main__":
    end_process(main())
