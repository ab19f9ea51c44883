"""The command line: parse, build one config, make one call, show the result.

``--help`` answers at once: everything heavy is imported inside functions, after parsing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nextfill.config import (
    EvaluateConfig,
    GenerateConfig,
    PrepareConfig,
    ReportConfig,
    TrainConfig,
)
from nextfill.errors import ConfigError, Interrupted, NextfillError, nearest
from nextfill.flags import Argument, CommandLine, make_parser, parse
from nextfill.plain import printable, to_json
from nextfill.version import VERSION

EXIT_DONE, EXIT_USER, EXIT_INTERRUPTED = 0, 2, 130

QUIET = Argument("--quiet", "no progress on stderr")
JSON = Argument("--json", "print one JSON object on stdout, and nothing else there")
RECIPE = Argument("recipe", "a TOML recipe, or the name of one that ships", "?")
RESUME = Argument("--resume", "go on with the run in --out")
MODEL = Argument("model", "run directory, folder, Hub id or builtin:NAME")
RUN = Argument("run", "run directory, finished or not")
NO_OPEN = Argument("--no-open", "do not show the page in a browser")
INTERACTIVE = Argument("--interactive", "ask for prompts, or read a prompt from each line of stdin")
PROMPT = Argument("prompt", "texts to continue; none begins a document", "*")


@dataclass(frozen=True)
class Command:
    """One command of the command line.

    Args:
        summary: What it does, in a line.
        root: Its config class, whose fields are its flags.
        arguments: Its arguments that are not settings.
        run: Does it; returns the result, of which ``--json`` prints the plain form.
        show: Name of the function in `nextfill.show` that prints the result for a person.
    """

    summary: str
    root: type
    arguments: tuple[Argument, ...]
    run: Callable[[CommandLine], Any]
    show: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; None for the process's own.

    Returns:
        The exit status: 0 done, 2 the user can mend it, 130 interrupted with the state saved.

    Example:
        >>> main(["--version"])
        nextfill 0.1.0
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except NextfillError as error:
        print(f"nextfill: {error}", file=sys.stderr)
        return EXIT_USER
    except Interrupted as stop:
        print(f"nextfill: {stop}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except KeyboardInterrupt as stop:
        message = str(stop) or "interrupted before there was anything to save."
        print(f"nextfill: {message}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def _dispatch(words: list[str]) -> int:
    name = words[0] if words else "--help"
    if name.startswith("-"):
        return _top_level(name)
    if name not in COMMANDS:
        raise ConfigError([f"There is no command '{name}'.{nearest(name, COMMANDS)} {_listing()}"])
    command = COMMANDS[name]
    hidden = ("--model",) if MODEL in command.arguments else ()
    parser = make_parser(name, command.summary, command.root, command.arguments, hidden)
    try:
        line = parse(parser, words[1:], command.root)
    except SystemExit as stop:  # argparse has printed the help
        return int(stop.code or 0)
    result = command.run(line)
    if line.arguments.json:
        plain = result.to_json() if hasattr(result, "to_json") else result
        print(to_json(plain))
    elif result is not None:
        from nextfill import show

        getattr(show, command.show)(result)
    return EXIT_DONE


def _top_level(flag: str) -> int:
    if flag == "--version":
        print(f"nextfill {VERSION}")
        return EXIT_DONE
    if flag not in ("-h", "--help"):
        raise ConfigError([f"There is no flag {flag} before a command. {_listing()}"])
    print("usage: nextfill COMMAND [...]\n\nAdapt a language model to your own text.\n")
    for name, command in COMMANDS.items():
        print(f"  {name:<10} {command.summary}")
    print("\nBegin with:   nextfill train\nMore of each: nextfill COMMAND --help")
    return EXIT_DONE


def _listing() -> str:
    return f"There are: {', '.join(COMMANDS)}."


def _observer(line: CommandLine) -> Any:
    from nextfill.training.progress import Silent, Terminal

    return Silent() if line.arguments.quiet else Terminal()


def _with_model(line: CommandLine) -> list[Any]:
    from nextfill.recipe import Given

    return [Given(("model", "name"), line.arguments.model, "MODEL"), *line.given]


def _train(line: CommandLine) -> Any:
    from nextfill.api.training import train_from

    observer, resume = _observer(line), line.arguments.resume
    recipe = line.arguments.recipe
    return train_from(recipe, line.given, line.problems, resume=resume, observer=observer)


def _prepare(line: CommandLine) -> Any:
    from nextfill.api.preparing import prepare_from

    return prepare_from(line.given, line.problems, _observer(line))


def _evaluate(line: CommandLine) -> Any:
    from nextfill.api.evaluating import evaluate_from

    return evaluate_from(_with_model(line), line.problems, _observer(line))


def _generate(line: CommandLine) -> Any:
    from nextfill.api.generating import generate_from
    from nextfill.resolve import generate_config
    from nextfill.show import Streamed, Texts

    given, prompts = _with_model(line), line.arguments.prompt
    if line.arguments.interactive:
        return _interactive(line, given)
    config = generate_config(given, line.problems)
    prompt = prompts if len(prompts) > 1 else "".join(prompts)
    one = len(prompts) < 2 and config.prompts.source is None
    if one and config.generation.num_samples == 1 and not (line.arguments.json or config.out):
        stream = Streamed(prompt)
        try:
            generate_from(given, (), prompt, streamer=stream)
        except KeyboardInterrupt:
            stream.end()
            raise KeyboardInterrupt("stopped.") from None
        return stream.end()
    if line.arguments.json or config.out:
        results = generate_from(given, (), prompt, observer=_observer(line))
        if config.out and not line.arguments.quiet:
            print(f"written: {printable(config.out)}", file=sys.stderr)
        return results if line.arguments.json else None
    # At a terminal the texts themselves show how far it is.
    observer = None if sys.stdout.isatty() else _observer(line)
    generate_from(given, (), prompt, on_texts=Texts(), observer=observer)
    return None


def _interactive(line: CommandLine, given: list[Any]) -> None:
    from nextfill.interactive import converse
    from nextfill.recipe import full_path

    places = {full_path(GenerateConfig, item) for item in given}
    arguments = {
        "a prompt": line.arguments.prompt,
        "--json": line.arguments.json,
        "--prompts": ("prompts", "source") in places,
        "--out": ("out",) in places,
    }
    odd = " and ".join(name for name, is_given in arguments.items() if is_given)
    problem = [f"--interactive asks for prompts and shows the texts: leave out {odd}."]
    converse(given, [*line.problems, *(problem if odd else [])])


def _report(line: CommandLine) -> Any:
    from nextfill.api.reporting import report
    from nextfill.recipe import build

    build(ReportConfig, [line.given], line.problems)
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


COMMANDS = {
    "train": Command(
        "Fine-tune a language model on your text, and say how much better it got.",
        TrainConfig,
        (RECIPE, RESUME, QUIET, JSON),
        _train,
        "show_training",
    ),
    "prepare": Command(
        "Read, tokenize and divide data; print where every token went.",
        PrepareConfig,
        (QUIET, JSON),
        _prepare,
        "show_preparation",
    ),
    "evaluate": Command(
        "Score text with a model: perplexity, bits per byte, and what they are over.",
        EvaluateConfig,
        (MODEL, QUIET, JSON),
        _evaluate,
        "show_evaluation",
    ),
    "generate": Command(
        "Continue a text with a model.",
        GenerateConfig,
        (MODEL, PROMPT, INTERACTIVE, QUIET, JSON),
        _generate,
        "show_texts",
    ),
    "report": Command(
        "Make a run's page: curves, before and after, samples, where every token went.",
        ReportConfig,
        (RUN, NO_OPEN, JSON),
        _report,
        "show_report",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
