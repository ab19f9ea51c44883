"""The commands that use a model: evaluate, generate, also interactively, and fill."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, get_origin

from nextfill.cli.commands import JSON, QUIET, Command, from_tables, observer_of, request
from nextfill.config import EvaluateConfig, FillConfig, GenerateConfig
from nextfill.config.flags import Argument, CommandLine
from nextfill.config.missing_arguments import unquoted_text
from nextfill.config.options import Assignment, Setting, settings
from nextfill.core.errors import ConfigError, NextfillError, nearest
from nextfill.core.progress import Observer, Silent
from nextfill.core.signals import is_ctrl_c
from nextfill.core.streams import as_utf8, print_error, printable

if TYPE_CHECKING:
    from nextfill.api.verb import Request
    from nextfill.generation.generate import Session

MODEL = Argument("model", "run directory, folder, Hub id or builtin:NAME")
OTHERS = Argument("others", "further models, compared with the first on the same documents", "*")
INTERACTIVE = Argument("--interactive", "ask for prompts, or read a prompt from each line of stdin")
PROMPT = Argument("prompt", "texts to continue; none begins a document", "*")
TEXT = Argument("text", "texts, each with a blank: ___, <mask>, [MASK] or the model's own", "*")

ASK = "> "


def _request(line: CommandLine, **receivers: Any) -> Request:
    """Return the request of a line, with the model, whose name comes before the flags."""
    from nextfill.config.conflicts import conflicts  # not for --help

    model = Assignment(("model", "name"), line.arguments.model, "MODEL")
    twice = [one for one in conflicts(EvaluateConfig, [model, *line.settings]) if "MODEL" in one]
    return request(replace(line, problems=[*line.problems, *twice]), model, **receivers)


class _Notes(Silent):
    """An observer that shows notes and no progress."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self._on_note = on_note

    def on_note(self, text: str) -> None:
        """Show a note."""
        self._on_note(text)


def _run_evaluate(line: CommandLine) -> Any:
    from nextfill.api.inference import evaluate

    asked = _request(line, observer=observer_of(line))
    return evaluate(line.arguments.model, *line.arguments.others, request=asked)


EVALUATE = Command(
    "Score text with a model: perplexity, bits per byte, and what they are over.",
    EvaluateConfig,
    (MODEL, OTHERS, QUIET, JSON),
    _run_evaluate,
    from_tables("show_scores"),
)


_QUIT = frozenset({"exit", "quit", "/exit", "/quit"})
"""The lines that leave a conversation at a terminal; elsewhere they are prompts."""

_QUOTES = "\"'\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
"""Quotes around a value, those of a word processor too; no shell takes them off here."""


def _run_generate(line: CommandLine) -> Any:
    from nextfill.api.inference import generate
    from nextfill.cli.console import StreamPrinter, TextPrinter
    from nextfill.config.resolve import generate_config

    model, prompts = line.arguments.model, line.arguments.prompt
    if line.arguments.interactive:
        return _interactive(line)
    observer = observer_of(line)
    asked = _request(line, observer=observer)
    config = generate_config(asked.settings, asked.problems)
    prompt = prompts if len(prompts) > 1 else "".join(prompts)
    if line.arguments.json or config.out:
        return _json_results(line, config.out, generate(model, prompt, request=asked))
    is_one = len(prompts) < 2 and config.prompts.source is None
    if is_one and config.generation.num_samples == 1:
        stream = StreamPrinter(prompt)
        asked = _request(line, observer=_Notes(observer.on_note))
        try:
            generate(model, prompt, streamer=stream, request=asked)
        except KeyboardInterrupt:
            stream.end()
            raise KeyboardInterrupt("stopped.") from None
        stream.end(config.generation.suffix or "")
        if line.arguments.quiet:
            return None
        if stream.is_empty:
            _say(_ended_at_once(config, f"--seed {config.seed + 1} gives another sample"))
        elif config.generation.samples and sys.stdout.isatty():
            _say(f"Another text: the same with --seed {config.seed + 1}.")
        return None
    asked = _request(line, observer=_beside_texts(observer), on_result=TextPrinter())
    generate(model, prompt, request=asked)
    return None


def _ended_at_once(config: GenerateConfig, another: str) -> str:
    """Return what is said where nothing comes after a prompt, with the way to another text."""
    who = "the text ended" if config.generation.stop else "the model ended its text"
    ended = f"{who} at once"
    return f"{ended}; {another}" if config.generation.samples else ended


def _json_results(line: CommandLine, out: str | None, results: Any) -> Any:
    """Name the file of the results; return them where ``--json`` prints them."""
    if out and not line.arguments.quiet:
        print_error(f"written: {printable(out)}")
    return results if line.arguments.json else None


def _beside_texts(observer: Observer) -> Observer:
    """Return notes alone at a terminal, where the texts themselves show how far it is."""
    return _Notes(observer.on_note) if sys.stdout.isatty() else observer


def _interactive(line: CommandLine) -> None:
    from nextfill.config.shorthands import normal_form

    settings = _request(line).settings
    places = {item.path for item in normal_form(GenerateConfig, settings)}
    arguments = {
        "a prompt": line.arguments.prompt,
        "--json": line.arguments.json,
        "--prompts": ("prompts", "source") in places,
        "--out": ("out",) in places,
    }
    odd = " and ".join(name for name, present in arguments.items() if present)
    problem = [f"--interactive asks for prompts and shows the texts: leave out {odd}."]
    converse(settings, [*line.problems, *(problem if odd else [])])


GENERATE = Command(
    "Continue a text with a model, or fill in what is missing before a suffix.",
    GenerateConfig,
    (MODEL, PROMPT, INTERACTIVE, QUIET, JSON),
    _run_generate,
    lambda result: None,  # texts are shown as they come
)


def _run_fill(line: CommandLine) -> Any:
    from nextfill.api.inference import fill
    from nextfill.cli.console import AnswerPrinter
    from nextfill.config.resolve import fill_config

    model, texts = line.arguments.model, line.arguments.text
    if problem := unquoted_text(model, texts):
        raise ConfigError([*line.problems, problem])
    observer = observer_of(line)
    asked = _request(line, observer=observer)
    config = fill_config(asked.settings, asked.problems)
    text = texts[0] if len(texts) == 1 else texts or None
    if line.arguments.json or config.out:
        return _json_results(line, config.out, fill(model, text, request=asked))
    asked = _request(line, observer=_beside_texts(observer), on_result=AnswerPrinter())
    fill(model, text, request=asked)
    return None


FILL = Command(
    "Fill the blanks of a text with a masked model.",
    FillConfig,
    (MODEL, TEXT, QUIET, JSON),
    _run_fill,
    lambda result: None,  # texts are shown as they are filled
)


def converse(layer: Sequence[Assignment], problems: Sequence[str] = ()) -> None:
    """Continue one line after another until there are none; the model is loaded once.

    At a terminal it asks for each, and a line that begins with ``/`` changes a setting. Elsewhere
    every line is a prompt, and nothing but the texts is printed.
    """
    from nextfill.config.resolve import generate_config

    config = generate_config(layer, problems)
    from nextfill.generation.generate import open_session  # brings PyTorch

    session = open_session(config)
    for note in session.loaded.notes:
        _say(note)
    if sys.stdin.isatty() and sys.stdout.isatty():
        _at_terminal(session, layer, config)
    else:
        _over_lines(session, config)


def _over_lines(session: Session, config: GenerateConfig) -> None:
    lines = (as_utf8(line.rstrip("\n"), sys.stdin.encoding) for line in sys.stdin)
    prompts = enumerate(lines, start=1)
    for count, (number, text) in enumerate((n, text) for n, text in prompts if text):
        if count:
            print("---")
        _answer(session, config, text, f"line {number}")


def _at_terminal(session: Session, layer: Sequence[Assignment], config: GenerateConfig) -> None:
    from nextfill.config.resolve import generate_config

    with suppress(ImportError):  # gives `input` its line editing, where there is one
        import readline  # noqa: F401
    _say(f"{session.loaded.name}: type a text to have it continued, or /help; /quit leaves.")
    changes: dict[str, Assignment] = {}
    while True:
        try:
            text = as_utf8(input(ASK), sys.stdin.encoding)
            if text.strip().lower() in _QUIT:
                return
            if text == "/help":
                _say(_interactive_help())
            elif text.startswith("/"):
                changed = _change(text[1:], changes)
                config = generate_config([*layer, *changed.values()])
                _say(_taken(text[1:].split()[0], changed))
                changes = changed  # only now, because a change may be refused
                session.seen.clear()
            elif text:
                _answer(session, config, text, "")
        except ConfigError as error:
            _say(_as_typed_here(str(error)))
        except NextfillError as error:
            _say(str(error))
        except KeyboardInterrupt:
            if not is_ctrl_c():
                raise
            print()
        except EOFError:
            print()
            return


def _answer(session: Session, config: GenerateConfig, text: str, where: str) -> None:
    from nextfill.cli.console import StreamPrinter, show_texts
    from nextfill.generation.prompts import PromptText

    prompt = [PromptText(text, where)]
    if config.generation.num_samples > 1:
        return show_texts(list(session.texts(prompt, config)))
    stream = StreamPrinter(text)
    for _ in session.texts(prompt, config, on_text=stream):
        stream.end(config.generation.suffix or "")
    if stream.is_empty and not where:
        _say(_ended_at_once(config, "the same prompt again gives another sample"))
    return None


@cache
def _interactive_settings() -> dict[str, Setting]:
    """Return the settings that may change between two texts, by the names to type."""
    return {
        setting.flag.removeprefix("--"): setting
        for setting in settings(GenerateConfig)
        if setting.path[0] in ("seed", "generation")
    }


def _interactive_help() -> str:
    return f"""\
Type a text to have it continued; the same text again gives another continuation.
Ctrl-C ends a continuation; exit, quit or Ctrl-D leaves. /NAME VALUE changes a setting, as in
/temperature 0.8 or /greedy on, and /NAME alone puts it back:
{", ".join(_interactive_settings())}."""


def _change(typed: str, changes: Mapping[str, Assignment]) -> dict[str, Assignment]:
    """Return the changes to the settings with the one that was typed, or without it."""
    name, _, value = typed.strip().partition(" ")
    known = _interactive_settings()
    if name not in known:
        hint = nearest("/" + name, ["/" + one for one in known])
        raise NextfillError(f"There is no setting /{name}.{hint} Type /help.")
    others = {other: change for other, change in changes.items() if other != name}
    if not value.strip():
        return others
    setting = known[name]
    if "str" not in str(setting.kind):  # a text may well begin and end with quotes
        value = value.strip().strip(_QUOTES)
    taken = [value] if get_origin(setting.kind) is list else value.strip()
    return others | {name: Assignment(setting.path, taken, f"/{name}")}


def _taken(name: str, changes: Mapping[str, Assignment]) -> str:
    """Return what is said of a setting that was changed or put back."""
    if name not in changes:
        return f"/{name} is as it was at the beginning."
    value = changes[name].value
    return f"/{name} is {value[0] if isinstance(value, list) else value} from here on."


def _as_typed_here(message: str) -> str:
    """Return a message on settings with their flags as they are typed between two texts."""

    def here(flag: re.Match[str]) -> str:
        setting = _interactive_settings().get(flag["name"])
        if setting is None:
            return flag[0]
        switch = (" off" if flag["no"] else " on") if setting.kind is bool else ""
        return f"/{flag['name']}{switch}"

    return re.sub(r"--(?P<no>no-)?(?P<name>[a-z][a-z-]*[a-z])", here, message)


def _say(message: str) -> None:
    print_error(printable(message))
