"""The documentation in the source of one Python module, read without running it.

Beside docstrings proper there are those attached by a call (`add_docstr(torch.abs, "...")`) or by
an assignment (`Adam.__doc__ = ...`), and pydoc's topics. Such a text may be built from parts:
constants of the same file are filled in, and a line with any other part is dropped.
"""

from __future__ import annotations

import ast
import inspect
import re
import string
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

MIN_CHARACTERS = 20

_ATTACHERS = frozenset({"add_docstr", "_add_docstr", "add_docstr_all", "add_newdoc"})
# In a text built from parts, the placeholder of one that only running the code would give.
_UNKNOWN = "\0"


@dataclass(frozen=True, slots=True)
class Entry:
    """The documentation of one module, function, class (with its methods) or topic.

    Args:
        unit: The module's name, or the topic's, which is held out as a whole.
        path: The source file, below the root of the sources.
        line: Line of the definition, from 1.
        texts: The docstrings, cleaned; none is shorter than `MIN_CHARACTERS`.
    """

    unit: str
    title: str
    path: str
    line: int
    texts: tuple[str, ...]


def entries(source: bytes, path: str) -> list[Entry]:
    """Read the documentation of a module.

    Example:
        >>> [entry.texts for entry in entries(b"'A module of which this is said.'", "data/pack.py")]
        [('A module of which this is said.',)]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escape sequences
        tree = ast.parse(source)
    return _Module(path).read(tree)


def module_name(path: str) -> str:
    """Return the name of a module, from its source file's path below the root of the sources.

    Example:
        >>> module_name("json/__init__.py"), module_name("json/decoder.py")
        ('json', 'json.decoder')
    """
    return ".".join(PurePath(path).with_suffix("").parts).removesuffix(".__init__")


class _Module:
    """The collector of the entries of one source file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = module_name(path)
        self.entries: list[Entry] = []
        self.constants = _Constants()

    def read(self, tree: ast.Module) -> list[Entry]:
        self._add(self.name, 1, [_docstring(tree)])
        for node in statements(tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._add(f"{self.name}.{node.name}", node.lineno, [_docstring(node)])
                case ast.ClassDef():
                    self._class(node, self.name)
                case ast.Assign(targets=[target], value=value):
                    self._assignment(target, value)
                case ast.Expr(value=ast.Call() as call) if _attaches(call):
                    self._attached(call, None)
        return self.entries

    def _add(self, title: str, line: int, texts: Sequence[str], unit: str | None = None) -> None:
        kept = tuple(text for text in texts if len(text) >= MIN_CHARACTERS)
        if kept:
            self.entries.append(Entry(unit or self.name, title, self.path, line, kept))

    def _class(self, node: ast.ClassDef, prefix: str) -> None:
        title = f"{prefix}.{node.name}"
        texts = [_docstring(node)]
        inner: list[ast.ClassDef] = []
        for child in statements(node):
            match child:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    texts.append(_docstring(child))
                case ast.Assign(targets=[ast.Name(id="__doc__")], value=value):
                    texts.append(self._text(value))
                case ast.ClassDef():
                    inner.append(child)
        self._add(title, node.lineno, texts)
        for child in inner:
            self._class(child, title)

    def _assignment(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Attribute(attr="__doc__", value=owner), _:
                title = f"{self.name}.{ast.unparse(owner)}"
                self._add(title, target.lineno, [self._text(value)])
            case ast.Name(id="topics"), ast.Dict() if self.name == "pydoc_data.topics":
                for key, text in zip(value.keys, value.values, strict=True):
                    if key is not None:
                        title = f"{self.name}.{self.constants.text(key)}"
                        self._add(title, key.lineno, [self._text(text)], unit=title)
            case ast.Name(id=name), ast.Call() if _attaches(value):
                self._attached(value, name)
            case ast.Name(id=name), _:
                self.constants.learn(name, value)

    def _attached(self, call: ast.Call, target: str | None) -> None:
        """Read `add_docstr(object, text)` or `add_newdoc(place, name, text | (member, text))`.

        If the call's value is assigned to a target, that is the documented name.
        """
        *owner, text = call.args
        title = ".".join(self.constants.text(part) or ast.unparse(part) for part in owner)
        if target or (isinstance(owner[0], ast.Constant) and len(owner) == 1):
            title = f"{self.name}.{target or title}"
        pairs = text.elts if isinstance(text, ast.List) else [text]
        for pair in pairs:
            member, value = pair.elts if isinstance(pair, ast.Tuple) else (None, pair)
            name = f"{title}.{self.constants.text(member)}" if member else title
            self._add(name, pair.lineno, [self._text(value)])

    def _text(self, node: ast.expr) -> str:
        return _clean(self.constants.text(node))


class _Constants:
    """The constants of one file that are texts or mappings of texts, by name."""

    def __init__(self) -> None:
        self._known: dict[str, str | dict[str, str]] = {}

    def learn(self, name: str, value: ast.expr) -> None:
        """Note an assignment whose value is known."""
        known = self.text(value) or self._mapping(value)
        if known:
            self._known[name] = known

    def text(self, node: ast.expr) -> str | None:
        """Evaluate an expression as text, with `_UNKNOWN` for its unknown parts."""
        known: str | dict[str, str] | None = None
        match node:
            case ast.Constant(value=str(constant)):
                known = constant
            case ast.Name(id=name):
                known = self._known.get(name)
            case ast.FormattedValue(value=value):
                known = self.text(value)
            case ast.JoinedStr(values=values):
                known = "".join(self.text(value) or _UNKNOWN for value in values)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = [self.text(left), self.text(right)]
                if parts != [None, None]:
                    known = "".join(_UNKNOWN if part is None else part for part in parts)
            case ast.Call(func=ast.Attribute(value=template, attr="format"), keywords=keywords):
                known = self.text(template)
                if known is not None:
                    known = _fill(known, self._keywords(keywords))
        return known if isinstance(known, str) else None

    def _keywords(self, keywords: Sequence[ast.keyword]) -> dict[str, str]:
        values: dict[str, str] = {}
        for keyword in keywords:
            if keyword.arg is None:
                values |= self._mapping(keyword.value)
            else:
                values[keyword.arg] = self.text(keyword.value) or _UNKNOWN
        return values

    def _mapping(self, node: ast.expr) -> dict[str, str]:
        """Evaluate an expression as a mapping of texts, as torch writes them."""
        mapping: dict[str, str] = {}
        match node:
            case ast.Name(id=name):
                known = self._known.get(name)
                mapping = known if isinstance(known, dict) else {}
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    known_key, known_text = key and self.text(key), self.text(value)
                    if known_key and known_text:
                        mapping[known_key] = known_text
            case ast.Call(func=ast.Name(id="parse_kwargs"), args=[text]):
                sections = re.split(r"\n\s{4}(?!\s)", self.text(text) or "")
                mapping = {part.split()[0]: part.strip() for part in sections if part.strip()}
            case ast.Call(func=ast.Name(id="merge_dicts"), args=parts):
                for part in parts:
                    mapping |= self._mapping(part)
        return mapping


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Fill the known fields of a template, as `str.format` does."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError:  # a lone brace: the file itself would fail here
        return template
    return "".join(
        literal + ("" if field is None else values.get(field, _UNKNOWN))
        for literal, field, _, _ in pieces
    )


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a body, entering `if`, `try` and `with`, in source order."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from statements(child)
        elif isinstance(child, ast.stmt):
            yield child


def _attaches(call: ast.Call) -> bool:
    match call.func:
        case ast.Name(id=function) | ast.Attribute(attr=function):
            return function in _ATTACHERS and len(call.args) >= 2
    return False


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return _clean(ast.get_docstring(node, clean=False))


def _clean(text: str | None) -> str:
    """Undo the indentation; drop lines with an unknown part; make it fit for UTF-8."""
    cleaned = inspect.cleandoc(text or "").encode("utf-8", "replace").decode()
    return "\n".join(line for line in cleaned.split("\n") if _UNKNOWN not in line).strip()
