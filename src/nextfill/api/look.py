"""The verb `look`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nextfill.api.infilling import infilled_look
from nextfill.api.look_blocks import with_blocks
from nextfill.api.look_result import Look
from nextfill.api.masks import refuse_masks
from nextfill.api.verb import Request, keyword_settings, request_at_level, request_of
from nextfill.config import DEFAULT_BLOCK_SIZE, DataConfig, LookConfig, Objective
from nextfill.config.command_line.python_messages import in_keywords
from nextfill.config.layers import build
from nextfill.config.options import Assignment
from nextfill.config.prefixes import MASKED_BASE
from nextfill.config.problems.data_problems import look_problems
from nextfill.config.problems.infilling_problems import infilling_problems
from nextfill.config.problems.training_problems import training_mask_problems
from nextfill.config.resolve import refuse
from nextfill.config.shorthands import normal_form
from nextfill.core.amounts import amount, part_of, with_article
from nextfill.core.errors import DataError
from nextfill.core.progress import Observer
from nextfill.data.document import ReadCounts, Source
from nextfill.data.document_ends import EndShares, ends, ends_apply, whose_ends
from nextfill.data.first_records import (
    MOST_BYTES,
    FirstRecords,
    beginning_of,
    choice_of_field,
    fields_of,
    first_of,
    plain_record,
)
from nextfill.data.infilling_store import fill_infilled
from nextfill.data.parts import Part, refuse_contexts
from nextfill.data.records.fields.field_errors import CONTEXT_FLAG
from nextfill.data.records.python_data.input_settings import data_files, separate_live
from nextfill.data.source_parts import open_parts, read_documents
from nextfill.data.source_store import Filled, fill_store
from nextfill.data.train_test_split import DEFAULT_TEST_SIZE, split_off
from nextfill.models.libraries import transformers_as_found
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer


@keyword_settings(LookConfig)
@transformers_as_found()
def look(*, observer: Observer | None = None, quiet: bool | None = None, **keywords: Any) -> Look:
    """Look at the first records of data, the text in them, and what they become.

    No more is read than the first records need (1,000, or a million characters), so that a source
    may be huge or without an end; and nothing is written. An iterator is used up so far.

    Args:
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags: ``data``, ``records`` to show, ``text_field``,
            ``tokenizer`` or ``model``, ``block_size``, ``packing``, ``objective``, ... ``data`` and
            ``eval_data`` also take live data.

    Returns:
        The records, the field that is taken and why, the documents, tokens and blocks of what was
        read, the first block, and what would be held out. Where `prepare` would stop, ``problem``
        is its error.

    Raises:
        NextfillError: If the data, their first record, the tokenizer or a setting cannot be used.

    Example:
        >>> import nextfill
        >>> rows = [{"id": f"a{n}", "answers": [f"Yes, {n}.", "No."]} for n in range(20)]
        >>> seen = nextfill.look(data=rows, text_field="answers", block_size=32)
        >>> seen.documents[0], seen.num_documents, seen.held_out
        ('Yes, 0. No.', 20, '2 of 20 documents, 10% of the records')
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(LookConfig, keywords, observer)
    try:
        with TemporaryDirectory(prefix="nextfill-look-") as folder:
            seen = _look(request, Path(folder))
    finally:
        request.observer.on_end()
    return seen if "request" in keywords else _in_keywords(seen)


def _in_keywords(look: Look) -> Look:
    """Return a look whose words name settings as a Python program types them."""
    problem = look.problem and in_keywords(look.problem, LookConfig)
    others = [_in_keywords(one) for one in look.others]
    return replace(
        look, reason=in_keywords(look.reason, LookConfig), problem=problem, others=others
    )


def _look(request: Request, folder: Path) -> Look:
    plain, live = separate_live(request.settings)
    config = look_config(plain, request.problems)
    request = request_at_level(request, config.log_level)
    from nextfill.models.objective import objective_of
    from nextfill.models.tokenizer import load_tokenizer

    objective = objective_of(config.model, config.objective, request.live)
    refuse_masks(LookConfig, plain, config.model, config.objective, request.live)
    kinds = [with_article(one.value) for one in live if one.path == ("data", "source")]
    begun = [replace(one, value=beginning_of(one.value, one.label)) for one in live]
    copied = 0

    def on_stage(label: str, done: int, total: int) -> None:
        nonlocal copied
        copied = max(copied, done if label.startswith("keeping") else 0)
        request.observer.on_stage(label, done, total)

    # All that is written goes into the folder, which is removed.
    files = data_files(replace(config, cache_dir=str(folder)), begun, on_stage, MOST_BYTES)
    config = look_config([*plain, *files], ()) if files else config
    tokenizer = load_tokenizer(config.model, request.live)
    looks = [
        _look_at(data, config, tokenizer, objective, cache=folder / str(number), on_stage=on_stage)
        for number, data in enumerate(config.data.each)
    ]
    first = looks[0]
    if kinds:
        first = _renamed(first, kinds[0])
    if copied >= MOST_BYTES:
        first = replace(first, is_whole=False)
    return replace(first, others=looks[1:])


def look_config(layer: Sequence[Assignment], problems: Sequence[str]) -> LookConfig:
    """Return the settings of a look; masks want a tokenizer that has one."""
    config = build(LookConfig, [layer], problems)
    typed = normal_form(LookConfig, layer)
    found = [*infilling_problems(config, typed), *training_mask_problems(typed)]
    refuse([*found, *look_problems(typed)])
    named = {one.path for one in typed}
    if config.objective == "masked" and not named & {("model", "name"), ("model", "tokenizer")}:
        return replace(config, model=replace(config.model, name=MASKED_BASE))
    return config


def _renamed(look: Look, kind: str) -> Look:
    """Name live data by their type, for the file of them holds their beginning alone."""
    problem = look.problem and look.problem.replace(look.name, kind)
    places = [place.replace(look.name, kind) for place in look.places]
    return replace(look, name=kind, problem=problem, places=places)


def _look_at(
    data: DataConfig,
    config: LookConfig,
    tokenizer: Any,
    objective: Objective,
    *,
    cache: Path,
    on_stage: Any,
) -> Look:
    """Look at one source."""
    source, other = open_parts(data, peek=True)
    beginning, seen = first_of(source, config.records)
    fill = partial(
        fill_store,
        *(beginning, data, tokenizer),
        cache=cache,
        label="looking at",
        on_progress=on_stage,
    )
    tokenized = _Tokenized(problem=seen.fault)
    if seen.fault is None:
        tokenized = _tokenize(beginning, data, config, objective, fill)
    part, held_out = tokenized.part, _held_out_in_words(data, source, other)
    if part and other is None and seen.is_whole:
        try:
            part, held_out = _divide(part, fill, source, data, config.seed)
        except DataError as error:
            tokenized = replace(tokenized, problem=error)
    found = _look_of(
        *(source, seen, tokenized, data, config), objective=objective, held_out=held_out
    )
    if part is not None and tokenized.problem is None:
        of_text = part.store, beginning, data, tokenizer
        cut = partial(fill_infilled, *of_text, cache=cache, on_progress=on_stage)
        found, part = infilled_look(found, part, config, tokenizer, cut)
    return found if part is None else with_blocks(found, part, config, tokenizer)


@dataclass(frozen=True)
class _Tokenized:
    """The first records as documents and tokens, as far as they could be made.

    Args:
        texts: The first documents.
        contexts: The contexts before them, where they have any.
        counts: The counts of what was read.
        part: All of the documents; None where none could be made.
        problem: The error that ended it.
    """

    texts: Sequence[str] = field(default_factory=list)
    contexts: Sequence[str] = field(default_factory=list)
    counts: ReadCounts = field(default_factory=ReadCounts)
    part: Part | None = None
    problem: DataError | None = None


def _tokenize(
    beginning: Source,
    data: DataConfig,
    config: LookConfig,
    objective: Objective,
    fill: Callable[[], Filled],
) -> _Tokenized:
    """Read the first records and tokenize them."""
    made = _Tokenized()
    try:
        documents, _ = read_documents(beginning, data)
        read = list(islice(documents, config.records))
        texts = [one.text[one.context or 0 :] for one in read]
        contexts = [one.text[: one.context] for one in read if one.context is not None]
        made = replace(made, texts=texts, contexts=contexts)
        store, _ = fill()
        made = replace(made, counts=ReadCounts(**store.meta["counts"]), part=Part.whole(store))
        refuse_contexts(objective, Part.whole(store))
    except DataError as error:
        made = replace(made, problem=error)
    return made


def _look_of(
    source: Source,
    seen: FirstRecords,
    tokenized: _Tokenized,
    data: DataConfig,
    config: LookConfig,
    *,
    objective: Objective,
    held_out: str,
) -> Look:
    """Return a look, but for the blocks."""
    counts, part, problem = tokenized.counts, tokenized.part, tokenized.problem
    text_field, context_field = (counts.text_field, counts.context_field) if part else (None, None)
    return Look(
        name=source.name,
        records=[plain_record(record.value) for record in seen.kept],
        places=[record.where for record in seen.kept],
        num_records=max(seen.number, len(seen.kept)),
        is_whole=seen.is_whole,
        files=seen.by_file,
        num_files=source.num_files,
        left_out=dict(source.left_out),
        left_out_names={reason: list(names) for reason, names in source.left_out_names.items()},
        fields=fields_of(seen.kept, text_field, context_field),
        text_field=text_field,
        context_field=context_field,
        reason=_reason(source, seen, data, tokenized),
        tokenizer=str(config.model.tokenizer or config.model.name),
        objective=objective,
        block_size=config.blocks.block_size or DEFAULT_BLOCK_SIZE,
        held_out=held_out,
        documents=tokenized.texts,
        num_documents=counts.documents,
        empty=counts.empty,
        skipped=dict(counts.skipped),
        num_tokens=part.num_tokens if part else 0,
        contexts=tokenized.contexts,
        context_tokens=part.context_tokens if part else 0,
        problem=None if problem is None else str(problem),
        is_full=config.full,
    )


def _reason(source: Source, seen: FirstRecords, data: DataConfig, tokenized: _Tokenized) -> str:
    """Say why a field is taken, or none."""
    if tokenized.problem is not None and f"({CONTEXT_FLAG})" in str(tokenized.problem):
        return f"none was read, as the path named with {CONTEXT_FLAG} is not there"
    if data.text_field and tokenized.counts.documents == 0:
        return "none was read at the path named with --text-field"
    return choice_of_field(source, data, seen.kept)


def _divide(
    part: Part, fill: Callable[..., Filled], source: Source, data: DataConfig, seed: int
) -> tuple[Part, str]:
    """Return the training part of all documents, and what of them is held out, in words."""
    if part.store.contexts is None and ends_apply(part.rows, data):
        pieces = Part.whole(fill(shares=EndShares.of(data))[0])
        train, rest = pieces.divide(ends(pieces.rows))
        if len(rest.documents):
            of_text = rest.rows["characters"].sum() / pieces.rows["characters"].sum()
            return train, f"{whose_ends(pieces.rows)[0]}, {of_text:.0%} of the text"
    train, rest = part.divide(split_off(part.rows, data, seed, advice=source.advice))
    in_words = _held_out_in_words(data, source, None)
    return (
        train,
        f"{part_of(len(rest.documents), len(part.documents), 'document')}, {in_words}",
    )


def _held_out_in_words(data: DataConfig, source: Source, other: Source | None) -> str:
    if other is not None and data.eval_source is not None:
        split = f", {data.eval_split}" if data.eval_split else ""
        return f"all of {other.name}{split}"
    if other is not None:
        return f"the split {data.eval_split or source.test_split} of {source.name}"
    size = data.test_size or DEFAULT_TEST_SIZE
    return f"{size:.0%} of the records" if size < 1 else amount(int(size), "record")
