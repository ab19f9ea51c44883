"""Write src/nextfill/__init__.pyi: every verb with each of its settings, its type and its help.

At run time a verb takes ``**keywords``, which are checked against the settings. Type checkers and
editors read the stub instead, so that a misspelt setting is an error there and a right one explains
itself. Run it after a setting was changed; a test holds that the file is up to date.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_overloads

import nextfill
from nextfill.api.verb import DATA_SETTINGS
from nextfill.config.options import Setting, sections, settings

STUB = Path(nextfill.__file__).with_name("__init__.pyi")
PATHS = frozenset({"out", "cache_dir", "prompts"})
"""Settings of text that also take a path."""
JOINED_NAMES = frozenset({"lora_targets", "track", "to"})
"""Settings of names joined by commas that also take a list of them."""
LIVE_MODELS = frozenset({"model", "tokenizer"})
"""Settings that also take an object of transformers."""


def stub() -> str:
    """Return the text of the stub."""
    imports: set[tuple[str, str]] = set()
    parts = []
    for name in nextfill.__all__:
        public = getattr(nextfill, name)
        if inspect.isclass(public):
            parts.append(f"from {public.__module__} import {name} as {name}\n")
        else:
            parts.append(_function(name, public, imports))
    classes = sorted(part for part in parts if part.startswith("from"))
    functions = [part for part in parts if not part.startswith("from")]
    lines = [f"from {module} import {name}\n" for module, name in sorted(imports)]
    return (
        '"""Types of the public functions, made by scripts/make_stubs.py from the settings."""\n\n'
        "from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence\n"
        "from pathlib import Path\nfrom typing import Any, Literal, overload\n\n"
        + "from nextfill import keras as keras\n"
        + "".join([*classes, *lines])
        + "\n__version__: str\n\n__all__ = [\n"
        + "".join(f'    "{name}",\n' for name in nextfill.__all__)
        + "]\n\n"
        + "\n".join(functions)
    )


def _function(name: str, verb: Callable[..., Any], imports: set[tuple[str, str]]) -> str:
    root = getattr(verb, "settings_of", None)
    by_name = {one.keyword: one for one in settings(root)} if root else {}
    text = textwrap.indent(_docstring(verb, by_name), "    ")
    own = {parameter.name for parameter in inspect.signature(verb).parameters.values()}
    # The verb's own signature lists the settings; that of an overload ends with **keywords.
    overloads = get_overloads(inspect.unwrap(verb))
    forms = [inspect.signature(one) for one in overloads] or [inspect.signature(verb)]
    written = []
    for form in forms:
        lines = _parameters(_with_those_of_all(form, verb), verb, by_name, imports)
        if root is not None:
            listed = {line.partition(":")[0].lstrip("*") for line in lines}
            lines += [
                f"{one.keyword}: {_with_default(_setting_type(one, root), one.default)}"
                for one in by_name.values()
                if one.keyword not in listed
            ]
            lines += [f"{one}: Mapping[str, Any] = ..." for one in sections(root) if one not in own]
        returned = str(form.return_annotation)
        imports |= _imports_of(verb, returned)
        arguments = "".join(f"    {line},\n" for line in lines)
        mark = "@overload\n" if overloads else ""
        written.append(f"{mark}def {name}(\n{arguments}) -> {returned}:\n{text}\n    ...\n")
    return "\n".join(written)


def _with_those_of_all(form: inspect.Signature, verb: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of an overload with the arguments that every form of the verb has."""
    of_all = inspect.signature(inspect.unwrap(verb)).parameters.values()
    more = [
        one
        for one in of_all
        if one.kind is inspect.Parameter.KEYWORD_ONLY and one.name not in form.parameters
    ]
    own = list(form.parameters.values())
    last = [one for one in own if one.kind is inspect.Parameter.VAR_KEYWORD]
    return form.replace(parameters=[*(one for one in own if one not in last), *more, *last])


def _parameters(
    form: inspect.Signature,
    verb: Callable[..., Any],
    by_name: Mapping[str, Setting],
    imports: set[tuple[str, str]],
) -> list[str]:
    """Return the parameters that are written out, as they are written in a stub."""
    written: list[str] = []
    starred = False
    for parameter in form.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if parameter.name in by_name and not isinstance(parameter.annotation, str):
            continue  # a setting, which comes with the others
        star = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            written.append("*")
        starred |= bool(star) or parameter.kind is inspect.Parameter.KEYWORD_ONLY
        kind = str(parameter.annotation)
        imports |= _imports_of(verb, kind)
        if parameter.default is not inspect.Parameter.empty:
            kind = _with_default(kind, parameter.default)
        written.append(f"{star}{parameter.name}: {kind}")
    return written


def _with_default(kind: str, default: object) -> str:
    parts = [part for part in kind.split(" | ") if part != "None"]
    if default is None or len(parts) < len(kind.split(" | ")):
        parts = parts if parts == ["Any"] else [*parts, "None"]
    plain = default is None or isinstance(default, str | int | float)
    return f"{' | '.join(parts)} = {repr(default) if plain else '...'}"


def _setting_type(setting: Setting, root: Any) -> str:
    if setting.keyword in LIVE_MODELS:
        return "Any"
    if setting.keyword in DATA_SETTINGS:
        kind = "str | Path | DataConfig | Iterable[str | None] | Iterable[Mapping[str, Any]]"
        kind += " | None" if setting.keyword == "eval_data" else ""
    else:
        kind = _type(setting.annotation)
        if setting.keyword in PATHS:
            kind = kind.replace("str", "str | Path", 1)
        if setting.keyword in JOINED_NAMES:
            kind = kind.replace("str", "str | Sequence[str]", 1)
    if setting.keyword in sections(root) and "Mapping" not in kind:
        kind += " | Mapping[str, Any]"
    return kind


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin is list:
        return f"Sequence[{_type(parts[0])}]"
    if origin is dict:
        return "Mapping[str, Any]"
    return "None" if annotation is type(None) else str(annotation.__name__)


def _imports_of(verb: Callable[..., Any], annotation: str) -> set[tuple[str, str]]:
    """Return the imports of a verb's module, as (module, name), that an annotation needs."""
    module = importlib.import_module(verb.__module__)
    tree = ast.parse(inspect.getsource(module))
    words = set(re.findall(r"\w+", annotation))
    found = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
        if alias.name in words and node.module not in ("typing", "collections.abc", "pathlib")
    }
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)} & words
    return {(str(module), name) for module, name in found} | {(verb.__module__, n) for n in own}


def _docstring(verb: Callable[..., Any], by_name: Mapping[str, Setting]) -> str:
    """Return a verb's docstring with its settings in the place of the keywords."""
    text = inspect.getdoc(inspect.unwrap(verb)) or ""  # without the list that help() shows
    lines = []
    for keyword, setting in by_name.items():
        default = "" if setting.default is None else f" (default: {setting.default!r})"
        first = f"    {keyword}: {setting.help}{default}".replace("\\", "\\\\")
        lines += textwrap.wrap(first, 96, subsequent_indent=" " * 8, break_long_words=False)
    if lines:
        listed = "\n".join(lines)
        text = re.sub(
            r"    \*\*keywords:.*?(?=\n\n|\n    \w)", lambda _match: listed, text, flags=re.DOTALL
        )
    text = text.partition("\n\nExample:")[0]
    return f'"""{text}\n"""'


def formatted(text: str) -> str:
    """Return a text as ruff formats it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(STUB), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    STUB.write_text(formatted(stub()), encoding="utf-8")
