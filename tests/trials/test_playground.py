"""The page of a server in a real browser: continued, filled, scored, by mouse and by keys."""

from __future__ import annotations

import re
import time

import pytest

import nextfill

pytestmark = pytest.mark.trial

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NASTY = "<img src=x onerror=alert(1)><script>document.title='run'</script> \u202eabc"
CAUSAL, MASKED = "builtin:base-causal", "builtin:base-masked"


@pytest.fixture(scope="module")
def served(tiny_model, tmp_path_factory):
    with nextfill.serve(CAUSAL, MASKED, tiny_model, port=0, wait=False, device="cpu") as server:
        yield server


def wait_for(browser, expression, most_s=30.0):
    deadline = time.monotonic() + most_s
    while not browser.ask(expression):
        assert time.monotonic() < deadline, (expression, browser.messages)
        time.sleep(0.05)


def opened(browser, served, **look):
    browser.open(f"{served.url}/", **look)
    wait_for(browser, "!document.querySelector('main').hidden")


def set_text(browser, text, **fields):
    for name, value in {"text": text, **fields}.items():
        browser.ask(f"document.getElementById('{name}').value = {value!r}")


DONE = (
    "document.getElementById('stop').hidden && "
    "document.querySelectorAll('#results .text button, #results .choice').length > 0"
)


def go(browser):
    browser.ask("document.getElementById('go').click()")
    wait_for(browser, DONE)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_task_fits_and_asks_nobody_else(browser, served, width, dark, tmp_path):
    opened(browser, served, width=width, dark=dark)
    set_text(browser, "Return the", second=str(served.service.loaded_models()[2].name))
    go(browser)
    assert browser.ask("document.querySelectorAll('article').length") == 2
    browser.ask("document.querySelectorAll('.text button')[3].click()")
    assert browser.ask("document.querySelectorAll('.choice').length") >= 5
    browser.picture(tmp_path / f"continue-{width}-{dark}.png")
    assert browser.ask(OVERFLOW) <= 0
    for task in ("fill", "score"):
        browser.ask(f"document.getElementById('tab-{task}').click()")
        go(browser)
        browser.picture(tmp_path / f"{task}-{width}-{dark}.png")
        assert browser.ask(OVERFLOW) <= 0, task
    assert browser.messages == []
    assert all(one.startswith(served.url) for one in browser.requests)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_use_it(browser, served, dark):
    opened(browser, served, dark=dark)
    found = []
    for task in ("continue", "fill", "score"):
        browser.ask(f"document.getElementById('tab-{task}').click()")
        go(browser)
        browser.ask("document.querySelector('.text button')?.click()")
        found += browser.faults()
    assert found == []


def test_a_text_goes_on_from_another_token(browser, served):
    opened(browser, served)
    set_text(browser, "Return the", tokens="12", temperature="0")
    go(browser)
    first = browser.ask("document.querySelector('.text').textContent")
    browser.ask("document.querySelectorAll('.text button')[2].click()")
    words = browser.ask(
        "[...document.querySelectorAll('.choice:not(.own) .word')].map(o => o.textContent)"
    )
    browser.ask("document.querySelector('.choice:not(.own)').click()")
    wait_for(browser, f"document.querySelector('.text')?.textContent.length > 20 && {DONE}")
    second = browser.ask("document.querySelector('.text').textContent")
    kept = browser.ask("document.querySelector('.prompt').textContent")
    assert kept.endswith(words[0].replace("\u2423", " ").replace("\u21b5", "\n"))
    assert second != first
    assert browser.messages == []


def test_no_text_goes_on_from_an_end_or_half_a_character(browser, served):
    opened(browser, served)
    name = str(served.service.loaded_models()[2].name)  # of random weights: any token is likely
    browser.ask(f"document.getElementById('first').value = {name!r}")
    set_text(browser, "caf", tokens="40")
    go(browser)
    words = "[...document.querySelectorAll('.choice')].map(o => [o.innerText, o.disabled])"
    seen = set()
    for at in range(browser.ask("document.querySelectorAll('.text button').length")):
        browser.ask(f"document.querySelectorAll('.text button')[{at}].click()")
        for word, is_fixed in browser.ask(words):
            is_part = bool(re.match("<([0-9A-F]{2}>|[|]|/?s>|pad)", word))
            assert is_fixed == is_part, word
            seen.add(is_part)
    assert seen == {True, False}


def test_a_run_stands_beside_what_it_began_from(browser, tiny_model, text_file, tmp_path):
    job = {"model": str(tiny_model), "data": str(text_file), "max_steps": 2, "block_size": 32}
    run = nextfill.train(out=tmp_path / "mine", quiet=True, device="cpu", **job).run
    with nextfill.serve(run, port=0, wait=False, device="cpu", before=True) as server:
        opened(browser, server)
        assert browser.ask("document.getElementById('second').value") == "mine:before"
        go(browser)
        names = "[...document.querySelectorAll('article h2')].map(one => one.textContent)"
        assert browser.ask(names) == ["mine", "mine:before"]
        assert browser.messages == []


def test_keys_move_among_tokens_and_tabs(browser, served):
    opened(browser, served)
    go(browser)
    browser.ask("document.querySelector('.text button').focus()")
    browser.press("ArrowRight")
    at = "[...document.querySelectorAll('.text button')].indexOf(document.activeElement)"
    assert browser.ask(at) == 1
    browser.ask("document.activeElement.click()")
    browser.ask("document.querySelector('.choice').focus()")
    browser.press("Escape")
    assert browser.ask(at) == 1
    browser.ask("document.getElementById('tab-continue').focus()")
    browser.press("ArrowRight")
    assert browser.ask("document.activeElement.id") == "tab-fill"


def test_text_is_shown_and_not_run(browser, served):
    opened(browser, served)
    for task in ("continue", "score"):
        browser.ask(f"document.getElementById('tab-{task}').click()")
        set_text(browser, NASTY, tokens="5")
        go(browser)
        assert "<img src=x" in browser.ask("document.querySelector('.text').textContent")
        assert browser.ask("document.querySelectorAll('img').length") == 0
        assert browser.ask("document.title") == "Nextfill"
    assert browser.messages == []


def test_an_answer_is_put_into_its_blank(browser, served):
    opened(browser, served)
    browser.ask("document.getElementById('tab-fill').click()")
    set_text(browser, "Return the ___ of a list.")
    go(browser)
    word = browser.ask("document.querySelector('.choice .word').textContent").strip("\u2423")
    browser.ask("document.querySelector('.choice').click()")
    assert browser.ask("document.getElementById('text').value") == f"Return the {word} of a list."


def test_a_key_is_asked_for(browser, tiny_model):
    with nextfill.serve(tiny_model, port=0, wait=False, device="cpu", api_key="sesame") as server:
        browser.open(f"{server.url}/")
        wait_for(browser, "!document.getElementById('key-form').hidden")
        browser.ask("document.getElementById('key').value = 'sesame'")
        browser.ask("document.querySelector('#key-form button').click()")
        wait_for(browser, "!document.querySelector('main').hidden")
        go(browser)
