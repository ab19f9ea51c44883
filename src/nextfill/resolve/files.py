"""What settings are checked for together, by whatever verb: files of texts, and contradictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nextfill.config import PromptsConfig
from nextfill.errors import ConfigError
from nextfill.given import Given, full_path


def refuse(contradictions: Iterable[str]) -> None:
    """Raise what is wrong with settings of which each by itself is right, all of it at once."""
    if found := list(contradictions):
        raise ConfigError(found)


def names_prompts(root: type, given: Sequence[Given]) -> bool:
    """Say whether a file of texts is among the settings."""
    return any(full_path(root, item) == ("prompts", "source") for item in given)


def about_files(prompts: PromptsConfig, out: str | None) -> Iterator[str]:
    """Yield what is wrong with the files that texts come from and go to."""
    if prompts.prompt_field is not None and prompts.source is None:
        yield "--prompt-field names a field of --prompts: give that, too, or leave it out."
    yield from other_than_jsonl(out)


def other_than_jsonl(out: str | None) -> Iterator[str]:
    """Yield what is wrong with the name of a file of results."""
    if out is not None and not out.endswith(".jsonl"):
        yield f"--out {out}: one JSON object a line is written, so the name has to end in .jsonl."
