"""Texts token by token in a real browser: what mouse and keys tell, and how it reads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nextfill

pytestmark = pytest.mark.trial

NASTY = "</script><script>document.title='run'</script><img src=x onerror=alert(1)> and\nmore 🦜. "
TIP = "document.querySelector('.tokens-tip')?.innerText"
AT = "[...document.querySelectorAll('.tokens .text')][{}].querySelectorAll('[data-n]')[{}]"
BOX = (
    "(() => {{const box = {}.getBoundingClientRect();"
    " return [box.x, box.y, box.width, box.height]}})()"
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NAMES = ("c1", "c2", "c3", "c4", "c5", "g1", "g2", "g3", "w1", "w2", "w3")
LEAST_CONTRAST = 4.5
LEAST_APART = 0.08
"""Between what became cheaper and dearer, in Oklab, for every kind of sight."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A run beside its base on texts with markup in them."""
    folder = tmp_path_factory.mktemp("run")
    texts = [f"{NASTY} Text {n} returns the number of items in list {n}." * 3 for n in range(30)]
    run = nextfill.train(
        data=texts, out=folder / "run", max_steps=12, batch_size=4, learning_rate=2e-3
    ).run
    nextfill.evaluate(run, page=str(folder / "page.html"))
    return (folder / "page.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_opens_without_a_word_a_request_or_an_overflow(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    assert browser.ask("document.querySelectorAll('.tokens article').length") == 3
    assert browser.ask(OVERFLOW) <= 0
    assert browser.messages == []
    assert browser.requests == [page]
    assert "run" not in browser.ask("document.title").split(": ")[-1]
    assert browser.ask("document.scripts.length") == 1
    assert browser.ask("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_the_mouse_tells_token_nats_and_alternatives(browser, page, width):
    browser.open(page, width=width)
    browser.ask(f"{AT.format(0, 0)}.scrollIntoView({{block: 'center'}})")
    for number in (0, 5, 11):
        x, y, w, h = browser.ask(BOX.format(AT.format(0, number)))
        browser.move_to(x + w / 2, y + h / 2)
        shown = browser.ask(TIP).splitlines()
        token = browser.ask(AT.format(0, number) + ".dataset.n")
        before = browser.ask(AT.format(0, number) + ".dataset.b")
        assert shown[1].startswith(f"{float(token):.2f} nats")
        assert f": {float(before):.2f} nats; change" in shown[2]
        assert shown[3] == "likeliest here:"
        assert len(shown) == 4 + 5
        assert all(line.endswith("%") for line in shown[4:])
        assert browser.ask(OVERFLOW) <= 0
    browser.move_to(1, 1)
    assert browser.ask(TIP) is None
    assert browser.messages == []


def test_a_finger_is_told_until_it_points_elsewhere(browser, page):
    browser.open(page, width=390)
    browser.ask(f"{AT.format(0, 3)}.scrollIntoView({{block: 'center'}})")
    x, y, w, h = browser.ask(BOX.format(AT.format(0, 3)))
    browser.tap(x + w / 2, y + h / 2)
    nats = browser.ask(AT.format(0, 3) + ".dataset.n")
    assert f"{float(nats):.2f} nats" in browser.ask(TIP)
    browser.tap(2, y + h / 2)  # beside the text
    assert browser.ask(TIP) is None
    assert browser.messages == []


def test_characters_of_several_tokens_can_be_pointed_at(browser, page):
    browser.open(page)
    widths = browser.ask(
        "[...document.querySelectorAll('.tokens [data-n]')]"
        ".map((one) => one.getBoundingClientRect().width)"
    )
    assert min(widths) > 0
    many = "document.querySelector('.tokens [data-k]')"
    browser.ask(f"{many}.scrollIntoView({{block: 'center'}})")
    x, y, w, h = browser.ask(BOX.format(many))
    browser.move_to(x + w / 2, y + h / 2)
    assert f"{browser.ask(many + '.dataset.k')} tokens, " in browser.ask(TIP)


def test_keys_go_from_token_to_token(browser, page):
    browser.open(page)
    browser.ask("document.querySelector('.tokens .text').focus()")
    names = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        browser.press(key)
        names.append(browser.ask(TIP).splitlines()[0])
    assert names[0] == names[2] != names[1]
    bottom = "document.querySelector('.tokens .at').getBoundingClientRect().bottom"
    assert browser.ask(f"{bottom} <= innerHeight")
    browser.press("Escape")
    assert browser.ask(TIP) is None


def test_the_colours_mean_what_is_chosen(browser, page):
    browser.open(page)
    shown = {}
    for view in ("change", "after", "before"):
        browser.ask(f"document.querySelector('input[value={view}]').click()")
        assert browser.ask("document.querySelector('.tokens').dataset.view") == view
        shown[view] = browser.ask(
            "[...document.querySelectorAll('.tokens [data-n]')]"
            ".map((one) => getComputedStyle(one).backgroundColor)"
        )
    assert all(a != b for a, b in itertools.combinations(shown.values(), 2))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_reads_well_for_colour_blind_eyes(browser, page, dark):
    browser.open(page, dark=dark)
    colours = browser.ask(COLOURS)
    ink, paper = (np.array(colours[name]) for name in ("ink", "raised"))
    for name in NAMES:
        red, green, blue, alpha = colours[name]
        back = alpha * np.array([red, green, blue]) + (1 - alpha) * paper
        colours[name] = back
        assert contrast(ink, back) >= LEAST_CONTRAST, name
    for sight, matrix in SIGHTS.items():
        seen = {name: matrix @ linear(np.array(colours[name])) for name in NAMES}
        for level in "23":
            apart = np.linalg.norm(oklab(seen[f"g{level}"]) - oklab(seen[f"w{level}"]))
            assert apart >= LEAST_APART, (sight, level, apart)
        light = [oklab(seen[f"c{level}"])[0] for level in "12345"]
        steps = np.diff(light) * (1 if dark else -1)
        assert (steps > 0.015).all(), (sight, light)
    # And without any colour: what became dearer is underlined.
    line = "getComputedStyle(document.querySelector('.key .w2')).textDecorationLine"
    assert browser.ask(line) == "underline"


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    light = sorted(float(np.dot([0.2126, 0.7152, 0.0722], linear(rgb))) for rgb in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def oklab(rgb):
    """Return a linear colour in Oklab (Ottosson 2020), where distances are as they are seen."""
    lms = np.cbrt(
        np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        )
        @ np.clip(rgb, 0, 1)
    )
    return (
        np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        )
        @ lms
    )


SIGHTS = {
    # Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
    "common": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}

COLOURS = """(() => {
  const found = {};
  const parts = (text) => {
    const numbers = text.match(/[\\d.]+(e-?\\d+)?/g).map(Number);
    if (!text.startsWith("rgb")) return numbers;
    return numbers.map((part, at) => (at < 3 ? part / 255 : part));
  };
  for (const name of ["c1", "c2", "c3", "c4", "c5", "g1", "g2", "g3", "w1", "w2", "w3"]) {
    const text = getComputedStyle(document.querySelector(`.key .${name}`)).backgroundColor;
    const all = parts(text.replace("color(srgb", ""));
    found[name] = all.length < 4 ? [...all, 1] : all;
  }
  found.ink = parts(getComputedStyle(document.querySelector(".tokens .text")).color).slice(0, 3);
  found.raised = parts(
    getComputedStyle(document.querySelector(".tokens article")).backgroundColor
  ).slice(0, 3);
  return found;
})()"""
