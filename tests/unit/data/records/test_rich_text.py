"""Documents with a layout give their words in order, and say what else they held."""

from __future__ import annotations

import io
import random
import zipfile

import docx
import pytest
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from odfdo import Document as Odt
from odfdo import Header, Note
from odfdo import Paragraph as OdtParagraph
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph as PdfParagraph
from reportlab.platypus import SimpleDocTemplate

from nextfill.core.errors import DataError
from nextfill.data.records import file_selection
from nextfill.data.records.formats.file_formats import RICH_TEXT
from nextfill.data.records.formats.rich_text import MOST_BYTES, plain_text
from nextfill.data.records.sources import open_source

TITLE = "The mill"
FIRST = "It stood by the river; nobody knew since when, and nobody asked."
SECOND = "On the third day the café closed at 5 o'clock: “for good”, said the sign."
WORDS = " ".join([TITLE, FIRST, SECOND]).split()

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)


def docx_file() -> bytes:
    document = docx.Document()
    document.add_heading(TITLE, 1)
    paragraph = document.add_paragraph("It stood ")
    paragraph.add_run("by the river").bold = True
    paragraph.add_run(FIRST.removeprefix("It stood by the river"))
    document.add_table(1, 1).cell(0, 0).text = SECOND
    return saved(document)


def odt_file(*more: OdtParagraph) -> bytes:
    document = Odt("text")
    document.body.clear()
    for element in (Header(1, TITLE), OdtParagraph(FIRST), OdtParagraph(SECOND), *more):
        document.body.append(element)
    return saved(document)


def saved(document) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def page(title: str = TITLE) -> str:
    return (
        f"<html><head><title>no text</title><style>p{{}}</style></head><body><h1>{title}</h1>"
        f"<p>{FIRST.replace('river', '<b>river</b>')}</p><script>alert(1)</script>"
        f"<img src=x><p>{SECOND}</body></html>"
    )


def epub_file(chapters: dict[str, str], *, extra: dict[str, str] | None = None) -> bytes:
    items = "".join(f'<item id="i{n}" href="{name}"/>' for n, name in enumerate(chapters))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(chapters)))
    package = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
    parts = {"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": package, **(extra or {})}
    return packed({**parts, **{f"OEBPS/{name}": text for name, text in chapters.items()}})


def packed(parts: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return file.getvalue()


def rtf_file() -> bytes:
    body = "\\par ".join([TITLE, FIRST, SECOND])
    coded = "".join(c if ord(c) < 128 else f"\\u{ord(c)}?" for c in body)
    return (r"{\rtf1\ansi{\fonttbl\f0 Arial;}\f0\pard " + coded + r"\par}").encode("ascii")


def pdf_file(**settings: object) -> bytes:
    file = io.BytesIO()
    style = getSampleStyleSheet()["Normal"]
    texts = [TITLE + ".", FIRST, SECOND]
    template = SimpleDocTemplate(file, **settings)
    template.build([PdfParagraph(text, style) for text in texts])
    return file.getvalue()


def scan() -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file)
    canvas.rect(10, 10, 100, 100)
    canvas.showPage()
    canvas.save()
    return file.getvalue()


FILES = {
    "docx": docx_file,
    "odt": odt_file,
    "epub": lambda: epub_file({"one.xhtml": page()}),
    "html": lambda: page().encode(),
    "rtf": rtf_file,
    "pdf": pdf_file,
}


@pytest.mark.parametrize("kind", RICH_TEXT)
def test_the_words_come_in_order(kind):
    found = plain_text(FILES[kind](), kind, f"a.{kind}")
    words = found.text.split()
    assert [word.strip(".") for word in words] == [word.strip(".") for word in WORDS]
    if kind != "pdf":  # whose paragraphs are guessed
        assert found.text.split("\n\n") == [TITLE, FIRST, SECOND]


def test_docx_text_beside_the_runs_is_found_and_deleted_text_is_not():
    document = docx.Document()
    paragraph = document.add_paragraph("kept ")
    for tag, inner in (("w:ins", "w:t"), ("w:del", "w:delText")):
        change, run, text = OxmlElement(tag), OxmlElement("w:r"), OxmlElement(inner)
        text.text = f"{tag[2:]}erted"
        run.append(text)
        change.append(run)
        paragraph._p.append(change)
    control, content, run = (OxmlElement(f"w:{name}") for name in ("sdt", "sdtContent", "r"))
    text = OxmlElement("w:t")
    text.text = " controlled"
    run.append(text)
    content.append(run)
    control.append(content)
    paragraph._p.append(control)
    document.sections[0].header.paragraphs[0].text = "running head"
    found = plain_text(saved(document), "docx", "a.docx")
    assert found.text == "kept inserted controlled"
    assert found.dropped == {"deleted passages": 1, "headers": 1}


def test_notes_of_odt_are_counted_and_its_spaces_stay():
    paragraph = OdtParagraph("two  spaces\tand a tab")
    paragraph.append(Note(note_body="a note", citation="1"))
    found = plain_text(odt_file(paragraph), "odt", "a.odt")
    assert found.text.endswith("two  spaces\tand a tab")
    assert found.dropped == {"notes": 1}


def test_html_is_read_as_a_browser_shows_it():
    body = (
        "<p>a <i> b</i>\n c<br>d</p><pre>x\n  y</pre><table><tr><td>1<td>2</table>"
        "<div hidden>no</div><ruby>漢<rt>kan</rt></ruby><!-- no --><p>&lt;b&gt; &eacute;"
    )
    found = plain_text(body.encode(), "html", "a.html")
    assert found.text == "a b c\nd\n\nx\n  y\n\n1\t2\n\n漢\n\n<b> é"


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", ""),
        ("utf-8", '<?xml version="1.0" encoding="utf-8"?>'),
        ("windows-1252", ""),
        ("iso-8859-2", '<meta charset="iso-8859-2">'),
        ("iso-8859-2", '<?xml version="1.0" encoding="iso-8859-2"?>'),
        ("utf-16", ""),
        ("utf-8-sig", '<?xml version="1.0" encoding="utf-8"?>'),
    ],
)
def test_html_in_any_encoding(encoding, declared):
    content = f"{declared}<html><body><p>Lodz é ü ö</p></body></html>".encode(encoding)
    assert plain_text(content, "html", "a.html").text == "Lodz é ü ö"


def test_chapters_of_a_book_come_in_its_own_order():
    chapters = {"b%20c.xhtml": page("Second"), "a.xhtml": page("First")}
    book = epub_file(chapters, extra={"OEBPS/b c.xhtml": page("Second")})
    text = plain_text(book, "epub", "a.epub").text
    assert 0 <= text.index("Second") < text.index("First")


def fail(content: bytes, kind: str) -> str:
    with pytest.raises(DataError) as caught:
        plain_text(content, kind, f"a.{kind}")
    message = str(caught.value)
    assert message.startswith(f"a.{kind}: ")
    return message


def test_encrypted_documents_are_refused():
    pdf = pdf_file(encrypt="secret")
    assert "encrypted. Open it with its password" in fail(pdf, "pdf")
    manifest = {"content.xml": "<x/>", "META-INF/manifest.xml": "<manifest:encryption-data/>"}
    assert "encrypted. Open it with its password" in fail(packed(manifest), "odt")
    drm = "<e><CipherReference URI='OEBPS/one.xhtml'/></e>"
    book = epub_file({"one.xhtml": page()}, extra={"META-INF/encryption.xml": drm})
    assert "DRM" in fail(book, "epub")
    assert "encrypted" in fail(packed({"EncryptedPackage": "x"}), "docx")


def test_documents_without_text_are_refused():
    assert ": 1 page without a text layer" in fail(scan(), "pdf")
    for kind, content in {
        "html": b"<html></html>",
        "docx": saved(docx.Document()),
        "rtf": rb"{\rtf1}",
    }.items():
        assert "found no text in it" in fail(content, kind)


def test_a_bomb_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr("nextfill.data.records.formats.rich_text.MOST_BYTES", 1 << 16)
    text = "<document>" + "<p>a</p>" * 20_000 + "</document>"
    assert "unpacks to more than" in fail(packed({"word/document.xml": text}), "docx")
    assert MOST_BYTES == 1 << 28


def test_entities_are_not_resolved_and_depth_is_no_danger():
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><d><p><t>&b;</t></p></d>'
    assert "aaaa" not in fail(packed({"word/document.xml": bomb}), "docx")
    deep = "<p>" * 5_000 + "<t>x</t>" + "</p>" * 5_000
    fail(packed({"word/document.xml": f"<d>{deep}</d>"}), "docx")
    nested = "<div>" * 1_500 + "x" + "</div>" * 1_500
    assert plain_text(nested.encode(), "html", "a.html").text == "x"
    assert "deep" in fail(("<div>" * 20_000 + "x" + "</div>" * 20_000).encode(), "html")


@pytest.mark.parametrize("kind", RICH_TEXT)
def test_damage_is_an_error_or_text(kind):
    """Cut and flipped documents end in a message that names them, never in another error."""
    rng = random.Random(5)
    whole = FILES[kind]()
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        cut = bytes(damaged[: rng.randrange(1, len(damaged))])
        for content in (bytes(damaged), cut):
            try:
                assert plain_text(content, kind, f"a.{kind}").text
            except DataError as error:
                assert str(error).startswith(f"a.{kind}: ")  # noqa: PT017 - both ends are right


def test_a_folder_of_documents_is_a_source(tmp_path):
    for kind, make in FILES.items():
        (tmp_path / f"chapter.{kind}").write_bytes(make())
    (tmp_path / "notes.txt").write_text("plain\n\ntext")
    source = open_source(str(tmp_path))
    texts = [record.value for record in source.read()]
    assert len(texts) == 7
    assert all(TITLE in text for text in texts if text != "plain\n\ntext")
    assert source.beside_text[str(tmp_path / "chapter.html")] == {"images": 1}
    single = open_source(str(tmp_path / "chapter.docx"))
    assert [record.value for record in single.read()] == ["\n\n".join([TITLE, FIRST, SECOND])]
    asked = open_source(str(tmp_path / "chapter.docx"), txt="paragraph")
    assert [record.value for record in asked.read()] == [TITLE, FIRST, SECOND]
    assert [record.where for record in asked.read()][1].endswith("chapter.docx (paragraph 2)")


@pytest.mark.parametrize("kind", RICH_TEXT)
def test_one_file_is_one_document(kind, tmp_path):
    (tmp_path / f"chapter.{kind}").write_bytes(FILES[kind]())
    [record] = open_source(str(tmp_path / f"chapter.{kind}")).read()
    assert record.where == str(tmp_path / f"chapter.{kind}")
    words = [word.strip(".") for word in str(record.value).split()]
    assert words == [word.strip(".") for word in WORDS]


def test_without_the_libraries_documents_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(file_selection, "find_spec", lambda name: None if name == "lxml" else 1)
    (tmp_path / "a.txt").write_text("plain")
    (tmp_path / "b.docx").write_bytes(docx_file())
    source = open_source(str(tmp_path))
    assert source.left_out == {"documents (.docx), read after pip install 'nextfill[documents]'": 1}


def test_a_page_of_ours_in_a_folder_is_no_text(tmp_path):
    from nextfill.html_report.page import whole_page

    (tmp_path / "tokens.html").write_text(whole_page("Tokens", []))
    (tmp_path / "saved.html").write_text(page())
    source = open_source(str(tmp_path))
    assert [record.where for record in source.read()] == [str(tmp_path / "saved.html")]
    assert source.left_out == {"results of nextfill": 1}


MENUS = (
    "<body><header><p>Mill News</p><nav>Home Shop</nav></header><nav>Menu<ul><li>One</ul></nav>"
    "<div role=navigation>Sitemap</div><main><article><header><h2>{title}</h2></header>"
    "<p>{first}</p><aside>Read also</aside><p>{second}</p><footer>By A. Miller</footer></article>"
    "</main><aside>Adverts</aside><footer>All rights reserved</footer></body>"
)


def test_what_stands_around_the_text_of_a_page_is_left_out_and_counted():
    content = MENUS.format(title=TITLE, first=FIRST, second=SECOND).encode()
    found = plain_text(content, "html", "x.html")
    assert found.text.split("\n\n") == [TITLE, FIRST, SECOND, "By A. Miller"]
    assert found.dropped == {"headers": 1, "menus": 2, "asides": 2, "footers": 1}


@pytest.mark.parametrize(
    ("content", "text", "dropped"),
    [
        ("<header><h1>Mills</h1><nav>Home</nav></header>One.", "Mills\n\nOne.", {"menus": 1}),
        ("<section><header>Mills</header>One.</section>", "Mills\n\nOne.", {}),
        ("Before<nav>Home</nav>after", "Before\n\nafter", {"menus": 1}),
        ("<div role=banner>News</div><p>One.", "One.", {"headers": 1}),
        ("<aside><p>All of it.</p></aside>", "All of it.", {}),
        ("<nav>Home</nav><select><option>a</select>", "Home", {"form fields": 1}),
    ],
)
def test_heads_of_the_text_itself_stay(content, text, dropped):
    found = plain_text(content.encode(), "html", "x.html")
    assert (found.text, found.dropped) == (text, dropped)


def test_chapters_of_a_book_are_read_whole():
    chapter = "<html><body><header>One</header><p>It stood.</p><aside>A note.</aside></body></html>"
    found = plain_text(epub_file({"one.xhtml": chapter}), "epub", "x.epub")
    assert found.text == "One\n\nIt stood.\n\nA note."


def test_a_table_of_contents_of_word_is_left_out_and_counted():
    document = docx.Document()
    document.add_paragraph("Contents")
    document.add_paragraph(f"{TITLE}\t1")
    document.add_heading(TITLE, 1)
    document.add_paragraph(FIRST)
    block, properties, part, gallery, content = map(
        OxmlElement, ("w:sdt", "w:sdtPr", "w:docPartObj", "w:docPartGallery", "w:sdtContent")
    )
    gallery.set(qn("w:val"), "Table of Contents")
    for above, below in ((part, gallery), (properties, part), (block, properties)):
        above.append(below)
    block.append(content)
    document.element.body.insert(0, block)
    for paragraph in document.paragraphs[:2]:
        content.append(paragraph._p)
    found = plain_text(saved(document), "docx", "x.docx")
    assert found.text.split("\n\n") == [TITLE, FIRST]
    assert found.dropped == {"tables of contents": 1}
    gallery.set(qn("w:val"), "Cover Pages")
    assert plain_text(saved(document), "docx", "x.docx").text.startswith("Contents")


def test_lines_of_contents_by_their_style_are_left_out():
    document = docx.Document()
    style = document.styles.add_style("toc 1", 1)
    style.element.set(qn("w:styleId"), "TOC1")
    document.add_paragraph(f"{TITLE}\t1", style=style)
    document.add_paragraph(FIRST)
    found = plain_text(saved(document), "docx", "x.docx")
    assert (found.text, found.dropped) == (FIRST, {"lines of contents": 1})
