"""Plain text of documents with a layout: .docx, .odt, .epub, .html, .rtf, and .pdf's text layer.

Paragraphs come in reading order, with a blank line between them. Office documents and books are zip
archives of XML, which one walk reads, given the elements of each format; so nothing is lost that a
document's model does not know, such as text that was inserted with changes tracked.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from nextfill.core.errors import DataError
from nextfill.data.records.compression import open_file, reading
from nextfill.data.records.file_formats import INSTALL_DOCUMENTS, txt_mode
from nextfill.data.records.files import File, ReadOptions, Row

MOST_BYTES = 1 << 28
"""Bytes of XML that a document may unpack to."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, KeyError)
_SENTENCE_ENDS = (".", "!", "?", ":", '"', "\u201d", "\u2019")
_SPACES = re.compile(r"[ \t\n\r\f]+")


class _UnreadableError(Exception):
    """The document cannot be read; the message ends a sentence that begins with its name."""


@dataclass(frozen=True)
class PlainText:
    """The text of a document, and how much else it held.

    Args:
        text: Its paragraphs, a blank line between each two.
        dropped: Parts without text, or beside it, by their kind: images, notes, deleted passages.
    """

    text: str
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Markup:
    """The elements of a format, by their names without namespace.

    Args:
        blocks: Elements that begin and end a paragraph.
        dropped: Elements that are left out with all in them, and the kind they are counted as;
            None where nothing is lost.
        inserted: What stands for a character: an element and its text.
        box: An element of text within one that would be dropped, which therefore stays.
        leaf: The only element whose text counts; None where that of all does.
        kept_spaces: Elements in which spaces and line ends hold.
    """

    blocks: frozenset[str]
    dropped: Mapping[str, str | None]
    inserted: Mapping[str, Callable[[Any], str]]
    box: str = ""
    leaf: str | None = None
    kept_spaces: frozenset[str] = frozenset()


def _constant(text: str) -> Callable[[Any], str]:
    return lambda _element: text


def _odt_spaces(element: Any) -> str:
    count = next((value for key, value in element.attrib.items() if _local(key) == "c"), "1")
    return " " * min(int(count), 1000)


_DOCX = _Markup(
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
        "footnoteReference": _constant(""),
    },
    box="txbxContent",
    leaf="t",
)
_ODT = _Markup(
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
_HTML = _Markup(
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


def read_rich_text(file: File, options: ReadOptions) -> Iterator[Row]:
    """Yield the text of a document by paragraph or line, or whole, as of plain text."""
    with reading(file.name, file.compression), open_file(file) as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(
            f"{file.name}: found a document of more than {MOST_BYTES >> 20} MiB. Divide it, or "
            "save it as plain text (UTF-8)."
        )
    found = plain_text(content, file.format, file.name)
    if found.dropped:
        options.beside_text[file.name] = found.dropped
    mode = txt_mode(options, file.format)
    if mode == "file":
        yield file.name, found.text
        return
    mark = "\n\n" if mode == "paragraph" else "\n"
    for number, part in enumerate(found.text.split(mark), start=1):
        if part:
            yield f"{file.name} ({mode} {number})", part


def plain_text(content: bytes, kind: str, name: str) -> PlainText:
    """Return the text of a document.

    Args:
        content: The file.
        kind: One of `file_formats.RICH_TEXT`.
        name: The file's name, for messages.

    Raises:
        DataError: If it is damaged, encrypted, too large or without text, or if the library that
            reads it is not installed.
    """
    readers = {
        "docx": _read_docx,
        "odt": _read_odt,
        "epub": _read_epub,
        "html": _read_html,
        "rtf": _read_rtf,
        "pdf": _read_pdf,
    }
    dropped: Counter[str] = Counter()
    try:
        paragraphs = [paragraph for paragraph in readers[kind](content, dropped) if paragraph]
    except ModuleNotFoundError as error:
        raise DataError(
            f"{name}: a .{kind} document is read by {error.name}, which is not installed. "
            f"Type: {INSTALL_DOCUMENTS}"
        ) from error
    except _UnreadableError as error:
        raise DataError(f"{name}: {error}") from error
    except _DAMAGE as error:
        raise DataError(
            f"{name}: expected a .{kind} document, found a damaged one ({error}). Fetch it again, "
            "or open it and save it as plain text (UTF-8)."
        ) from error
    if not paragraphs:
        pages = f": {dropped['pages']} pages without a text layer" if dropped["pages"] else ""
        raise DataError(
            f"{name}: found no text in it{pages}. Text in pictures has to be recognized first "
            "(OCR); leave the file out otherwise."
        )
    return PlainText("\n\n".join(paragraphs), dict(+dropped))


def _read_docx(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    archive = _Archive(content, "word/document.xml")
    yield from _paragraphs(archive.xml("word/document.xml"), _DOCX, dropped)
    for part in ("word/footnotes.xml", "word/endnotes.xml"):
        if part in archive.names:
            notes = [_own_text(note) for note in archive.xml(part)]
            dropped["notes"] += sum(bool(note.strip()) for note in notes)
    dropped["headers"] += sum(
        bool(re.fullmatch(r"word/(header|footer)\d*\.xml", name)) for name in archive.names
    )
    dropped["comments"] += _count(archive, "word/comments.xml")


def _count(archive: _Archive, part: str) -> int:
    return len(archive.xml(part)) if part in archive.names else 0


def _own_text(element: Any) -> str:
    return "".join(part.text or "" for part in element.iter() if _local(part.tag) == "t")


def _read_odt(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    archive = _Archive(content, "content.xml")
    if b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise _UnreadableError(
            "it is encrypted. Open it with its password and save it without one."
        )
    yield from _paragraphs(archive.xml("content.xml"), _ODT, dropped)


def _read_epub(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    archive = _Archive(content, "META-INF/container.xml")
    package = _found(archive.xml("META-INF/container.xml"), "rootfile", "full-path")[0]
    root = archive.xml(package)
    items = {element.get("id"): element for element in root.iter() if _local(element.tag) == "item"}
    protected = _encrypted_parts(archive)
    for reference in _found(root, "itemref", "idref"):
        item = items[reference]
        part = posixpath.normpath(
            posixpath.join(posixpath.dirname(package), unquote(item.get("href", "")))
        )
        if "nav" in item.get("properties", "").split():
            dropped["tables of contents"] += 1
        elif part in protected:
            raise _UnreadableError("it is protected against copying (DRM), and cannot be read.")
        elif part in archive.names:
            yield from _read_html(archive.read(part), dropped)
        else:
            dropped["missing chapters"] += 1


def _encrypted_parts(archive: _Archive) -> set[str]:
    if "META-INF/encryption.xml" not in archive.names:
        return set()
    found = _found(archive.xml("META-INF/encryption.xml"), "CipherReference", "URI")
    return {unquote(part) for part in found}


def _found(root: Any, name: str, attribute: str) -> list[str]:
    found = [element.get(attribute) for element in root.iter() if _local(element.tag) == name]
    if not found or None in found:
        raise ValueError(f"no <{name} {attribute}=...>")
    return found


def _read_html(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    from lxml import etree, html

    if len(content) > MOST_BYTES:
        raise _too_large(len(content))
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
    yield from _paragraphs(root, _HTML, dropped)


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


def _paragraphs(root: Any, markup: _Markup, dropped: Counter[str]) -> Iterator[str]:
    """Yield the paragraphs below an element, without recursion, however deep it is."""
    pieces: list[str] = []

    def add(text: str | None, *, leaf: bool = False) -> None:
        if not text or (markup.leaf is not None and not leaf):
            return
        if not (keeps or leaf):
            text = _SPACES.sub(" ", text)
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
        name = _local(element.tag)
        if left:
            if name in markup.blocks:
                yield from flush()
            keeps -= name in markup.kept_spaces
            add(element.tail)
            continue
        if name is None or _is_dropped(element, name, markup):
            if name is not None and (kind := markup.dropped.get(name)):
                dropped[kind] += 1
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


def _is_dropped(element: Any, name: str, markup: _Markup) -> bool:
    if "hidden" in element.attrib:
        return True
    if name not in markup.dropped:
        return False
    return not markup.box or all(_local(part.tag) != markup.box for part in element.iter())


def _local(tag: Any) -> str | None:
    """Return an element's name without its namespace; comments and instructions have none."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else None


def _read_rtf(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    from striprtf.striprtf import rtf_to_text

    if not content.startswith(b"{\\rtf"):
        raise ValueError(r"it does not begin with {\rtf")
    dropped["images"] += len(re.findall(rb"\\pict\b", content))
    text = rtf_to_text(content.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]
    yield from (_SPACES.sub(" ", line).strip() for line in text.splitlines())


def _read_pdf(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise _UnreadableError(
                "it is encrypted. Open it with its password and save it without one."
            ) from error
        raise ValueError(str(error)) from error
    try:
        for number in range(len(document)):
            text = document[number].get_textpage().get_text_bounded()
            if not text.strip():
                dropped["pages"] += 1
            yield from _joined_lines(text)
    except pypdfium2.PdfiumError as error:
        raise ValueError(f"page {number + 1}: {error}") from error
    finally:
        document.close()


def _joined_lines(text: str) -> Iterator[str]:
    """Join lines to paragraphs: one ends where a sentence does, on a line that is not full."""
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)]
    full = 0.8 * max(map(len, lines), default=0)
    paragraph = ""
    for line in lines:
        if paragraph.endswith(("\ufffe", "\xad")):  # PDFium's mark of a hyphen at a line's end
            paragraph = paragraph[:-1] + line
        else:
            paragraph = f"{paragraph} {line}" if paragraph else line
        if not line or (len(line) < full and line.endswith(_SENTENCE_ENDS)):
            yield paragraph.strip()
            paragraph = ""
    yield paragraph.strip()


class _Archive:
    """The parts of a document that is a zip archive; together they may unpack to `MOST_BYTES`."""

    def __init__(self, content: bytes, needed: str) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        self.names = frozenset(self._zip.namelist())
        self._left = MOST_BYTES
        if "EncryptedPackage" in self.names:
            raise _UnreadableError("it is encrypted. Save it without a password.")
        if needed not in self.names:
            raise ValueError(f"it has no {needed}")

    def read(self, part: str) -> bytes:
        """Return a part, which may be missing: then nothing."""
        if part not in self.names:
            return b""
        if self._zip.getinfo(part).flag_bits & 0x1:
            raise _UnreadableError("it is encrypted. Save it without a password.")
        with self._zip.open(part) as file:
            content = file.read(self._left + 1)
        if len(content) > self._left:
            raise _too_large(MOST_BYTES)
        self._left -= len(content)
        return content

    def xml(self, part: str) -> Any:
        """Return the root of a part's XML; entities are not resolved, and nothing is fetched."""
        from lxml import etree

        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        try:
            return etree.fromstring(self.read(part), parser)
        except etree.XMLSyntaxError as error:
            raise ValueError(f"{part}: {error}") from error


def _too_large(size: int) -> _UnreadableError:
    return _UnreadableError(
        f"it unpacks to more than {size >> 20} MiB of text. Divide it, or save it as plain text."
    )
