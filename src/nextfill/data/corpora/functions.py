"""The functions in the source of one Python module, read without running it.

Each stands as it was written, with its decorators and docstring, moved to the left margin. Methods
are functions of their own; a function within another is part of that one.
"""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections.abc import Iterator
from textwrap import dedent

from nextfill.data.corpora.docstrings import Entry, module_name, statements

MIN_CHARACTERS = 60
"""Below there is hardly more than a signature."""

MAX_CHARACTERS = 800
"""Above hardly a function fits into a block of 256 tokens."""


def entries(source: bytes, path: str) -> list[Entry]:
    r"""Read the functions of a module that are neither very short nor very long.

    Example:
        >>> lines = ["class Sum:", "  def add(self, numbers):", "    for number in numbers:"]
        >>> source = "\n".join([*lines, "      self.sum += number"]).encode()
        >>> [entry] = entries(source, "data/sums.py")
        >>> entry.title
        'data.sums.Sum.add'
        >>> print(entry.texts[0])
        def add(self, numbers):
          for number in numbers:
            self.sum += number
    """
    text = importlib.util.decode_source(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escape sequences
        tree = ast.parse(text)
    lines = text.split("\n")  # as the parser counts them: no other character ends one
    unit = module_name(path)
    found = []
    for title, node in _functions(tree, unit):
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        written = dedent("\n".join(lines[first - 1 : node.end_lineno]))
        # A string whose lines begin further left holds its function back: the rest would not parse.
        if MIN_CHARACTERS <= len(written) <= MAX_CHARACTERS and not written[0].isspace():
            found.append(Entry(unit, title, path, first, (written,)))
    return found


def _functions(
    node: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield functions and methods with their qualified names, in source order."""
    for child in statements(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{prefix}.{child.name}", child
            case ast.ClassDef():
                yield from _functions(child, f"{prefix}.{child.name}")
