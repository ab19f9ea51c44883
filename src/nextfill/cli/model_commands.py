"""The commands that use a model: evaluate, generate, fill."""

from __future__ import annotations

import sys
from typing import Any

from nextfill.cli.command import JSON, MODEL, QUIET, Command, observer_of, with_model
from nextfill.config import EvaluateConfig, FillConfig, GenerateConfig
from nextfill.config.flags import Argument, CommandLine
from nextfill.core.streams import print_error, printable

OTHERS = Argument("others", "further models, compared with the first on the same documents", "*")


def _run_evaluate(line: CommandLine) -> Any:
    from nextfill.api.evaluate import evaluate_from

    others = line.arguments.others
    return evaluate_from(with_model(line), line.problems, others, observer_of(line))


def _show_evaluate(result: Any) -> None:
    from nextfill.cli.tables import show_comparison, show_evaluation
    from nextfill.evaluation.comparison import Comparison

    show = show_comparison if isinstance(result, Comparison) else show_evaluation
    show(result)


EVALUATE = Command(
    "Score text with a model: perplexity, bits per byte, and what they are over.",
    EvaluateConfig,
    (MODEL, OTHERS, QUIET, JSON),
    _run_evaluate,
    _show_evaluate,
)


INTERACTIVE = Argument("--interactive", "ask for prompts, or read a prompt from each line of stdin")
PROMPT = Argument("prompt", "texts to continue; none begins a document", "*")


def _run_generate(line: CommandLine) -> Any:
    from nextfill.api.generate import generate_from
    from nextfill.cli.tables import Streamed, Texts
    from nextfill.config.resolve_inference import generate_config

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
    from nextfill.cli.interactive import converse
    from nextfill.config.layers import full_path

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
    from nextfill.cli.tables import show_texts

    show_texts(result)


GENERATE = Command(
    "Continue a text with a model.",
    GenerateConfig,
    (MODEL, PROMPT, INTERACTIVE, QUIET, JSON),
    _run_generate,
    _show_generate,
)


TEXT = Argument("text", "texts, each with a blank: ___, <mask>, [MASK] or the model's own", "*")


def _run_fill(line: CommandLine) -> Any:
    from nextfill.api.fill import fill_from
    from nextfill.cli.text_view import FilledTexts
    from nextfill.config.resolve_inference import fill_config

    given, texts = with_model(line), line.arguments.text
    config = fill_config(given, line.problems)
    text = texts[0] if len(texts) == 1 else texts or None
    if line.arguments.json or config.out:
        results = fill_from(given, (), text, observer=observer_of(line))
        if config.out and not line.arguments.quiet:
            print_error(f"written: {printable(config.out)}")
        return results if line.arguments.json else None
    # At a terminal the answers themselves show how far it is.
    observer = None if sys.stdout.isatty() else observer_of(line)
    on_note = observer_of(line).on_note
    fill_from(given, (), text, on_filled=FilledTexts(), on_note=on_note, observer=observer)
    return None


def _show_fill(result: Any) -> None:
    """Show nothing more: texts are shown as they are filled."""


FILL = Command(
    "Fill the blanks of a text with a masked model.",
    FillConfig,
    (MODEL, TEXT, QUIET, JSON),
    _run_fill,
    _show_fill,
)
