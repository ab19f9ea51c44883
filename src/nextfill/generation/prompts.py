"""Prompts, and texts with blanks: read from files, encoded, and refused with their lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nextfill.config import PromptsConfig
from nextfill.core.amounts import amount, with_article
from nextfill.core.errors import DataError, NextfillError
from nextfill.data.document import ReadCounts, Record
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.sources import open_source
from nextfill.data.special_tokens import evaluation_frame, training_frame
from nextfill.models.loaded_model import LoadedModel

Encoded = TypeVar("Encoded")

PREFERRED_FIELD = "prompt"
MOST_LISTED = 5
"""Unusable prompts in a message, which counts the others."""


@dataclass(frozen=True)
class PromptText:
    """A prompt of the user, and its file and line for messages, such as ``prompts.txt:7``.

    A single prompt has an empty ``where``.
    """

    text: str
    where: str = ""


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for a model; its ids begin with the tokenizer's start of a text, if any.

    With a suffix, the ids hold that, too, and what follows them stands between the two.
    """

    text: str
    ids: tuple[int, ...]
    suffix: str | None = None


def name_prompts(texts: Iterable[str], kind: str = "prompt") -> list[PromptText]:
    """Return prompts from texts of a call, numbered for messages if there are several."""
    prompts = [PromptText(text, f"{kind} {number}") for number, text in enumerate(texts, start=1)]
    return [PromptText(prompts[0].text)] if len(prompts) == 1 else prompts


def read_prompts(config: PromptsConfig) -> list[PromptText]:
    """Read a file of prompts in its order; in a ``.txt`` file each line is one."""
    prompts: list[PromptText] = []
    missing: list[str] = []
    with _prompt_flags():
        source = open_source(str(config.source), txt="line", text_field=config.prompt_field)
        field = config.prompt_field
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
            each_has_it=True,
            keep=(),
            counts=counts,
        )
        for document in texts:
            if not document.text.strip():
                missing.append(f"{place}: the prompt is empty")
            prompts.append(PromptText(document.text, place))
    if missing:
        raise DataError(f"{_listed(missing)}\nGive every record a prompt, or take it out.")
    return prompts


def _left_out(counts: ReadCounts) -> int:
    return sum(counts.skipped.values()) + sum(counts.values.values())


@contextmanager
def _prompt_flags() -> Iterator[None]:
    """Replace the flags of data in the readers' errors by those of prompts."""
    try:
        yield
    except DataError as error:
        message = (
            str(error).replace("--text-field", "--prompt-field").replace("--data", "--prompts")
        )
        raise DataError(message) from error


def encode_each(texts: Iterable[PromptText], encode: Callable[[str], Encoded]) -> list[Encoded]:
    """Encode texts in their order, refusing at once, with their places, all that are unusable."""
    encoded: list[Encoded] = []
    refused: list[str] = []
    for item in texts:
        try:
            encoded.append(encode(item.text))
        except NextfillError as error:
            refused.append(f"{item.where}: {error}" if item.where else str(error))
    if refused:
        raise NextfillError(_listed(refused))
    return encoded


def _listed(problems: Sequence[str]) -> str:
    more = len(problems) - MOST_LISTED
    rest = [f"and {more} more"] if more > 0 else []
    return "\n".join([*problems[:MOST_LISTED], *rest])


def encode_prompts(
    loaded: LoadedModel, texts: Sequence[PromptText], max_new_tokens: int
) -> list[Prompt]:
    """Encode prompts, each of which must leave room for a continuation."""
    frame = _frame(loaded.tokenizer)

    def encode(text: str) -> Prompt:
        return Prompt(text, tuple(_ids(loaded, text, max_new_tokens, frame)))

    return encode_each(texts, encode)


def prompt_ids(loaded: LoadedModel, prompt: str, max_new_tokens: int) -> list[int]:
    """Return the token ids of a prompt, refusing one that leaves no room for a continuation."""
    return _ids(loaded, prompt, max_new_tokens, _frame(loaded.tokenizer))


def _frame(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids before every prompt, and those in the place of an empty one."""
    start = training_frame(tokenizer, end_of_document=False).prefix
    return start, start or evaluation_frame(tokenizer).prefix


def check_text(text: object, kind: str) -> None:
    """Refuse an object other than text, and half a character; ``kind`` names it in the message."""
    if not isinstance(text, str):
        raise NextfillError(f"A {kind} has to be a str; found {with_article(text)}.")
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
    tokens = loaded.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    start, empty = frame
    ids = [*start, *tokens] if tokens else [*empty]
    if not ids:
        raise NextfillError("The prompt is empty and the tokenizer has no start token.")
    check_room(loaded, ids, max_new_tokens)
    return ids


def check_room(
    loaded: LoadedModel, ids: Sequence[int], max_new_tokens: int, *, has_suffix: bool = False
) -> None:
    """Refuse a prompt, or one with a suffix, that leaves no room for a continuation."""
    limit = loaded.max_positions
    subject = "The prompt with its suffix" if has_suffix else "The prompt"
    if limit is not None and len(ids) >= limit:
        parts = "a prompt and a --suffix" if has_suffix else "a prompt"
        raise NextfillError(
            f"{subject} has {amount(len(ids), 'token')} and the model {limit} positions: give "
            f"{parts} of at most {limit - 1} tokens."
        )
    if limit is not None and len(ids) + max_new_tokens > limit:
        parts = "prompt or --suffix" if has_suffix else "prompt"
        raise NextfillError(
            f"{subject} has {amount(len(ids), 'token')}; with {max_new_tokens} new ones it exceeds "
            f"the model's {limit} positions. Give --max-new-tokens {limit - len(ids)} or a shorter "
            f"{parts}."
        )
