"""Words of a page are explained once, linked at their first use, and never in others' text."""

from __future__ import annotations

import re
from pathlib import Path

from nextfill.html_report.glossary import WORDS, Glossary
from nextfill.rendering.html import Html, element

DOCS = Path(__file__).parents[3] / "docs"


def test_the_first_use_alone_is_linked():
    glossary = Glossary()
    page = glossary.linked(element("p", "Perplexity and bits per byte; the perplexity of tokens"))
    again = glossary.linked(element("p", "perplexity, tokens, leaks"))
    assert page.count('href="#word-perplexity"') == 1
    assert page.startswith('<p><a class="word" href="#word-perplexity" title="')
    assert "; the perplexity of <a " in page
    assert again.count("<a ") == 1
    assert ">leaks</a></p>" in again


def test_each_link_leads_to_one_explanation_in_a_sentence():
    glossary = Glossary()
    page = (
        glossary.linked(element("p", "nats; held-out text; 95% intervals; an epoch"))
        + glossary.section()
    )
    links, places = re.findall(r'href="#([^"]+)"', page), re.findall(r'id="([^"]+)"', page)
    assert sorted(links) == sorted(places)
    assert len(places) == 4
    for word in WORDS:
        assert word.meaning.endswith(".")
        assert ". " not in word.meaning


def test_text_of_others_is_left_alone():
    hostile = "perplexity <script>nats</script> leaks &"
    parts = [
        element("data", hostile, value=hostile),
        element("code", hostile),
        element("article", element("p", hostile, class_="text")),
        element("em", hostile),
        element("svg", element("rect", width=3), element("title", hostile)),
    ]
    page = Html("".join(parts))
    glossary = Glossary()
    assert glossary.linked(page) == page
    assert "<a " in glossary.linked(element("p", "leaks"))


def test_an_escaped_sign_is_no_tag():
    page = Glossary().linked(element("p", "1 < 2 nats > 3"))
    assert page.startswith("<p>1 &lt; 2 <a ")
    assert page.endswith("nats</a> &gt; 3</p>")


def test_the_guide_explains_the_same_words():
    text = " ".join((DOCS / "report.md").read_text("utf-8").split())
    for word in WORDS:
        assert f"**{word.name}**: {word.meaning}" in text
