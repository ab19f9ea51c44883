"""Write texts into a file as they come, one JSON object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from nextfill.core.errors import NextfillError
from nextfill.core.json_text import to_json
from nextfill.core.locks import check_one_process
from nextfill.core.paths import user_path
from nextfill.filling.fill import Filled
from nextfill.generation.generate import Generated
from nextfill.generation.prompts import PromptText

Result = TypeVar("Result")


def check_new_file(out: str, flag: str = "--out") -> Path:
    """Return the path of a file to be written, refusing what cannot be before any work is done."""
    check_one_process(f"write {flag} {out}")
    path = user_path(out, flag)
    if path.exists():
        raise NextfillError(f"{flag} {out} is there already: give the name of a new file.")
    if not path.parent.is_dir():
        raise NextfillError(f"{flag} {out}: there is no folder {str(path.parent)!r}.")
    try:
        path.touch(exist_ok=False)
        path.unlink()
    except OSError as error:
        raise NextfillError(
            f"{flag} {out} cannot be written: {error.strerror or error}."
        ) from error
    return path


def text_lines(prompt: PromptText, texts: Generated) -> Iterator[dict[str, Any]]:
    """Yield the lines of a prompt's continuations."""
    for sample, item in enumerate(texts):
        yield {"sample": sample, "prompt": prompt.text, **item}


def answer_lines(prompt: PromptText, filled: Filled) -> Iterator[dict[str, Any]]:
    """Yield the lines of a text's answers."""
    for blank, answers in enumerate(filled.answers):
        for number, answer in enumerate(answers):
            yield {"blank": blank, "answer": number, "prompt": prompt.text, **answer}


def written(
    path: Path,
    prompts: Sequence[PromptText],
    results: Iterator[Result],
    lines: Callable[[PromptText, Result], Iterable[Mapping[str, Any]]],
) -> Iterator[Result]:
    """Hand results on, each written first."""
    done = 0
    try:
        with path.open("x", encoding="utf-8") as file:
            for prompt, result in zip(prompts, results, strict=True):
                for line in lines(prompt, result):
                    file.write(to_json({"record": done, **line}) + "\n")
                file.flush()
                done += 1
                yield result
    except OSError as error:
        raise NextfillError(
            f"--out {path} cannot be written: {error.strerror or error}. It holds {done} of "
            f"{len(prompts)} prompts."
        ) from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"stopped; {path} holds {done} of {len(prompts)} prompts."
        ) from stop
