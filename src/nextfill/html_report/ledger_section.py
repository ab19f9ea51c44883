"""The ledger of the report: bars and tables of every record, document and token."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nextfill.html_report.figures_table import figure
from nextfill.rendering.html import Html, element, html_table, join

COLOURS = 5
GROUPED = frozenset(
    {"records", "with_text", "skipped", "documents", "pieces"}
    | {"train_documents", "held_out_documents", "validation_documents"}
    | {"tokens", "separators", "trained", "evaluated", "dropped", "padding", "content_sha256"}
)
"""Keys shown in the groups; all other counts are listed below them."""


@dataclass(frozen=True)
class _Line:
    """A line of a group; one with a colour is a part of the group's total."""

    key: str
    name: str
    count: int
    colour: int | None = None


def ledger_section(ledger: Mapping[str, Any]) -> Html:
    """Return three groups, each with a bar and a table, and a list of all other counts."""
    if not ledger:
        return Html("")

    def line(key: str, name: str, colour: int | None = None) -> _Line:
        return _Line(key, name, _count(ledger, key), colour)

    records = [line("with_text", "with text", 1), *_by_reason(ledger, "skipped")]
    documents = [
        line("train_documents", "to train on", 1),
        line("held_out_documents", "held out", 2),
    ]
    if _count(ledger, "validation_documents"):
        documents.append(line("validation_documents", "for validation", 3))
    # Of documents whose ends are held out, each part has its piece.
    pieces = _count(ledger, "pieces")
    all_texts = pieces or _count(ledger, "documents")
    neither = all_texts - sum(one.count for one in documents)
    if neither:
        documents.append(_Line("documents/neither", "in neither part", neither, 4))
    if pieces:
        documents.append(line("documents", "documents they belong to"))
    tokens = [
        line("trained", "trained on", 1),
        line("evaluated", "evaluated", 2),
        *_by_reason(ledger, "dropped"),
        line("tokens", "of these from text"),
        line("separators", "around documents"),
        line("padding", "padding, apart"),
    ]
    groups = [
        _group("Records", _count(ledger, "records"), records),
        _group("Pieces of documents" if pieces else "Documents", all_texts, documents),
        _group("Tokens", _count(ledger, "tokens") + _count(ledger, "separators"), tokens),
    ]
    rest = {key: value for key, value in ledger.items() if key not in GROUPED}
    also = []
    for path, value in leaves(rest):
        name = path.replace("_", " ").replace("/", ": ")
        also.append(element("li", name, " ", figure(f"ledger/{path}", value)))
    return join([element("div", *groups, class_="groups"), element("ul", *also, class_="also")])


def _count(ledger: Mapping[str, Any], key: str) -> int:
    value = ledger.get(key)
    return value if isinstance(value, int) else 0


def _by_reason(ledger: Mapping[str, Any], key: str) -> list[_Line]:
    reasons = ledger.get(key)
    if not isinstance(reasons, Mapping):
        return []
    return [
        _Line(f"{key}/{reason}", f"{key}: {reason}", count, min(colour, COLOURS))
        for colour, (reason, count) in enumerate(reasons.items(), start=4)
    ]


def _group(title: str, total: int, lines: Sequence[_Line]) -> Html:
    if not total:
        return Html("")
    key = f"ledger/{title.lower()}"
    parts = [line for line in lines if line.colour is not None]
    rows = [
        [
            join([_swatch(line.colour), line.name]),
            figure(f"ledger/{line.key}", line.count),
            figure(f"ledger/{line.key}/share", share := 100 * line.count / total, f"{share:.1f}%"),
        ]
        for line in lines
    ]
    missing = total - sum(line.count for line in parts)
    if missing:  # which the ledger promises not to happen
        name = join([_swatch(None), "not accounted for"])
        rows.append([name, figure(f"{key}/missing", missing), Html("")])
    heading = element("h3", title, " ", figure(f"{key}/all", total))
    table = html_table([], rows, caption=f"{title}: where they went")
    return element("div", heading, _bar(title, total, parts), table)


def _swatch(colour: int | None) -> Html:
    mark = element("rect", width="100%", height="100%", rx=2, class_=f"nf-c{colour}")
    return element("svg", mark if colour else "", class_="swatch", aria_hidden="true")


def _bar(title: str, total: int, parts: Sequence[_Line]) -> Html:
    """Return a bar divided into the shares of the parts."""
    rects = [element("title", f"{title}, by where they went")]
    start = 0.0
    for line in parts:
        width = 100 * max(0, line.count) / total
        place = {"x": f"{start:.3f}%", "width": f"{width:.3f}%", "height": "100%"}
        rects.append(element("rect", class_=f"nf-c{line.colour}", **place))
        start += width
    return element("svg", *rects, class_="bar", role="img")


def leaves(tree: Mapping[str, Any], joint: str = "/") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings with their paths.

    Example:
        >>> list(leaves({"a": 1, "b": {"c": None, "d": {}}}))
        [('a', 1), ('b/c', None)]
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            for path, leaf in leaves(value, joint):
                yield f"{key}{joint}{path}", leaf
        else:  # TOML has dates, JSON has not
            yield str(key), json.loads(json.dumps(value, default=str))
