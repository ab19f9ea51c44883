"""The sources of a job, opened: the one to train on, the held-out one, and their documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nextfill.config import DataConfig, Objective
from nextfill.config.command_line.python_messages import as_called
from nextfill.config.problems.data_problems import source_problems
from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, DataError
from nextfill.core.hub_client import parse_dataset
from nextfill.data.document import Document, ReadCounts, Source
from nextfill.data.records.fields.field_choice import chosen_fields
from nextfill.data.records.fields.field_errors import NoFieldError
from nextfill.data.records.fields.record_text import documents, missing_fields
from nextfill.data.records.formats.file_formats import format_by_name
from nextfill.data.records.sources import open_source
from nextfill.data.records.split_names import split_advice

logger = logging.getLogger("nextfill")

Read = TypeVar("Read")


def open_parts(
    data: DataConfig, *, peek: bool = False, unread: bool = False
) -> tuple[Source, Source | None]:
    """Open the training source and the held-out one, None where the first is to be split.

    ``peek`` is for a look at their first records, for which no file is read whole; ``unread``, for
    a training source that is read as it is trained on.
    """
    if data.sources:
        raise ConfigError(["data: found several sources where one is expected."])
    if problems := [*source_problems(data)]:
        raise ConfigError(problems)
    source = _open(data, data.source, data.split, peek=peek, unread=unread)
    if data.eval_source is None and not source.splits and (advice := split_advice(source.files)):
        logger.warning("%s: %s", source.name, as_called(advice))
    if data.eval_source is None and data.eval_split is None and not _uses_own_split(source, data):
        return source, None
    eval_split = data.eval_split or (source.test_split if data.eval_source is None else None)
    other = data.eval_source or data.source
    if source.splits and data.eval_source is None:
        logger.warning(
            "%s: trained on is %s, held out %s, of the splits %s",
            *(source.name, data.split or "train", eval_split, ", ".join(source.splits)),
        )
    return source, _open(_for_evaluation(data), other, eval_split, peek=peek)


def read_each_source(
    data: DataConfig, read: Callable[[DataConfig, Sequence[str]], Read]
) -> list[Read]:
    """Return what is read of each source, given the fields to keep that it need not have.

    Of several sources one may lack a field that another has; none is read whole before that is
    known.
    """
    lacks: dict[int, list[str]] = {number: [] for number in range(len(data.each))}
    results: dict[int, Read] = {}
    while len(results) < len(lacks):
        errors: dict[str, NoFieldError] = {}
        for number in lacks.keys() - results.keys():
            one = data.each[number]
            try:
                results[number] = read(one, lacks[number])
            except NoFieldError as error:
                lacks[number].append(error.path)
                errors.setdefault(error.path, error)
        for field, refusal in errors.items():
            asked = [n for n, one in enumerate(data.each) if field in one.keep_fields]
            if all(field in lacks[number] for number in asked):
                raise refusal
    for number, fields in lacks.items():
        _warn_of_missing(data.each[number].source, fields)
    return [results[number] for number in sorted(results)]


def share_fields(
    source: Source, other: Source | None, keep: Sequence[str]
) -> tuple[Source, Source | None]:
    """Let a source lack a field to keep that its held-out source has, and the other way round."""
    if other is None or not keep:
        return source, other
    missing = [missing_fields(one, keep) for one in (source, other)]
    both = []
    for one, here, there in zip((source, other), missing, reversed(missing), strict=True):
        lacks = [field for field in here if field not in there and field not in one.lacks]
        _warn_of_missing(one.name, lacks)
        both.append(replace(one, lacks=[*one.lacks, *lacks]))
    return both[0], both[1]


def _warn_of_missing(name: str, fields: Iterable[str]) -> None:
    for field in fields:
        logger.warning("%s: has no field %r, so its documents are the group (none)", name, field)


def open_whole(data: DataConfig) -> Source:
    """Open one source to score all of it; where it has a test split and none is named, that."""
    source = _open(data, data.source, data.split)
    if source.has_test_split and data.split is None:
        source = _open(data, data.source, source.test_split)
    if not source.splits and (advice := split_advice(source.files, is_scored=True)):
        logger.warning("%s: %s", source.name, as_called(advice))
    return source


def _uses_own_split(source: Source, data: DataConfig) -> bool:
    """Check whether the source's own held-out split applies."""
    parts = (data.split or "train").split("+")
    names = {part.partition("[")[0].partition("(")[0].strip() for part in parts}
    trains = "train" in names and source.test_split not in names
    return source.has_test_split and trains and data.test_size is None


def _open(
    data: DataConfig, name: str, split: str | None, *, peek: bool = False, unread: bool = False
) -> Source:
    context = [] if data.context_field is None else [data.context_field]
    return open_source(
        name,
        split=split,
        txt=data.txt,
        text_field=data.text_field,
        keep=[*context, *data.keep_fields],
        format=data.format,
        encoding=data.encoding,
        streaming=data.streaming or peek,
        peek=peek,
        unread=unread,
        strings_only=not data.keep_fields,
    )


def _for_evaluation(data: DataConfig) -> DataConfig:
    """Drop a format that was set for the training data where the evaluation data's name has one."""
    format_, _ = format_by_name(data.eval_source or "")
    return replace(data, format=None) if format_ else data


def text_join(source: Source, data: DataConfig) -> str:
    """Return the text between the texts of a list."""
    return source.default_join if data.join is None else data.join


def read_documents(
    source: Source,
    data: DataConfig,
    *,
    counts: ReadCounts | None = None,
    found: tuple[str | None, str | None] | None = None,
) -> tuple[Iterator[Document], ReadCounts]:
    """Return the documents of a source, and the counts that fill up while they are read.

    Where it goes on from another reading, the paths of text and context were ``found`` there.
    """
    counts = ReadCounts() if counts is None else counts
    read = documents(
        source,
        text_field=data.text_field,
        context_field=data.context_field,
        join=text_join(source, data),
        explode=data.explode,
        keep=data.keep_fields,
        counts=counts,
        found=found,
    )
    return read, counts


def refuse_contexts_of(objective: Objective | None, source: Source, data: DataConfig) -> None:
    """Refuse contexts for a masked model by the first record, before any other is read."""
    first = next(iter(source.read()), None) if objective == "masked" else None
    if first is None:
        return
    named = data.text_field or source.default_text_field
    try:
        fields = chosen_fields(first, named, data.context_field, pairs=not data.explode)
    except DataError:
        return  # told with the records after it
    if fields[1] is not None:
        raise no_contexts_error(source.name, *fields)


def no_contexts_error(name: str, text: str | None, context: str | None) -> DataError:
    """Make the error for contexts and a model that sees both sides of a blank anyway."""
    return DataError(
        f"{name}: {context or 'a field'} is context, of which nothing is learnt, and that is for "
        "causal models: a masked one sees what follows a blank, too. Name one text to mask, such "
        f"as --text-field {text or 'completion'}, without --context-field."
    )


def no_text_error(source: Source, data: DataConfig, counts: ReadCounts) -> DataError:
    """Make the error for a source whose records hold no text, or none that becomes tokens."""
    if not counts.empty and not counts.skipped:
        return DataError(
            f"{source.name}: the tokenizer makes no token of any of its {counts.documents} "
            "documents, so it is not made for such text, or is damaged. Name another tokenizer, "
            "or a model with another one."
        )
    reasons = [f"{number} {reason}" for reason, number in counts.skipped.items()]
    reasons += [f"{counts.empty} empty"] if counts.empty else []
    return DataError(
        f"{source.name}: holds no text: of {amount(counts.records, 'record')}, "
        f"{' and '.join(reasons) or 'none'} at {data.text_field or 'the text field'}. "
        "Name another field with --text-field."
    )


def hub_data_hint(data: DataConfig) -> str:
    """Return a hint at data that are on the Hub, for a machine without it, or ""."""
    names = [one.source for one in data.each if parse_dataset(one.source)]
    names = [name for name in names if not Path(name).exists()]
    if not names:
        return ""
    are = "are" if len(names) > 1 else "is"
    return (
        f" The text, {' and '.join(names)}, {are} on the Hub, too: have it in the cache, or name a "
        "file of yours (--data FILE)."
    )
