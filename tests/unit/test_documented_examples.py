"""Every example in a docstring, the README and the documentation runs.

In a Markdown page every ``python`` block runs, in the page's order and in one namespace, in an
empty folder; every line of a ``console`` block that begins with ``$`` has to be a ``nextfill``
command that ends with status 0. A block that cannot run here says why in a comment right above it:
``<!-- not run: needs a network -->``. A ``sh`` block is for setting up (``make``, ``pip``) and does
not run; a ``nextfill`` command has no place in it.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import nextfill
from nextfill.cli.main import COMMANDS, main

REPOSITORY = Path(__file__).parents[2]
BUNDLED = Path(nextfill.__file__).parent / "bundled"
NEEDS_BUNDLED = {
    "nextfill.api.inference.generate",
    "nextfill.api.tokenizer.inspect_tokenizer",
    "nextfill.api.look.look",
    "nextfill.api.train.train",
    "nextfill.api.packed_dataset.packed_dataset",
}
no_bundle = pytest.mark.skipif(
    not (BUNDLED / "base-causal" / "config.json").is_file(),
    reason="the bundled model is not in this checkout",
)

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[\w+-]*)[^\n]*\n"
    r"(?P<body>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = re.compile(r"<!-- not run:(?P<reason>.*?)-->\s*\Z", re.DOTALL)
SET_UP = {"sh", "bash", "shell"}
LONG = {
    *("docs/adapters.md", "docs/distillation.md", "docs/export.md", "docs/guides.md"),
    *(
        "docs/infilling.md",
        "docs/models.md",
        "docs/python.md",
        "docs/report.md",
        "docs/runs.md",
        "docs/tokenizers.md",
    ),
}
"""Pages that train for long: `make test` reads their commands, and `make test-all` runs them."""


@dataclass(frozen=True)
class Block:
    """A fenced block that is meant to run; ``reason`` says why it does not, if it does not."""

    language: str
    body: str
    line: int
    reason: str | None


def blocks(text: str) -> list[Block]:
    found = []
    end = 0
    for match in FENCE.finditer(text):
        above = NOT_RUN.search(text[end : match.start()])
        end = match.end()
        if match["language"] in SET_UP | {"python", "console"}:
            indent = len(match["indent"])
            body = "".join(line[indent:] or "\n" for line in match["body"].splitlines(True))
            line = text[: match.start("body")].count("\n") + 1
            reason = above["reason"].strip() if above else None
            found.append(Block(match["language"], body, line, reason))
    return found


def commands(block: Block) -> list[str]:
    """Return the commands of a console block; continued lines are joined."""
    lines = block.body.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$").strip() for line in lines if line.startswith("$")]


def run_page(path: Path, blocks: list[Block]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        if block.reason is not None:
            continue
        if block.language == "python":
            run_python(block, path, namespace)
            continue
        if block.language in SET_UP:
            misplaced = [line for line in block.body.splitlines() if line.startswith("nextfill ")]
            assert not misplaced, f"{path.name}:{block.line}: belongs in a console block"
            continue
        for command in commands(block):
            words = shlex.split(command, comments=True)
            where = f"{path.name}:{block.line}: {command}"
            assert words[0] == "nextfill", f"{where}: put <!-- not run: reason --> above it"
            assert main(words[1:]) == 0, where


def run_python(block: Block, path: Path, namespace: dict[str, Any]) -> None:
    if block.body.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(
            block.body, namespace, path.name, str(path), block.line
        )
        runner = doctest.DocTestRunner(verbose=False)
        said: list[str] = []
        failed = runner.run(test, out=said.append, clear_globs=False).failed
        assert failed == 0, "".join(said)
        namespace.update(test.globs)
    else:  # the blank lines make a traceback name the page's own line
        source = "\n" * (block.line - 1) + block.body
        exec(compile(source, str(path), "exec"), namespace)  # noqa: S102


OPTIONAL = ("mlflow", "trackio", "wandb", "openvino")
"""Libraries of extras that the tests do not install."""


def module_names() -> list[str]:
    walked = pkgutil.walk_packages(nextfill.__path__, "nextfill.")
    return ["nextfill", *(module.name for module in walked)]


def pages() -> list[Path]:
    found = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    return [path for path in found if path.is_file()]


def page_name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", module_names())
def test_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"{error.name} is an extra that is not installed")
    run_docstrings(module, without=NEEDS_BUNDLED)


@no_bundle
@pytest.mark.parametrize("name", sorted(NEEDS_BUNDLED))
def test_docstrings_that_use_the_bundled_model(name):
    module = importlib.import_module(name.rpartition(".")[0])
    assert run_docstrings(module, only={name}) > 0


def run_docstrings(module: Any, without: set[str] = frozenset(), only: set[str] | None = None):
    """Run the examples of a module and return how many there were."""
    runner = doctest.DocTestRunner(verbose=False)
    said: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        if test.name not in without and (only is None or test.name in only):
            runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
    return runner.tries


def test_the_walk_finds_the_examples():
    names = module_names()
    assert {
        "nextfill.cli.main",
        "nextfill.data.store.token_store",
        "nextfill.training.optimizer",
    } <= set(names)
    assert run_docstrings(importlib.import_module("nextfill.core.errors")) > 0


def pages_to_run() -> list[Any]:
    """Return all pages, the long ones as trials."""
    return [
        pytest.param(path, marks=[pytest.mark.trial] if page_name(path) in LONG else [])
        for path in pages()
    ]


def test_the_long_pages_are_pages():
    assert {page_name(path) for path in pages()} > LONG


@no_bundle
@pytest.mark.parametrize("path", pages_to_run(), ids=[page_name(path) for path in pages()])
def test_pages(path):
    run_page(path, blocks(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", pages(), ids=page_name)
def test_commands_of_a_page_are_understood(path, monkeypatch):
    """Their words alone; whether they come to something is seen where the page runs."""
    understood = {name: replace(one, run=lambda line: None) for name, one in COMMANDS.items()}
    monkeypatch.setattr("nextfill.cli.main.COMMANDS", understood)
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "console" and block.reason is None:
            for command in commands(block):
                words = shlex.split(command, comments=True)[1:]
                told = [word for word in words if word != "--json"]
                assert main(told) == 0, f"{path.name}:{block.line}: {command}"
        elif block.language == "python" and not block.body.lstrip().startswith(">>>"):
            compile(block.body, str(path), "exec")


@pytest.mark.parametrize("path", pages(), ids=page_name)
def test_what_is_not_run_says_why(path):
    text = path.read_text(encoding="utf-8")
    found = blocks(text)
    assert all(block.reason != "" for block in found)
    assert text.count("<!-- not run:") == sum(block.reason is not None for block in found)


PAGE = """
# Title

```python
x = 1
```

```toml
x = [
```

<!-- not run: needs a network -->

```console
$ rm -r everything
```

- In a list:

  ```python
  >>> x + 1
  2
  ```

```console
$ nextfill --version
nextfill 9
$ nextfill \\
    train --help
```

```console
$ nextfill --help  # a comment
```

```sh
pip install nextfill
```
"""


def test_a_page_is_taken_apart_and_run(capsys):
    found = blocks(PAGE)
    assert [block.language for block in found] == [
        *("python", "console", "python"),
        *("console", "console", "sh"),
    ]
    assert [block.reason for block in found] == [None, "needs a network", *[None] * 4]
    assert found[0].line == 5
    assert commands(found[3]) == ["nextfill --version", "nextfill      train --help"]
    run_page(Path("page.md"), found)
    out = capsys.readouterr().out
    assert out.startswith(f"nextfill {nextfill.__version__}\nusage: nextfill train")
    assert out.endswith("nextfill COMMAND --help\n")


@pytest.mark.parametrize(
    ("before", "after", "telling"),
    [
        ("x = 1", "y = 1", "name 'x' is not defined"),
        ("\n  2\n", "\n  3\n", "Expected:"),
        ("train --help", "trian --help", "page.md:26: nextfill      trian"),
        ("pip install nextfill", "nextfill --help", "belongs in a console block"),
        ("<!-- not run: needs a network -->", "", "put <!-- not run: reason --> above"),
    ],
)
def test_a_page_with_a_fault_fails(before, after, telling):
    assert PAGE.count(before) == 1
    with pytest.raises(AssertionError, match=re.escape(telling)):
        run_page(Path("page.md"), blocks(PAGE.replace(before, after)))
