from nextfill.rendering.result_cards import card, card_table, text_table


def test_a_table_in_plain_text_is_aligned_and_holds_no_control_characters():
    rows = [("a\x1b[2J", "1,024", "x"), ("longer\nname", "5", "yy")]
    assert text_table("Title", ("", "count", "over"), rows).splitlines() == [
        "Title",
        "               count  over",
        "  a[2J         1,024     x",
        "  longer name      5    yy",
    ]


def test_a_table_may_lack_its_header():
    assert text_table("Title", (), [("a", "1")]) == "Title\n  a  1"


def test_a_card_keeps_its_style_to_itself_and_escapes_text():
    page = card("<Title>", card_table(("", "value"), [("  <b>", "1 < 2")]))
    assert page.startswith("<style>")
    assert '<div class="nextfill" ' in page
    assert "&lt;Title&gt;" in page
    assert "&lt;b&gt;" in page
    assert "1 &lt; 2" in page
    assert "<script" not in page
    rules = page[len("<style>") : page.index("</style>")]
    selectors = [rule.rpartition("}")[2] for rule in rules.split("{")[:-1]]
    assert len(selectors) > 20
    scoped = [s for s in selectors if s.strip() and not s.strip().startswith("@media")]
    assert all(".nextfill" in part for s in scoped for part in s.split("),")), scoped
