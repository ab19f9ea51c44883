"""The commands that use a model: evaluate, generate, also interactively, fill, serve, export."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextfill.cli.commands import (
    JSON,
    QUIET,
    Command,
    from_tables,
    observer_of,
    ranks_to_start,
    request,
)
from nextfill.config import EvaluateConfig, ExportConfig, FillConfig, GenerateConfig, ServeConfig
from nextfill.config.command_line.flags import Argument, CommandLine
from nextfill.config.command_line.missing_arguments import unquoted_text
from nextfill.config.options import Assignment
from nextfill.core.errors import ConfigError, OtherRankError
from nextfill.core.progress import Observer, Silent
from nextfill.core.streams import print_error, printable

if TYPE_CHECKING:
    from nextfill.api.verb import Request

MODEL = Argument("model", "run directory, folder, Hub id or builtin:NAME")
OTHERS = Argument("others", "further models, compared with the first on the same documents", "*")
INTERACTIVE = Argument("--interactive", "ask for prompts, or read a prompt from each line of stdin")
PROMPT = Argument("prompt", "texts to continue; none begins a document", "*")
SERVED_BESIDE = Argument("others", "further models to serve beside it", "*")
TEXT = Argument("text", "texts, each with a blank: ___, <mask>, [MASK] or the model's own", "*")


def _request(line: CommandLine, **receivers: Any) -> Request:
    """Return the request of a line, with the model, whose name comes before the flags."""
    from nextfill.config.problems.conflicts import conflicts  # not for --help

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
    from nextfill.api.rank_evaluation import rank_of

    asked, names = _request(line, observer=observer_of(line)), line.arguments.others
    if (count := ranks_to_start(line, EvaluateConfig)) > 1:
        from nextfill.api.inference import check_evaluation
        from nextfill.training.distributed.rank_launch import launch
        from nextfill.training.distributed.rank_task import EVALUATION

        check_evaluation(asked, names, count)
        if status := launch("evaluate", line.words, count, EVALUATION.going_on(None)):
            raise OtherRankError("", status)
        return None
    result = evaluate(line.arguments.model, *names, request=asked)
    place = rank_of(asked)
    return None if place is not None and place.rank else result


EVALUATE = Command(
    "Score text with a model: perplexity, bits per byte, and what they are over.",
    EvaluateConfig,
    (MODEL, OTHERS, QUIET, JSON),
    _run_evaluate,
    from_tables("show_scores"),
)


def _run_generate(line: CommandLine) -> Any:
    from nextfill.api.inference import generate
    from nextfill.cli.console import StreamPrinter, TextPrinter
    from nextfill.config.resolve import generate_config

    model, prompts = line.arguments.model, line.arguments.prompt
    from nextfill.cli.conversation import ended_at_once, say
    from nextfill.cli.piped_text import piped_text

    if line.arguments.interactive:
        return _interactive(line)
    observer = observer_of(line)
    asked = _request(line, observer=observer)
    config = generate_config(asked.settings, asked.problems)
    if not prompts and config.prompts.source is None:
        prompts = [piped_text("prompt", quiet=line.arguments.quiet)]
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
            say(ended_at_once(config, f"--seed {config.seed + 1} gives another sample"))
        elif config.generation.samples and sys.stdout.isatty():
            say(f"Another text: the same with --seed {config.seed + 1}.")
        return None
    asked = _request(line, observer=_beside_texts(observer), on_result=TextPrinter())
    generate(model, prompt, request=asked)
    return None


def _json_results(line: CommandLine, out: str | None, results: Any) -> Any:
    """Name the file of the results; return them where ``--json`` prints them."""
    if out and not line.arguments.quiet:
        print_error(f"written: {printable(out)}")
    return results if line.arguments.json else None


def _beside_texts(observer: Observer) -> Observer:
    """Return notes alone at a terminal, where the texts themselves show how far it is."""
    return _Notes(observer.on_note) if sys.stdout.isatty() else observer


def _interactive(line: CommandLine) -> None:
    from nextfill.cli.conversation import converse
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
    from nextfill.cli.piped_text import piped_text
    from nextfill.config.resolve import fill_config

    model, texts = line.arguments.model, line.arguments.text
    if problem := unquoted_text(model, texts):
        raise ConfigError([*line.problems, problem])
    observer = observer_of(line)
    asked = _request(line, observer=observer)
    config = fill_config(asked.settings, asked.problems)
    if not texts and config.prompts.source is None:
        piped = piped_text("text", quiet=line.arguments.quiet)
        texts = [piped] if piped else texts
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


def _run_export(line: CommandLine) -> Any:
    from nextfill.api.export import export

    return export(line.arguments.model, request=_request(line, observer=observer_of(line)))


EXPORT = Command(
    "Write a model for llama.cpp, ONNX Runtime, CTranslate2 or OpenVINO, compared there.",
    ExportConfig,
    (MODEL, QUIET, JSON),
    _run_export,
    from_tables("show_message"),
)


def _run_serve(line: CommandLine) -> None:
    from nextfill.api.serve import serve

    asked = _request(line, observer=observer_of(line))
    serve(line.arguments.model, *line.arguments.others, request=asked)


SERVE = Command(
    "Serve models over HTTP: OpenAI's API, Hugging Face's, and a page to try them on.",
    ServeConfig,
    (MODEL, SERVED_BESIDE, QUIET),
    _run_serve,
    lambda result: None,  # it told where it listens
)
