"""A new file of results, written as they come: one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from nextfill.core.amounts import part_of
from nextfill.core.errors import NextfillError
from nextfill.core.json_text import to_json
from nextfill.core.locks import check_one_process
from nextfill.core.paths import user_path
from nextfill.core.shell_command import shell_word

Prompt = TypeVar("Prompt")
Result = TypeVar("Result")


def check_new_file(out: str, flag: str = "--out", *, is_only_writer: bool = False) -> Path:
    """Return the path of a new file, refusing before any work one that cannot be written.

    Several processes are refused as well, unless this is the only one that writes.
    """
    if not is_only_writer:
        check_one_process(f"write {flag} {out}")
    path = user_path(out, flag)
    if path.exists():
        free = f"{flag} {shell_word(free_path(path))}"
        raise NextfillError(
            f"{flag} {out} is there already: give the name of a new file, such as {free}"
        )
    if not path.parent.is_dir():
        raise NextfillError(f"{flag} {out}: there is no folder {str(path.parent)!r}.")
    try:
        path.touch(exist_ok=False)
        path.unlink()
    except OSError as error:
        raise write_error(f"{flag} {out}", error) from error
    return path


def free_path(path: Path) -> Path:
    """Return the path of a file that is not there, numbered after one that is."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(one for one in numbered if not one.exists())


def write_error(name: str, error: OSError, content: str | None = None) -> NextfillError:
    """Return the error of a file that cannot be written, with its content by then."""
    holds = "" if content is None else f" It holds {content}."
    return NextfillError(f"{name} cannot be written: {error.strerror or error}.{holds}")


@contextmanager
def new_lines(path: Path, content: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """Yield a function that adds text to a new file, whole or, on a full disk, not at all.

    ``content`` returns the words for its text by then. Without any text there is no file.
    """
    try:
        file = path.open("xb", buffering=0)  # nothing is left to write when it is closed
    except OSError as error:
        raise write_error(f"--out {path}", error) from error
    size = 0

    def add(text: str) -> None:
        nonlocal size
        data = left = memoryview(text.encode("utf-8"))
        try:
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise write_error(f"--out {path}", error, content()) from error
        size += len(data)

    try:
        yield add
    finally:
        file.truncate(size)
        file.close()
        if not size:
            path.unlink(missing_ok=True)


def write_results(
    path: Path,
    prompts: Sequence[Prompt],
    results: Iterator[Result],
    lines: Callable[[Prompt, Result], Iterable[Mapping[str, Any]]],
) -> Iterator[Result]:
    """Yield the result of each prompt once its lines are in the file, ``record`` numbers prompts.

    An error or an interruption says how many prompts the file holds; it consists of whole lines.
    """
    done = 0
    try:
        with new_lines(path, lambda: f"{part_of(done, len(prompts), 'prompt')}") as add:
            for prompt, result in zip(prompts, results, strict=True):
                records = ({"record": done, **line} for line in lines(prompt, result))
                add("".join(to_json(record) + "\n" for record in records))
                done += 1
                yield result
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"stopped; {path} holds {part_of(done, len(prompts), 'prompt')}."
        ) from stop
