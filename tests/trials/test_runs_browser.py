"""The page of several runs, and the live page, in a real browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nextfill

pytestmark = pytest.mark.trial

NASTY = "<script>document.title='run'</script><img src=x onerror=alert(1)> \u202eabc"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PICTURES = os.environ.get("NEXTFILL_PICTURES")
"""A folder for pictures of the pages, to look at."""


@pytest.fixture(scope="module")
def page(make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        make_run(folder / "first", text=NASTY),
        make_run(folder / "second <b>bold<b>", improvement=1.3, steps=80),
        make_run(folder / "third", documents=20, finished=False, text="x" * 300),
    ]
    return nextfill.report(*runs, out=folder / "runs.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_several_runs_fit_and_ask_for_nothing(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    assert browser.ask(OVERFLOW) <= 0
    assert browser.messages == []
    assert browser.requests == [page]
    assert browser.ask("document.querySelectorAll('svg[role=img]').length") == 6
    assert browser.ask("document.querySelectorAll('img, b').length") == 0
    assert "second <b>bold<b>" in browser.ask("document.querySelector('tbody').innerText")
    if PICTURES:
        browser.picture(Path(PICTURES) / f"runs-{width}-{'dark' if dark else 'light'}.png")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_it(browser, page, dark):
    browser.open(page, dark=dark)
    assert browser.faults() == []
    browser.ask("document.body.append(document.createElement('img'))")
    assert len(browser.faults()) == 1  # without a word for those who do not see it


def test_the_cursor_names_the_axis(browser, page):
    browser.open(page)
    browser.ask("document.querySelectorAll('.nf-plot')[2].focus()")
    browser.press("End")
    shown = browser.ask("document.querySelector('.nf-tip').innerText").splitlines()
    assert shown[0].startswith("token 3")
    assert browser.messages == []


@pytest.fixture
def live(make_run, tmp_path):
    """A run that has not ended, its live page's address, and the process that shows it."""
    run = make_run(tmp_path / "run", steps=40, finished=False, text=NASTY)
    whole = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(whole[:30]))
    shown = subprocess.Popen(
        [sys.executable, "-m", "nextfill", "report", str(run), "--live"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told = shown.stderr.readline()
    yield run, told.split()[1], shown, whole
    if shown.poll() is None:
        shown.kill()
    shown.communicate()


def wait_for(browser, expression, wanted):
    deadline = time.monotonic() + 20
    while (found := browser.ask(expression)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_live_page_follows_and_asks_this_machine_alone(browser, live, width):
    run, address, shown, whole = live
    browser.open(address, width=width, dark=width == 390)
    assert browser.ask(OVERFLOW) <= 0
    state = "document.querySelector('.live').innerText"
    assert browser.ask(state).startswith("stopped after 2")
    points = (
        "document.querySelector('[data-figure=\"curve/loss/each\"]').dataset.x.split(' ').length"
    )
    before = browser.ask(points)
    (run / "events.jsonl").write_text("".join(whole))
    wait_for(browser, state, "stopped after 40 steps")
    wait_for(browser, points, 40)
    assert before < 40
    browser.ask("document.querySelectorAll('.nf-plot')[0].focus()")
    browser.press("End")  # the new charts have a cursor, too
    assert browser.ask("document.querySelector('.nf-tip').innerText").startswith("step 40")
    assert {one.startswith(address) for one in browser.requests} == {True}
    assert browser.messages == []
    assert browser.ask("document.querySelectorAll('img').length") == 0
    if PICTURES:
        browser.picture(Path(PICTURES) / f"live-{width}.png")
    shown.send_signal(signal.SIGINT)
    out, err = shown.communicate(timeout=20)
    assert shown.returncode == 0, err
    assert out.strip().endswith("report.html")
    assert "Traceback" not in err
    wait_for(browser, f"{state}.startsWith('the program that shows this page has ended')", True)
