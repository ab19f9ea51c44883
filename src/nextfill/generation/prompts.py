"""Prompts: read from files, turned into tokens, and refused with the line they stand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from nextfill.config import PromptsConfig
from nextfill.core.errors import DataError, NextfillError
from nextfill.data.document import ReadCounts, Record
from nextfill.data.records.fields import documents
from nextfill.data.records.sources import open_source
from nextfill.data.special_tokens import evaluation_frame, training_frame
from nextfill.models.loaded_model import LoadedModel

PREFERRED_FIELD = "prompt"
MOST_SHOWN = 5
"""Prompts that cannot be used, of those that a message lists."""


@dataclass(frozen=True)
class PromptText:
    """A prompt as the user gave it.

    Args:
        text: The text.
        where: File and line for messages, such as ``prompts.txt:7``; empty where there is one only.
    """

    text: str
    where: str = ""


@dataclass(frozen=True)
class Prompt:
    """A prompt that a model can continue.

    Args:
        text: The text.
        ids: Its token ids, with the tokens that begin a text where the tokenizer has any.
    """

    text: str
    ids: tuple[int, ...]


def name_prompts(texts: Iterable[str], kind: str = "prompt") -> list[PromptText]:
    """Return prompts that were given one by one, numbered for messages if there are several."""
    given = list(texts)
    if len(given) == 1:
        return [PromptText(given[0])]
    return [PromptText(text, f"{kind} {number}") for number, text in enumerate(given, start=1)]


def read_prompts(prompts: PromptsConfig) -> list[PromptText]:
    """Read a file of prompts; in a ``.txt`` file each line is one."""
    found: list[PromptText] = []
    missing: list[str] = []
    with _named_by_their_own_flags():
        source = open_source(str(prompts.source), txt="line", text_field=prompts.prompt_field)
        field = prompts.prompt_field
        first = next(iter(source.read()), None)
        if field is None and first is not None and isinstance(first.value, Mapping):
            field = PREFERRED_FIELD if PREFERRED_FIELD in first.value else None
        counts = ReadCounts()
        place = ""

        def read() -> Iterator[Record]:
            nonlocal place
            for record in source.read():
                place, before = record.where, _left_out(counts)
                yield record
                if _left_out(counts) > before:
                    missing.append(f"{place}: there is no prompt where one was expected")

        texts = documents(
            replace(source, read=read),
            text_field=field,
            join="",
            explode=True,  # a list of texts is a list of prompts
            keep=(),
            counts=counts,
        )
        for document in texts:
            if not document.text.strip():
                missing.append(f"{place}: the prompt is empty")
            found.append(PromptText(document.text, place))
    if missing:
        raise DataError(f"{listed(missing)}\nGive every record a prompt, or take it out.")
    return found


def _left_out(counts: ReadCounts) -> int:
    return sum(counts.skipped.values()) + sum(counts.values.values())


@contextmanager
def _named_by_their_own_flags() -> Iterator[None]:
    """Name the flags of prompts in what the readers say, who speak of those of data."""
    try:
        yield
    except DataError as error:
        message = (
            str(error).replace("--text-field", "--prompt-field").replace("--data", "--prompts")
        )
        raise DataError(message) from error


def encode_prompts(
    loaded: LoadedModel, texts: Sequence[PromptText], max_new_tokens: int
) -> list[Prompt]:
    """Turn prompts into tokens, refusing at once all that leave no room for a continuation."""
    prompts: list[Prompt] = []
    refused: list[str] = []
    frame = _frame(loaded.tokenizer)
    for item in texts:
        try:
            ids = _ids(loaded, item.text, max_new_tokens, frame)
            prompts.append(Prompt(item.text, tuple(ids)))
        except NextfillError as error:
            refused.append(f"{item.where}: {error}" if item.where else str(error))
    if refused:
        raise NextfillError(listed(refused))
    return prompts


def listed(problems: Sequence[str]) -> str:
    """Return problems as lines of a message, and how many more there are."""
    more = len(problems) - MOST_SHOWN
    rest = [f"and {more} more"] if more > 0 else []
    return "\n".join([*problems[:MOST_SHOWN], *rest])


def prompt_ids(loaded: LoadedModel, prompt: str, max_new_tokens: int) -> list[int]:
    """Return the token ids of a prompt, refusing one that leaves no room for a continuation."""
    return _ids(loaded, prompt, max_new_tokens, _frame(loaded.tokenizer))


def _frame(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids before every prompt, and those that stand for an empty one."""
    own = training_frame(tokenizer, end_of_document=False).prefix
    return own, own or evaluation_frame(tokenizer).prefix


def check_text(text: object, kind: str) -> None:
    """Refuse what is not text, or holds half a character."""
    if not isinstance(text, str):
        raise NextfillError(f"A {kind} has to be a text; found {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NextfillError(
            f"The {kind} holds {text[error.start]!a}, which is no character: give it in UTF-8."
        ) from error


def _ids(
    loaded: LoadedModel,
    prompt: str,
    max_new_tokens: int,
    frame: tuple[tuple[int, ...], tuple[int, ...]],
) -> list[int]:
    check_text(prompt, "prompt")
    own = loaded.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    before, instead = frame
    ids = [*before, *own] if own else [*instead]
    if not ids:
        raise NextfillError("The prompt is empty and the tokenizer has no start token.")
    limit = loaded.max_positions
    if limit is not None and len(ids) >= limit:
        raise NextfillError(
            f"The prompt has {len(ids)} tokens and the model {limit} positions: give a prompt of "
            f"at most {limit - 1} tokens."
        )
    if limit is not None and len(ids) + max_new_tokens > limit:
        raise NextfillError(
            f"The prompt has {len(ids)} tokens; with {max_new_tokens} new ones it exceeds the "
            f"model's {limit} positions. Give --max-new-tokens {limit - len(ids)} "
            "or a shorter prompt."
        )
    return ids
