"""Imports go downward only, and no two modules import each other, type-only imports counted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import nextfill

PACKAGE = "nextfill"
SOURCES = Path(nextfill.__file__).parent

# From the ground up. A room may import from its own layer and from those above it in this list,
# which are the lower ones. A room that is not here fails the test: decide where it belongs.
LAYERS = (
    ("core",),
    ("rendering",),
    ("config",),
    ("data",),
    ("objectives",),
    ("models",),
    ("generation", "filling", "tokenizers"),
    ("evaluation",),
    ("terminal",),
    ("runs",),
    ("training",),
    ("keras_engine",),
    ("html_report", "hub", "exporting", "serving", "tracking"),
    ("api",),
    ("cli",),
    ("__main__",),
    (PACKAGE, "keras"),  # the front doors
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


@dataclass(frozen=True)
class Import:
    """One import of a module of the package by another; ``inside`` a function or at its top."""

    importer: str
    imported: str
    line: int
    inside: bool


def modules(root: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    known = modules(root)
    return [
        found
        for name, path in known.items()
        for found in _imports_of(name, path, known)
        if found.imported.split(".")[0] == PACKAGE
    ]


def _imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node, inside in _import_nodes(tree, inside=False):
        if isinstance(node, ast.Import):
            targets = {alias.name for alias in node.names}
        else:
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            targets = {_target(base, alias.name, known) for alias in node.names}
        for target in targets - {""}:
            yield Import(name, target, node.lineno, inside)


def _target(base: str, name: str, known: dict[str, Path]) -> str:
    inner = f"{base}.{name}"
    return inner if inner in known else base


def _import_nodes(
    node: ast.AST, *, inside: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _import_nodes(child, inside=inside or function)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else PACKAGE


def problems(root: Path) -> list[str]:
    """Say everything that is wrong with the imports of a package."""
    found = [
        f"{name} is in no layer: give '{room(name)}' a place in LAYERS"
        for name in modules(root)
        if room(name) not in LEVEL
    ]
    edges = imports(root)
    for edge in edges:
        low, high = room(edge.importer), room(edge.imported)
        if low in LEVEL and high in LEVEL and LEVEL[high] > LEVEL[low]:
            found.append(f"{edge.importer}:{edge.line} imports {edge.imported}, a layer above")
    cycle = first_cycle([edge for edge in edges if not edge.inside])
    return [*found, f"cycle: {' -> '.join(cycle)}"] if cycle else found


def first_cycle(edges: list[Import]) -> list[str]:
    """Return the modules of a cycle, or an empty list."""
    graph: dict[str, set[str]] = {}
    for edge in edges:
        graph.setdefault(edge.importer, set()).add(edge.imported)
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            for after in sorted(graph.get(name, ())):
                if cycle := visit(after, [*trail, name]):
                    return cycle
            done.add(name)
        return []

    return next((cycle for name in sorted(graph) if (cycle := visit(name, []))), [])


def test_imports_go_downward_only_and_in_no_circle():
    assert problems(SOURCES) == []


def test_the_walk_sees_the_package():
    known = modules(SOURCES)
    assert {
        PACKAGE,
        "nextfill.cli.main",
        "nextfill.data",
        "nextfill.data.store.token_store",
    } <= known.keys()
    edges = {(edge.importer, edge.imported, edge.inside) for edge in imports(SOURCES)}
    assert ("nextfill.cli.commands", "nextfill.api.train", True) in edges
    assert ("nextfill.cli.tables", "nextfill.runs.results", False) in edges  # for types only
    assert (
        "nextfill.data.corpora.builtin",
        "nextfill.data.corpora.near_duplicates",
        False,
    ) in edges


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small package without a fault."""
    sources = {
        "__init__.py": "def __getattr__(name):\n    from nextfill.api import train\n",
        "core/errors.py": "import os\n",
        "data/__init__.py": "",
        "data/store.py": "from nextfill.core.errors import DataError\nfrom . import pack\n",
        "data/pack.py": "",
        "training/loop.py": "from ..data.store import x\n",
        "api.py": "import nextfill.training.loop\n",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    assert problems(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line", "telling"),
    [
        ("data/pack.py", "from nextfill.training.loop import x", "pack:1 imports nextfill.tr"),
        ("data/pack.py", "from nextfill import api", "pack:1 imports nextfill.api, a layer"),
        ("data/pack.py", "from ..training import loop", "imports nextfill.training.loop, a layer"),
        ("data/pack.py", "from nextfill import train", "imports nextfill, a layer above"),
        (
            "core/errors.py",
            "def f():\n    import nextfill.data.store",
            "errors:3 imports nextfill.d",
        ),
        ("core/errors.py", "if TYPE_CHECKING:\n    from nextfill import api", "errors:3 imports"),
        ("core/errors.py", "class A:\n    def f(self):\n        import nextfill.api", "errors:4"),
        ("data/pack.py", "from nextfill.data import store", "cycle: nextfill.data.store -> nextf"),
        (
            "data/pack.py",
            "if TYPE_CHECKING:\n    from . import store",
            "cycle: nextfill.data.store",
        ),
        ("tools.py", "", "nextfill.tools is in no layer"),
        ("tools/inner.py", "", "nextfill.tools.inner is in no layer"),
    ],
)
def test_a_planted_fault_is_found(tree, module, line, telling):
    path = tree / module
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(before + line + "\n", encoding="utf-8")
    assert any(telling in problem for problem in problems(tree)), problems(tree)


def test_an_import_inside_a_function_may_close_a_circle_within_a_layer(tree):
    path = tree / "data" / "pack.py"
    path.write_text("def f():\n    from nextfill.data import store\n", encoding="utf-8")
    assert problems(tree) == []


def test_the_map_of_contributing_is_right():
    """Every room stands in it, and every path in it exists."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = text[text.index("| room |") : text.index("## Rules of thumb")]
    named = re.findall(r"`([a-z_*]+(?:/[a-z_*]*)*(?:\.py)?)`", rooms)
    folders = {
        path.relative_to(SOURCES).as_posix() + "/"
        for path in SOURCES.rglob("*")
        if path.is_dir() and any(path.glob("*.*")) and path.name != "__pycache__"
    }
    missing = [name for name in named if "/" in name and not list(SOURCES.glob(name.rstrip("/")))]
    assert missing == []
    assert folders - set(named) - {"bundled/base-causal/", "bundled/base-masked/"} == set()
