"""HTML elements and tables with all text escaped, and the style sheet of pages and cards.

The text of a page comes from data, models and settings, so none of it is trusted: a sample that
reads ``</script>`` is shown and not run.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

from nextfill.core.streams import TURNING

VOID = frozenset({"circle", "line", "path", "rect", "meta", "link", "br", "input"})
"""Elements without content."""


class Html(str):
    """Text that is HTML already, so that it is not escaped again."""

    __slots__ = ()


def escape(value: object) -> Html:
    r"""Escape a value for HTML, with symbols in place of control characters.

    Example:
        >>> escape('<script>alert("1")</script>')
        '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;'
        >>> escape("a\x1b[2J\x00\ud800")
        'a␛[2J␀�'
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape("".join(map(_visible, str(value)))))


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs" or character in TURNING or (kind == "Cc" and character > "\x7f"):
        return "\N{REPLACEMENT CHARACTER}"
    if kind == "Cc" and character not in "\n\t":
        return "\N{SYMBOL FOR DELETE}" if character == "\x7f" else chr(0x2400 + ord(character))
    return character


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element; attributes of value None are left out.

    Example:
        >>> element("td", "a < b", class_="nf-number", data_figure=None)
        '<td class="nf-number">a &lt; b</td>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in VOID and not children:
        return Html(f"<{tag}{named}/>")
    return Html(f"<{tag}{named}>{join(children)}</{tag}>")


def join(parts: Sequence[object]) -> Html:
    """Join parts, each escaped unless it is `Html`."""
    return Html("".join(map(escape, parts)))


def html_table(
    header: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    align: str = "",
    caption: str = "",
) -> Html:
    """Return a table that scrolls within itself on a narrow page.

    ``align`` has a letter for each column, l or r; the last one is for all further columns.

    Example:
        >>> html_table(["", "tokens"], [["trained", "1,024"]]).count("<th")
        4
    """
    letters = align or "lr"

    def cell(tag: str, column: int, content: object, scope: str | None = None) -> Html:
        right = letters[min(column, len(letters) - 1)] == "r"
        return element(tag, content, class_="nf-number" if right else None, scope=scope)

    parts = [element("caption", caption)] if caption else []
    if header:
        heads = [cell("th", at, name, "col") for at, name in enumerate(header)]
        parts.append(element("thead", element("tr", *heads)))
    lines = [
        element(
            "tr",
            *(
                cell("td" if at else "th", at, content, None if at else "row")
                for at, content in enumerate(row)
            ),
        )
        for row in rows
    ]
    parts.append(element("tbody", *lines))
    return element("div", element("table", *parts), class_="nf-table")


_LIGHT = (
    "--nf-paper:#fff;--nf-raised:#f6f7f8;--nf-ink:#1a1d21;--nf-muted:#59616c;--nf-rule:#dfe2e6;"
    "--nf-1:#1b62b5;--nf-2:#bf4d08;--nf-3:#0d7566;--nf-4:#8a3f96;--nf-5:#6b5a00;"
)
_DARK = (
    "--nf-paper:#14161a;--nf-raised:#1d2025;--nf-ink:#e9ebee;--nf-muted:#a3abb6;--nf-rule:#343940;"
    "--nf-1:#7db7ff;--nf-2:#ff9e5e;--nf-3:#52ccb6;--nf-4:#dda0e8;--nf-5:#d8c25a;"
)
STYLE = f"""
.nextfill{{{_LIGHT}color:var(--nf-ink);background:var(--nf-paper);
 font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}}
@media screen and (prefers-color-scheme:dark){{
 body:not([data-jp-theme-light="true"],.vscode-light) .nextfill,body.nextfill{{{_DARK}}}}}
@media screen{{
 body[data-jp-theme-light="false"] .nextfill,body.vscode-dark .nextfill{{{_DARK}}}}}
.nextfill .nf-table{{overflow-x:auto}}
.nextfill table{{border-collapse:collapse;font-size:inherit;color:inherit}}
.nextfill caption{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
.nextfill th,.nextfill td{{padding:.4em .9em .4em 0;text-align:left;vertical-align:baseline;
 border-bottom:1px solid var(--nf-rule);font-weight:400;background:none;overflow-wrap:break-word}}
.nextfill td{{overflow-wrap:anywhere}}
.nextfill tr>:last-child{{padding-right:0}}
.nextfill thead th{{color:var(--nf-muted);font-size:.87em;white-space:nowrap}}
.nextfill .nf-number{{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}}
.nextfill figure{{margin:0;min-width:0}}
.nextfill figcaption{{display:flex;flex-wrap:wrap;gap:.1em 1em;align-items:baseline}}
.nextfill .nf-title{{font-weight:600;flex-basis:100%}}
.nextfill .nf-unit,.nextfill .nf-key,.nextfill .nf-note{{color:var(--nf-muted);font-size:.85em}}
.nextfill .nf-unit{{font-weight:400}}
.nextfill .nf-key{{white-space:nowrap}}
.nextfill .nf-key svg{{width:1.5em;height:.8em;margin-right:.4em;vertical-align:-.05em}}
.nextfill .nf-plot{{position:relative;margin:.9em .6em 2em 3.6em}}
.nextfill .nf-plot svg{{display:block;overflow:visible}}
.nextfill .nf-plot text{{fill:var(--nf-muted);font-size:12px;font-variant-numeric:tabular-nums}}
.nextfill .nf-grid{{stroke:var(--nf-rule);stroke-width:1}}
.nextfill .nf-line{{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}}
.nextfill .nf-faint{{stroke-width:1;opacity:.55}}
.nextfill .nf-dashed{{stroke-width:1.5;stroke-dasharray:2 4}}
.nextfill .nf-interval{{stroke-width:1.5}}
.nextfill circle{{stroke:none}}
{"".join(f".nextfill .nf-c{n}{{stroke:var(--nf-{n});fill:var(--nf-{n})}}" for n in range(1, 6))}
.nextfill .nf-plot path{{fill:none}}
"""
"""The CSS of tables, cards and charts, within elements of class ``nextfill``."""
