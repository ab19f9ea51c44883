"""The report in a real browser: what it asks for, what it says, how it fits, what it shows."""

from __future__ import annotations

import pytest

import nextfill

pytestmark = pytest.mark.trial

NASTY = "<script>document.title='run'</script></script><img src=x onerror=alert(1)> \u202eabc\u2028"
WIDE, NARROW = 1280, 390
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PLOT = "document.querySelectorAll('.nf-plot')[{}]"
TIP = "document.querySelector('.nf-tip')?.innerText"
BOX = f"(({PLOT}).scrollIntoView(), ({PLOT}).getBoundingClientRect().{{}})"


@pytest.fixture(scope="module")
def page(make_run, tmp_path_factory):
    """The address of a report with several sets and a nasty, long text everywhere."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    sets = ("", "general", "domain")
    text = NASTY + "x" * 500
    run = make_run(folder, sets=sets, validation=True, text=text, finished=False)
    return nextfill.report(run).as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_opens_without_a_word_a_request_or_an_overflow(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    for at in range(browser.ask("document.querySelectorAll('details').length")):
        browser.ask(f"document.querySelectorAll('details')[{at}].open = true")
    assert browser.ask(OVERFLOW) <= 0
    assert browser.messages == []
    assert browser.requests == [page]
    assert browser.ask("document.querySelectorAll('svg[role=img]').length") >= 5
    background = browser.ask("getComputedStyle(document.body).backgroundColor")
    red = int(background.removeprefix("rgb(").partition(",")[0])
    assert red < 60 if dark else red > 200


def test_every_text_stands_out_from_what_is_behind_it(browser, page):
    for dark in (False, True):
        browser.open(page, dark=dark)
        names = browser.ask(CONTRASTS)
        assert len(names) == 2 * 7
        for pair, contrast in names.items():
            least = 3 if "--nf-" in pair.split()[0] and pair.split()[0][-1].isdigit() else 4.5
            assert contrast >= least, (dark, pair, contrast)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_it(browser, page, dark):
    browser.open(page, dark=dark)
    assert browser.faults() == []
    browser.ask("document.body.append(document.createElement('img'))")
    assert len(browser.faults()) == 1  # without a word for those who do not see it


def test_text_is_shown_and_not_run(browser, page):
    browser.open(page)
    assert "Nextfill report" in browser.ask("document.title")
    shown = browser.ask("document.querySelector('article p').innerText")
    assert NASTY[:60] in shown
    assert browser.ask("document.querySelectorAll('img').length") == 0
    assert browser.ask("document.scripts.length") == 1


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_cursor_shows_step_and_values(browser, page, width):
    browser.open(page, width=width)
    left, top, across = (browser.ask(BOX.format(0, 0, side)) for side in ("left", "top", "width"))
    assert browser.ask(TIP) is None
    browser.move_to(left + across / 2, top + 50)
    shown = browser.ask(TIP).splitlines()
    assert shown[0] == "step 30"
    assert shown[1].startswith("training, each step: ")
    browser.move_to(left + across / 3 + 6, top + 50)  # near an evaluation, which draws it
    shown = browser.ask(TIP).splitlines()
    assert shown[0] == "step 20"
    assert [line.partition(":")[0] for line in shown[3:]] == [
        *("held-out", "general", "domain", "validation")
    ]
    value = browser.ask("document.querySelector('[data-figure=\"curve/loss/held-out\"]').dataset.y")
    assert shown[3] == f"held-out: {float(value.split()[1]):.5g}"
    for at in (0, across - 1):  # the box stays on the page
        browser.move_to(left + at, top + 50)
        assert browser.ask("document.querySelector('.nf-tip').getBoundingClientRect().left") >= 0
        assert browser.ask(OVERFLOW) <= 0
    browser.move_to(1, 1)
    assert browser.ask(TIP) is None
    assert browser.messages == []


def test_keys_move_the_cursor(browser, page):
    browser.open(page)
    browser.ask(f"{PLOT.format(2)}.focus()")
    for key, step in (("End", 60), ("ArrowLeft", 59), ("Home", 1), ("ArrowRight", 2)):
        browser.press(key)
        assert browser.ask(TIP).splitlines()[0] == f"step {step}"
    browser.press("Escape")
    assert browser.ask(TIP) is None


CONTRASTS = """(() => {
  const style = getComputedStyle(document.body);
  const light = (name) => {
    const probe = document.createElement("i");
    probe.style.color = style.getPropertyValue(name);
    document.body.append(probe);
    const parts = getComputedStyle(probe).color.match(/[\\d.]+/g).map((part) => part / 255);
    probe.remove();
    const linear = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const found = {};
  for (const front of ["ink", "muted", "1", "2", "3", "4", "5"])
    for (const back of ["paper", "raised"]) {
      const [low, high] = [light("--nf-" + front), light("--nf-" + back)].sort((a, b) => a - b);
      found[`--nf-${front} --nf-${back}`] = (high + 0.05) / (low + 0.05);
    }
  return found;
})()"""
