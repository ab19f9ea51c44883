"""Plain text of documents with a layout: .docx, .odt, .epub, .html, .rtf, and .pdf's text layer.

Paragraphs come in reading order, with a blank line between them. Office documents and books are zip
archives of XML, which `markup_text` walks; so nothing is lost that a document's model does not
know, such as text that was inserted with changes tracked.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.records.files import File, ReadOptions, Row
from nextfill.data.records.formats.compression import error_text, open_file, reading
from nextfill.data.records.formats.file_formats import INSTALL_DOCUMENTS, txt_mode
from nextfill.data.records.formats.markup_text import (
    DOCX,
    ODT,
    SPACES,
    html_paragraphs,
    local_name,
    page_paragraphs,
    paragraphs,
)

MOST_BYTES = 1 << 28
"""Bytes of XML that a document may unpack to."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, KeyError)
_LOCKED = "it is encrypted. Open it with its password and save it without one."
_ENCRYPTED = "it is encrypted. Save it without a password."
_SENTENCE_ENDS = (".", "!", "?", ":", '"', "\u201d", "\u2019")


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
        "html": page_paragraphs,
        "rtf": _read_rtf,
        "pdf": _read_pdf,
    }
    dropped: Counter[str] = Counter()
    try:
        found = [paragraph for paragraph in readers[kind](content, dropped) if paragraph]
    except ModuleNotFoundError as error:
        raise DataError(
            f"{name}: a .{kind} document is read by {error.name}, which is not installed. "
            f"Type: {INSTALL_DOCUMENTS}"
        ) from error
    except _UnreadableError as error:
        raise DataError(f"{name}: {error}") from error
    except _DAMAGE as error:
        raise DataError(
            f"{name}: expected a .{kind} document, found a damaged one ({error_text(error)}). "
            "Fetch it again; or, if its own program still opens it, save it as plain text (UTF-8)."
        ) from error
    if not found:
        without = dropped["pages"]
        pages = f": {amount(without, 'page')} without a text layer" if without else ""
        raise DataError(
            f"{name}: found no text in it{pages}. Text in pictures has to be recognized first "
            "(OCR); leave the file out otherwise."
        )
    return PlainText("\n\n".join(found), dict(+dropped))


def _read_docx(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    archive = _Archive(content, "word/document.xml")
    yield from paragraphs(archive.xml("word/document.xml"), DOCX, dropped)
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
    return "".join(part.text or "" for part in element.iter() if local_name(part.tag) == "t")


def _read_odt(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    archive = _Archive(content, "content.xml")
    if b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise _UnreadableError(_LOCKED)
    yield from paragraphs(archive.xml("content.xml"), ODT, dropped)


def _read_epub(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    archive = _Archive(content, "META-INF/container.xml")
    package = _found(archive.xml("META-INF/container.xml"), "rootfile", "full-path")[0]
    root = archive.xml(package)
    items = {
        element.get("id"): element for element in root.iter() if local_name(element.tag) == "item"
    }
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
            yield from html_paragraphs(archive.read(part), dropped)
        else:
            dropped["missing chapters"] += 1


def _encrypted_parts(archive: _Archive) -> set[str]:
    if "META-INF/encryption.xml" not in archive.names:
        return set()
    found = _found(archive.xml("META-INF/encryption.xml"), "CipherReference", "URI")
    return {unquote(part) for part in found}


def _found(root: Any, name: str, attribute: str) -> list[str]:
    found = [element.get(attribute) for element in root.iter() if local_name(element.tag) == name]
    if not found or None in found:
        raise ValueError(f"no <{name} {attribute}=...>")
    return found


def _read_rtf(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    from striprtf.striprtf import rtf_to_text

    if not content.startswith(b"{\\rtf"):
        raise ValueError(r"it does not begin with {\rtf")
    dropped["images"] += len(re.findall(rb"\\pict\b", content))
    text = rtf_to_text(content.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]
    yield from (SPACES.sub(" ", line).strip() for line in text.splitlines())


def _read_pdf(content: bytes, dropped: Counter[str]) -> Iterator[str]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise _UnreadableError(_LOCKED) from error
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
            raise _UnreadableError(_ENCRYPTED)
        if needed not in self.names:
            raise ValueError(f"it has no {needed}")

    def read(self, part: str) -> bytes:
        """Return a part, which may be missing: then nothing."""
        if part not in self.names:
            return b""
        if self._zip.getinfo(part).flag_bits & 0x1:
            raise _UnreadableError(_ENCRYPTED)
        with self._zip.open(part) as file:
            content = file.read(self._left + 1)
        if len(content) > self._left:
            raise _too_large()
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


def _too_large() -> _UnreadableError:
    return _UnreadableError(
        f"it unpacks to more than {MOST_BYTES >> 20} MiB of text. Divide it, or save it as plain "
        "text."
    )
