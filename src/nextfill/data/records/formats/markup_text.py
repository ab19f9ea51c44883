"""Paragraphs of text in XML and HTML, by one walk over the elements, given those of each format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

SPACES = re.compile(r"[ \t\n\r\f]+")
_TOC = re.compile(r"TOC\d")


@dataclass(frozen=True)
class Markup:
    """The elements of a format, by their names without namespace.

    Args:
        blocks: Elements that begin and end a paragraph.
        dropped: Elements that are left out with all in them, and the kind they are counted as;
            None where nothing is lost.
        inserted: What stands for a character: an element and its text.
        box: An element of text within one that would be dropped, which therefore stays.
        leaf: The only element whose text counts; None where that of all does.
        kept_spaces: Elements in which spaces and line ends hold.
        beside: Returns, of an element and its name, the kind that it is counted as where it stands
            beside the text, else nothing.
    """

    blocks: frozenset[str]
    dropped: Mapping[str, str | None]
    inserted: Mapping[str, Callable[[Any], str]]
    box: str = ""
    leaf: str | None = None
    kept_spaces: frozenset[str] = frozenset()
    beside: Callable[[Any, str], str] = lambda _element, _name: ""


def _constant(text: str) -> Callable[[Any], str]:
    return lambda _element: text


def _odt_spaces(element: Any) -> str:
    count = next((value for key, value in element.attrib.items() if local_name(key) == "c"), "1")
    return " " * min(int(count), 1000)


def _contents(element: Any, name: str) -> str:
    """Return the kind of a table of contents of Word, or of a line of one that stands by itself."""
    if name == "sdt":
        galleries = element.iterfind("{*}sdtPr//{*}docPartGallery")
        is_table = any(_val(one) == "Table of Contents" for one in galleries)
        return "tables of contents" if is_table else ""
    if name != "p":
        return ""
    styles = (one for one in element.iterfind("{*}pPr/{*}pStyle"))
    return "lines of contents" if any(_TOC.fullmatch(_val(one)) for one in styles) else ""


def _val(element: Any) -> str:
    return next((text for key, text in element.attrib.items() if local_name(key) == "val"), "")


DOCX = Markup(
    blocks=frozenset({"p"}),
    dropped={
        "del": "deleted passages",
        "moveFrom": None,
        "instrText": None,
        "Fallback": None,  # the same text box again, for old programs
        "drawing": "images",
        "pict": "images",
        "object": "objects",
        "oMath": "formulas",
    },
    inserted={
        "tab": _constant("\t"),
        "br": _constant("\n"),
        "cr": _constant("\n"),
        "noBreakHyphen": _constant("-"),
    },
    box="txbxContent",
    leaf="t",
    beside=_contents,
)
ODT = Markup(
    blocks=frozenset({"p", "h"}),
    dropped={
        "tracked-changes": "deleted passages",
        "note": "notes",
        "annotation": "comments",
        "frame": "images",
        "object": "objects",
        "forms": None,
        "sequence-decls": None,
        "index-body": "indexes",
    },
    inserted={
        "tab": _constant("\t"),
        "line-break": _constant("\n"),
        "s": _odt_spaces,
    },
    box="text-box",
)
_HTML_BLOCKS = (
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu nav "
    "ol optgroup option p pre section summary table tbody tfoot thead tr ul "
)
HTML = Markup(
    blocks=frozenset(_HTML_BLOCKS.split()),
    dropped={
        **dict.fromkeys(("head", "script", "style", "template", "noscript", "iframe"), None),
        **dict.fromkeys(("select", "button", "input", "textarea"), "form fields"),
        **dict.fromkeys(("img", "svg", "picture", "canvas", "video", "audio"), "images"),
        "object": "objects",
        "rt": None,  # the reading above a character, which repeats it
        "rp": None,
    },
    inserted={"br": _constant("\n"), "td": _constant("\t"), "th": _constant("\t")},
    kept_spaces=frozenset({"pre"}),
)
"""A chapter of a book: all that is on it."""

_AROUND = {
    **dict.fromkeys(("nav", "navigation"), "menus"),
    **dict.fromkeys(("aside", "complementary"), "asides"),
    **dict.fromkeys(("header", "banner"), "headers"),
    **dict.fromkeys(("footer", "contentinfo"), "footers"),
}
"""Elements and roles around the text of a page, and what they are counted as."""
_OF_A_SECTION = ("header", "footer")
_SECTIONS = frozenset({"article", "main", "section"})


def _around(element: Any, name: str) -> str:
    """Return the kind of what stands around the text of a page: the site's, not the text's.

    A header with the heading of all is the text's, wherever it stands.

    Source:
        HTML Accessibility API Mappings, which make header and footer those of the page only outside
        of articles and sections.
    """
    kind = _AROUND.get((element.get("role") or name).lower(), "")
    if name not in _OF_A_SECTION or not kind:
        return kind
    above = (local_name(one.tag) for one in element.iterancestors())
    is_text = element.find(".//h1") is not None or any(one in _SECTIONS for one in above)
    return "" if is_text else kind


PAGE = replace(HTML, beside=_around)
"""A page of the web: its text, without what the site puts around it."""


def page_paragraphs(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    """Yield the paragraphs of a page of the web without what stands around its text.

    A page that is nothing else is read whole.
    """
    beside = Counter[str]()
    found = list(html_paragraphs(content, beside, PAGE))
    if not found and beside:
        beside.clear()
        found = list(html_paragraphs(content, beside))
    dropped.update(beside)
    yield from found


def html_paragraphs(content: bytes, dropped: Counter[str], markup: Markup = HTML) -> Iterator[str]:
    """Yield the paragraphs of HTML, in any encoding, as a browser shows them."""
    from lxml import etree, html

    if not content.strip():
        return
    content, encoding = _with_encoding(content)
    try:
        parser = html.HTMLParser(encoding=encoding, huge_tree=True, no_network=True)
    except LookupError as error:
        raise ValueError(f"its encoding is unknown: {encoding}") from error
    try:
        root = html.document_fromstring(content, parser=parser)
    except etree.ParserError as error:
        raise ValueError(str(error)) from error
    if any("depth" in entry.message for entry in parser.error_log):
        raise ValueError("elements within one another over 2,000 deep")
    yield from paragraphs(root, markup, dropped)


def _with_encoding(content: bytes) -> tuple[bytes, str | None]:
    """Return a page and its encoding: by its mark or declaration, else UTF-8 or Windows-1252.

    None leaves it to the page's own <meta>. Source: WHATWG HTML, 13.2.3.2.
    """
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding).encode("utf-8"), "utf-8"
    head = content[:2048]
    if declared := re.search(rb"""<\?xml[^>]*encoding=["']([\w.:-]+)""", head):
        return content, declared[1].decode("ascii")
    if re.search(rb"<meta[^>]*charset", head, re.IGNORECASE):
        return content, None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content, "windows-1252"
    return content, "utf-8"


def paragraphs(root: Any, markup: Markup, dropped: Counter[str]) -> Iterator[str]:
    """Yield the paragraphs below an element, without recursion, however deep it is."""
    pieces: list[str] = []

    def add(text: str | None, *, leaf: bool = False) -> None:
        if not text or (markup.leaf is not None and not leaf):
            return
        if not (keeps or leaf):
            text = SPACES.sub(" ", text)
            if pieces and pieces[-1].endswith((" ", "\n", "\t")):
                text = text.removeprefix(" ")
        if text:
            pieces.append(text)

    def flush() -> Iterator[str]:
        text = "".join(pieces)
        pieces.clear()
        lines = [line.strip() if not keeps else line.rstrip() for line in text.split("\n")]
        if joined := "\n".join(line for line in lines if line):
            yield joined

    keeps = 0
    todo: list[tuple[Any, bool]] = [(root, False)]
    while todo:
        element, left = todo.pop()
        name = local_name(element.tag)
        if left:
            if name in markup.blocks:
                yield from flush()
            keeps -= name in markup.kept_spaces
            add(element.tail)
            continue
        beside = "" if name is None else markup.beside(element, name)
        if name is None or beside or _is_dropped(element, name, markup):
            if name is not None and (kind := beside or markup.dropped.get(name)):
                dropped[kind] += 1
            if beside:
                yield from flush()
            add(element.tail)
            continue
        if name in markup.blocks:
            yield from flush()
        keeps += name in markup.kept_spaces
        if name in markup.inserted:
            pieces.append(markup.inserted[name](element))
        if markup.leaf is None or name == markup.leaf:
            add(element.text, leaf=name == markup.leaf)
        todo.append((element, True))
        todo.extend((child, False) for child in reversed(element))
    yield from flush()


def _is_dropped(element: Any, name: str, markup: Markup) -> bool:
    if "hidden" in element.attrib:
        return True
    if name not in markup.dropped:
        return False
    return not markup.box or all(local_name(part.tag) != markup.box for part in element.iter())


def local_name(tag: Any) -> str | None:
    """Return an element's name without its namespace; comments and instructions have none."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else None
