import html
import re
from html.parser import HTMLParser

import pytest

from nextfill.rendering.html import STYLE, Html, element, escape, html_table

NASTY = [
    "<script>alert(1)</script>",
    "</script><!-- --><style>",
    "\"' onload='x' &lt;",
    "\u2028\u2029\ufeff\u05d0",
    "emoji 👩🏽‍💻",
]


class Seen(HTMLParser):
    """Every element, attribute and text of a page, as a browser would have them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", NASTY)
def test_text_and_attributes_come_out_as_they_went_in(text):
    seen = Seen(element("p", text, data_text=text))
    assert seen.tags == ["p"]
    assert seen.attributes == [("data-text", text)]
    assert seen.text == text


def test_what_turns_the_text_after_it_is_shown_by_a_sign():
    assert element("p", "abc\u202eevil\u2066") == "<p>abc\ufffdevil\ufffd</p>"


def test_what_no_page_can_hold_is_shown_by_a_sign():
    shown = escape("a\x00\x1b\r\x7f\x85\ud800\udfff\n\tb")
    assert shown == "a␀␛␍␡��\ufffd\n\tb"
    assert shown.encode("utf-8")


def test_html_is_not_escaped_again_and_text_made_of_it_is():
    part = element("b", "x")
    assert element("p", part) == "<p><b>x</b></p>"
    assert element("p", str(part) + "") != element("p", part)
    assert escape(html.unescape("&lt;")) == "&lt;"


def test_attributes_of_none_are_left_out_and_void_elements_closed():
    assert element("circle", r=3, class_=None) == '<circle r="3"/>'


def test_a_table_has_headings_for_its_rows_and_columns():
    table = html_table(["", "<a>"], [["one", 1], [Html("<i>two</i>"), 2]], caption="counts")
    assert table.count('scope="col"') == table.count('scope="row"') == 2
    assert "<i>two</i>" in table
    assert "&lt;a&gt;" in table
    assert '<td class="nf-number">1</td>' in table
    assert "<caption>counts</caption>" in table


def test_columns_are_aligned_as_asked_and_the_last_letter_holds():
    row = html_table([], [["a", "b", "c", "d"]], align="llr")
    assert [cell in row for cell in ("<td>b<", 'r">c<', 'r">d<')] == [True] * 3


def test_every_rule_stays_within_its_container():
    rules = re.sub("@media[^{]*{", "", STYLE)
    heads = [rule.rpartition("}")[2].strip() for rule in rules.split("{")[:-1]]
    assert len(heads) > 20
    for head in filter(None, heads):
        assert ".nextfill" in head, head
