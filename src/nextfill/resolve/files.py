"""What may be wrong with the files that texts come from and results go to."""

from __future__ import annotations

from collections.abc import Iterator

from nextfill.config import PromptsConfig


def about_files(prompts: PromptsConfig, out: str | None) -> Iterator[str]:
    """Yield what is wrong with the files that texts come from and go to."""
    if prompts.prompt_field is not None and prompts.source is None:
        yield "--prompt-field names a field of --prompts: give that, too, or leave it out."
    yield from other_than_jsonl(out)


def other_than_jsonl(out: str | None) -> Iterator[str]:
    """Yield what is wrong with the name of a file of results."""
    if out is not None and not out.endswith(".jsonl"):
        yield f"--out {out}: one JSON object a line is written, so the name has to end in .jsonl."
