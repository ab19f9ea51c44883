"""Write texts into a file as they come, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nextfill.errors import NextfillError
from nextfill.infer.generate import Generated
from nextfill.infer.prompts import PromptText
from nextfill.paths import user_path
from nextfill.plain import to_json


def check_new_file(out: str) -> Path:
    """Return the path of a file to be written, refusing one that is there already.

    Raises:
        NextfillError: If it is there, or its folder is not.
    """
    path = user_path(out, "--out")
    if path.exists():
        raise NextfillError(f"--out {out} is there already: give the name of a new file.")
    if not path.parent.is_dir():
        raise NextfillError(f"--out {out}: there is no folder {str(path.parent)!r}.")
    return path


def written(
    path: Path, prompts: Sequence[PromptText], results: Iterator[Generated]
) -> Iterator[Generated]:
    """Hand results on, each written first.

    Args:
        path: A new file.
        prompts: The prompts, in the results' order.
        results: For each prompt its continuations.

    Yields:
        The results. Each continuation is a line of its own: the ``prompt``, its number as
        ``record``, the number of the ``sample``, both from 0, and ``generated_text``.

    Raises:
        NextfillError: If the file cannot be written; what it holds by then is whole lines.
        KeyboardInterrupt: If the user stops, with what is there to tell them.
    """
    done = 0
    try:
        with path.open("x", encoding="utf-8") as file:
            for prompt, result in zip(prompts, results, strict=True):
                for sample, item in enumerate(result):
                    line = {"record": done, "sample": sample, "prompt": prompt.text, **item}
                    file.write(to_json(line) + "\n")
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
