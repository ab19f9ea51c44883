"""The common part of the verbs: their keyword arguments, the config made of them, signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import reduce, wraps
from operator import or_
from os import PathLike
from pathlib import Path
from textwrap import wrap
from types import UnionType
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin

from nextfill.api.arguments import check_arguments, with_folders
from nextfill.config import TrainConfig
from nextfill.config.command_line.python_messages import in_keywords, keyword_errors
from nextfill.config.layers import build, keyword_assignments
from nextfill.config.options import Assignment, settings
from nextfill.config.prefixes import LIVE
from nextfill.config.problems.data_problems import data_problems
from nextfill.config.settings.model_settings import NOTHING_LIVE, Live
from nextfill.core.amounts import with_article
from nextfill.core.errors import ConfigError
from nextfill.core.progress import Observer, Silent
from nextfill.data.records.python_data.column_lists import rows_of_columns
from nextfill.data.records.python_data.input_settings import data_files, separate_live
from nextfill.terminal.log_level import at_log_level, log_levels_restored

C = TypeVar("C")
T = TypeVar("T")
P = ParamSpec("P")

Data = str | Path | Iterable[str | None] | Iterable[Mapping[str, Any]]
"""A name, as the flag takes it; or texts or dicts in a list or from an iterator, a
`datasets.Dataset`, a data frame or table of pandas, polars or PyArrow."""

DATA_SETTINGS = {"data": Data, "eval_data": Data | None}
"""The settings that also take the data themselves, and their types."""


@dataclass(frozen=True)
class Request:
    """The settings of a caller, and the receivers of progress and of results.

    Args:
        settings: The settings as they were written.
        problems: The mistakes found while they were read.
        live: The model and tokenizer that a Python program hands over.
        observer: Receives progress and notes.
        on_result: Receives the result for each text as soon as it is there.
    """

    settings: Sequence[Assignment]
    problems: Sequence[str] = ()
    live: Live = NOTHING_LIVE
    observer: Observer = field(default_factory=Silent)
    on_result: Callable[[Any], None] = lambda result: None


def request_of(
    root: type, keywords: Mapping[str, Any], observer: Observer | None = None
) -> Request:
    """Return the request in the keyword arguments of a verb.

    A command passes its own as ``request``; a Python program's settings, named like the flags, may
    hold a live model and tokenizer.
    """
    if isinstance(request := keywords.get("request"), Request):
        return request
    live = NOTHING_LIVE
    if any(setting.path == ("model", "name") for setting in settings(root)):
        keywords, live = part_live(keywords)
        if callable(stand_in := getattr(live.model, "stand_in", None)):  # of Keras
            if root is TrainConfig:
                raise ConfigError(
                    [
                        "model: found a Keras model. Train it with its own fit, or save it with "
                        "nextfill.keras.to_transformers and name its folder: "
                        "model=FOLDER, backend='keras'."
                    ]
                )
            live = replace(live, model=stand_in())
    data = keywords.keys() & DATA_SETTINGS.keys()
    rows = {name: rows_of_columns(name, keywords[name]) for name in data}
    found = keyword_assignments(root, {**keywords, **rows})
    return Request(*found, live, _noting_keywords(observer or Silent(), root))


def _noting_keywords(observer: Observer, root: type) -> Observer:
    """Have an observer, which is the call's own, told of settings as a program types them."""
    on_note = observer.on_note

    def on_note_in_keywords(text: str) -> None:
        on_note(in_keywords(in_keywords(text, root), TrainConfig))  # it may name another verb's

    observer.on_note = on_note_in_keywords  # type: ignore[method-assign]
    return observer


def request_at_level(request: Request, level: str | None) -> Request:
    """Return a request whose observer shows what a log level says, once this is known."""
    return replace(request, observer=at_log_level(request.observer, level))


def part_live(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], Live]:
    """Part the live objects among keyword arguments from the settings.

    Example:
        >>> part_live({"model": "gpt2", "epochs": 1})
        ({'model': 'gpt2', 'epochs': 1}, Live(model=None, tokenizer=None))
    """
    model = keywords.get("model")
    if keywords.get("tokenizer") is None and hasattr(model, "stand_in"):
        keywords = {**keywords, "tokenizer": getattr(model, "tokenizer", None)}
    found = {
        name: keywords[name]
        for name in ("model", "tokenizer")
        if not isinstance(keywords.get(name), str | PathLike | Mapping | None)
    }
    for name, value in found.items():
        check_live(name, value)
    if "model" in found and keywords.get("tokenizer") is None:
        raise ConfigError(["A live model needs its tokenizer, too: give tokenizer=tokenizer."])
    names = {name: f"{LIVE}{type(value).__name__}" for name, value in found.items()}
    return {**keywords, **names}, Live(**found)


def check_live(name: str, value: Any) -> None:
    """Refuse what is neither the name of a model or a tokenizer, nor one in memory."""
    method, kind = ("parameters", "model") if name == "model" else ("encode", "tokenizer")
    if callable(getattr(value, method, None)) or hasattr(value, "stand_in"):
        return
    several = isinstance(value, list | tuple) and len(value) > 1 and name == "model"
    raise ConfigError(
        [
            f"{name}: found {with_article(value)}; expected a name, or a {kind} of transformers."
            + (" Give models one by one: nextfill.evaluate(ONE, ANOTHER)." if several else "")
        ]
    )


def resolve(root: type[C], request: Request, *checks: Callable[[C], object]) -> C:
    """Build a verb's config; data from Python go into files once all other settings are valid.

    Each of the checks raises where the config cannot be used.
    """

    def checked(layer: Sequence[Assignment]) -> C:
        config = build(root, [layer], request.problems)
        for check in checks:
            check(config)
        return config

    return config_with_files(request, checked)


def config_with_files(request: Request, make: Callable[[Sequence[Assignment]], C]) -> C:
    """Make a config; only where data go into files, whose names are settings, is it made again.

    ``make`` returns the config, or a tuple that begins with it.
    """
    plain, live = separate_live(request.settings)
    made = make(plain)
    config = made[0] if isinstance(made, tuple) else made
    if problems := [*data_problems(config)]:
        raise ConfigError(problems)
    files = data_files(config, live, request.observer.on_stage)
    return make([*plain, *files]) if files else made


def keyword_settings(root: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for a verb whose ``**keywords`` are settings.

    Its signature lists them, and its errors name them as a program types them; a command, which
    passes its request, gets errors with flags.
    """

    def decorate(verb: Callable[P, T]) -> Callable[P, T]:
        @wraps(verb)
        def call(*arguments: P.args, **keywords: P.kwargs) -> T:
            named = nullcontext() if "request" in keywords else keyword_errors(root)
            with log_levels_restored(), named:
                given, named_ones = with_folders(verb, arguments, keywords)
                check_arguments(verb, root, given, named_ones)
                return verb(*given, **named_ones)

        show_settings(call, root)
        return call

    return decorate


def show_settings(verb: Callable[..., Any], root: type) -> None:
    """Replace ``**keywords`` in a verb's signature by its settings, for completion and ``help``.

    Example:
        >>> from nextfill.config import PrepareConfig
        >>> def verb(*, quiet=None, **keywords): ...
        >>> show_settings(verb, PrepareConfig)
        >>> list(inspect.signature(verb).parameters)[:3]
        ['quiet', 'objective', 'seed']
    """
    signature = inspect.signature(verb)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    names = {parameter.name for parameter in own}
    listed = [
        inspect.Parameter(
            setting.keyword,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=_plain_type(DATA_SETTINGS.get(setting.keyword, setting.annotation)),
        )
        for setting in settings(root)
        if setting.keyword not in names
    ]
    if verb.__doc__:
        text = inspect.cleandoc(verb.__doc__)
        verb.__doc__ = f"{text}\n\nSettings:\n{_settings_text(root, names)}"
    verb.settings_of = root  # type: ignore[attr-defined]
    verb.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]


def _plain_type(annotation: Any) -> Any:
    """Return a type as help shows it, without the bounds of its values."""
    if get_origin(annotation) is Annotated:
        return _plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_plain_type, get_args(annotation)))
    if get_origin(annotation) is list:
        return list[_plain_type(get_args(annotation)[0])]  # type: ignore[misc]
    return annotation


def _settings_text(root: type, others: Container[str]) -> str:
    """Return a line, or a few, for each setting: its name, its help and its default."""
    lines: list[str] = []
    for setting in settings(root):
        if setting.keyword not in others:
            default = "" if setting.default is None else f" (default: {setting.default!r})"
            told = in_keywords(in_keywords(setting.help, root), TrainConfig)  # of another verb
            text = f"    {setting.keyword}: {told}{default}"
            lines += wrap(text, 96, subsequent_indent=" " * 8, break_long_words=False)
    return "\n".join(lines)
