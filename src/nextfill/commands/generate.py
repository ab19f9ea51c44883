"""`nextfill generate`."""

from __future__ import annotations

import sys
from typing import Any

from nextfill.commands.command import JSON, MODEL, QUIET, Command, observer_of, with_model
from nextfill.config import GenerateConfig
from nextfill.flags import Argument, CommandLine
from nextfill.plain import printable
from nextfill.streams import print_error

INTERACTIVE = Argument("--interactive", "ask for prompts, or read a prompt from each line of stdin")
PROMPT = Argument("prompt", "texts to continue; none begins a document", "*")


def _run_generate(line: CommandLine) -> Any:
    from nextfill.api.generating import generate_from
    from nextfill.resolve.texts import generate_config
    from nextfill.show import Streamed, Texts

    given, prompts = with_model(line), line.arguments.prompt
    if line.arguments.interactive:
        return _interactive(line, given)
    config = generate_config(given, line.problems)
    prompt = prompts if len(prompts) > 1 else "".join(prompts)
    on_note = observer_of(line).on_note
    one = len(prompts) < 2 and config.prompts.source is None
    if one and config.generation.num_samples == 1 and not (line.arguments.json or config.out):
        stream = Streamed(prompt)
        try:
            generate_from(given, (), prompt, streamer=stream, on_note=on_note)
        except KeyboardInterrupt:
            stream.end()
            raise KeyboardInterrupt("stopped.") from None
        return stream.end()
    if line.arguments.json or config.out:
        results = generate_from(given, (), prompt, observer=observer_of(line))
        if config.out and not line.arguments.quiet:
            print_error(f"written: {printable(config.out)}")
        return results if line.arguments.json else None
    # At a terminal the texts themselves show how far it is.
    observer = None if sys.stdout.isatty() else observer_of(line)
    generate_from(given, (), prompt, on_texts=Texts(), observer=observer, on_note=on_note)
    return None


def _interactive(line: CommandLine, given: list[Any]) -> None:
    from nextfill.given import full_path
    from nextfill.interactive import converse

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


def _show_generate(result: Any) -> None:
    from nextfill.show import show_texts

    show_texts(result)


GENERATE = Command(
    "Continue a text with a model.",
    GenerateConfig,
    (MODEL, PROMPT, INTERACTIVE, QUIET, JSON),
    _run_generate,
    _show_generate,
)
