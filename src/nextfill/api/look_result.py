"""The result of a look at data, as text and as a card of a notebook."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from textwrap import indent
from typing import Any

from nextfill.config import Objective
from nextfill.core.amounts import amount, part_of
from nextfill.core.streams import printable
from nextfill.data.first_records import TextField
from nextfill.data.records.formats.foreign_files import some_of
from nextfill.rendering.html import Html, element
from nextfill.rendering.record_lines import WIDTH, cut, quoted, scalar, value_lines
from nextfill.rendering.result_cards import Rows, card, card_lines, card_table, text_table

_MOST_ROWS = 12
_MOST_LINES = 24


@dataclass(frozen=True)
class ExampleBlock:
    """One row of tokens as a model gets it.

    Args:
        tokens: The text of each token; of a masked model with the masks in place.
        documents: The documents, or parts of one, in it.
        hidden: Of a masked model: for each token to be filled in, the token itself and what stands
            in its place.
        without_target: Where documents have contexts: tokens that predict nothing, such as those
            of a context but its last.
    """

    tokens: Sequence[str]
    documents: int
    hidden: Sequence[tuple[str, str]] = ()
    without_target: int | None = None


@dataclass(frozen=True)
class Look:
    """The first records of data, the text in them, and the documents and blocks they become.

    Args:
        name: The data as they were named; live data by their type.
        records: The first records as they are: texts, or dicts.
        places: Where each stands: file and line, or row.
        num_records: Records that were read for this look, at most 1,000 or a million characters.
        is_whole: Whether there are no others; all counts are of the records that were read.
        files: Records that were read, by file; the first files where there are many.
        num_files: Files in all.
        left_out: Files that are not read, by reason.
        left_out_names: The first names of these.
        fields: Fields with text in the records that are shown, the one that is taken first.
        text_field: The field that is taken; None for plain text, or where none can be told.
        reason: Why that one.
        documents: The first documents, without their contexts.
        num_documents: Documents of the records that were read.
        empty: Those of them without any character but white space.
        skipped: Records that give no document, by reason.
        tokenizer: The tokenizer that counted.
        num_tokens: Tokens of the documents, without special ones.
        objective: ``causal`` or ``masked``.
        block_size: Tokens of a block.
        num_blocks: Blocks that the documents fill, without those held out where these are known.
        example: The first block.
        held_out: What would be held out, in words.
        problem: The error that `prepare` would stop with, or None.
        context_field: The field of the context before the text; None where records have none.
        contexts: The contexts of the first documents, as many as these, or none.
        context_tokens: Those of the tokens that are context, of which nothing is learnt.
        infilling: Counts of the documents to train on by what infilling makes of them, as the
            ledger has them; None without any.
        is_full: Whether it is shown whole, and not in lines of a terminal's width.
        others: The same of each further source, where there are several.
    """

    name: str
    records: Sequence[Any]
    places: Sequence[str]
    num_records: int
    is_whole: bool
    files: Mapping[str, int]
    num_files: int
    left_out: Mapping[str, int]
    left_out_names: Mapping[str, Sequence[str]]
    fields: Sequence[TextField]
    text_field: str | None
    reason: str
    tokenizer: str
    objective: Objective
    block_size: int
    held_out: str
    documents: Sequence[str] = ()
    num_documents: int = 0
    empty: int = 0
    skipped: Mapping[str, int] | None = None
    num_tokens: int = 0
    num_blocks: int = 0
    example: ExampleBlock | None = None
    problem: str | None = None
    context_field: str | None = None
    contexts: Sequence[str] = ()
    context_tokens: int = 0
    infilling: Mapping[str, int] | None = None
    is_full: bool = False
    others: Sequence[Look] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def text(self, width: int = WIDTH) -> str:
        """Return it as text, in lines of at most so many characters unless it is full."""
        parts = [_section(one, width) for one in (self, *self.others)]
        return "\n\n\n".join(parts)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        parts: list[Html] = []
        for one in (self, *self.others):
            parts += [card_lines(_problem(one))] if one.problem else []
            for place, lines in _records(one, WIDTH):
                parts += [card_lines([place]), _pre("\n".join(lines))]
            for title, header, rows in _tables(one):
                parts += [card_lines([title]), card_table(header, rows)]
            parts.append(card_lines(_facts(one, WIDTH)))
        return card(f"A look at {self.name}", *parts)


def _pre(text: str) -> Html:
    style = "white-space:pre-wrap;overflow-wrap:anywhere;font-size:.9em;margin:.2em 0"
    return element("pre", text, style=style)


def _section(look: Look, width: int) -> str:
    parts = [f"A look at {look.name}", *_problem(look)]
    parts += ["\n".join([f"{place}", *lines]) for place, lines in _records(look, width)]
    parts += [text_table(title, header, rows) for title, header, rows in _tables(look)]
    parts.append("\n".join(_facts(look, width)))
    return "\n\n".join(parts)


def _records(look: Look, width: int) -> Iterator[tuple[str, list[str]]]:
    for number, (place, value) in enumerate(zip(look.places, look.records, strict=True)):
        if look.is_full:
            whole = json.dumps(value, ensure_ascii=False, indent=2)
            yield f"Record {number}, {place}", printable(indent(whole, "  ")).split("\n")
            continue
        lines = [cut("  " + line, width) for line in value_lines(value)]
        if len(lines) > _MOST_LINES:
            more = len(lines) - _MOST_LINES
            lines = [*lines[:_MOST_LINES], f"  ... {amount(more, 'line')} more"]
        yield f"Record {number}, {place}", lines


def _tables(look: Look) -> Iterator[tuple[str, Sequence[str], Rows]]:
    if look.fields:
        fields = [(one.path, f"{one.characters:,}", one.use) for one in look.fields[:_MOST_ROWS]]
        yield "Fields with text", ("field", "characters", ""), _with_rest(fields, look.fields)
    if look.num_files > 1:
        yield "Files", ("file", "records read"), _file_rows(look)
    if look.left_out:
        rows = [
            (reason, f"{number:,}", some_of(names, number) if names else "")
            for reason, number in look.left_out.items()
            for names in [look.left_out_names.get(reason)]
        ]
        yield "Files that are not read", ("why", "files", "names"), rows


def _file_rows(look: Look) -> list[tuple[str, str]]:
    """Return the rows of the first files that were read, and the numbers of the others."""
    rows = [(name, f"{number:,}") for name, number in islice(look.files.items(), _MOST_ROWS)]
    if more := len(look.files) - len(rows):
        records = sum(islice(look.files.values(), _MOST_ROWS, None))
        rows.append((f"... {more:,} more", f"{records:,}"))
    if unread := look.num_files - len(look.files):
        rows.append((f"... {unread:,} more, not looked at", ""))
    return rows


def _with_rest(rows: Rows, every: Sequence[object]) -> Rows:
    rest = len(every) - len(rows)
    return [*rows, (f"... {rest:,} more", "", "")] if rest else rows


def _facts(look: Look, width: int) -> list[str]:
    width = sys.maxsize // 3 if look.is_full else width
    taken = f"text: {look.text_field}, because {look.reason}"
    lines = [taken if look.text_field else f"text: {look.reason}"]
    if look.context_field:
        lines.append(f"context: {look.context_field}, before the text, of which nothing is learnt")
    read = f"{'all' if look.is_whole else 'the first'} {amount(look.num_records, 'record')}"
    read = "the only record" if look.is_whole and look.num_records == 1 else read
    if look.num_documents:
        first = look.documents[0] if look.documents else ""
        lines += [
            f"documents: {look.num_documents:,}, {_empty(look)}of {read}{_reasons(look.skipped)}",
            *[cut(f"  its context: {_line(one, width)}", width) for one in look.contexts[:1]],
            cut(f"  the first: {_line(first, width)}", width),
            f"tokens: {look.num_tokens:,}{_of_contexts(look)}, by {look.tokenizer}",
        ]
    if look.example is not None:
        of = f"{look.num_blocks:,} of {look.block_size} tokens"
        lines += _infilling(look)
        lines += [f"blocks: {of}, to train a {look.objective} model", *_example(look, width)]
    lines.append(f"held out: {look.held_out}")
    return lines


def _line(text: str, width: int) -> str:
    return printable(quoted(text, width))


def _infilling(look: Look) -> list[str]:
    counts = look.infilling
    if counts is None:
        return []
    documents = sum(counts[key] for key in ("documents", "as_they_are", "too_short"))
    orders = f"{counts['prefix_first']:,} prefix first, {counts['suffix_first']:,} suffix first"
    return [
        f"infilling: {part_of(counts['documents'], documents, 'document')} with the middle last "
        f"({orders}), {counts['too_short']:,} too short to cut, "
        f"{counts['longer_than_a_block']:,} longer than a block"
    ]


def _of_contexts(look: Look) -> str:
    return f" ({look.context_tokens:,} of contexts)" if look.context_field else ""


def _problem(look: Look) -> list[str]:
    return [f"problem: {look.problem}"] if look.problem else []


def _empty(look: Look) -> str:
    blank = "all of white space alone" if look.empty == look.num_documents else ""
    return f"{blank or f'{look.empty:,} of white space alone'}, " if look.empty else ""


def _reasons(skipped: Mapping[str, int] | None) -> str:
    named = ", ".join(f"{number:,} {reason}" for reason, number in (skipped or {}).items())
    return f" (without text: {named})" if named else ""


def _example(look: Look, width: int) -> list[str]:
    example = look.example
    if example is None:
        return []
    parts = amount(example.documents, "document")
    shown = cut("|".join(scalar(one)[1:-1] for one in example.tokens), 3 * width)
    size = amount(len(example.tokens), "token")
    if example.without_target is not None:
        size += f" ({len(example.tokens) - example.without_target} with a target)"
    lines = [f"  the first, {size} of {parts}: {shown}"]
    if example.hidden:
        pairs = ", ".join(f"{scalar(a)} as {scalar(b)}" for a, b in example.hidden)
        lines.append(cut(f"  to fill in, {len(example.hidden)}: {pairs}", 3 * width))
    return lines
