"""The report as one HTML file that needs no other and makes no request."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from nextfill.core.errors import NextfillError, RunError
from nextfill.html_report.curves import curves
from nextfill.html_report.figures_table import before_and_after
from nextfill.html_report.headline import banner, headline, title
from nextfill.html_report.ledger_section import ledger_section
from nextfill.html_report.settings_section import (
    measured_section,
    samples_section,
    settings_section,
)
from nextfill.html_report.token_section import coloured_texts
from nextfill.rendering.html import STYLE, Html, element, join
from nextfill.rendering.result_cards import token_css
from nextfill.runs.directory import RunDirectory, write_text
from nextfill.runs.reader import RunFacts, gather

STYLES = ("page.css", "tokens.css")
SCRIPTS = ("hover.js", "tokens.js")


def whole_page(title: str, body: Sequence[Html], notes: Mapping[str, str] | None = None) -> str:
    """Return a page."""
    style = Html(STYLE + "".join(map(_resource, STYLES)) + token_css())
    # Each in a block of its own, so that neither knows the other's names.
    blocks = "".join(f"{{{_resource(name)}}}\n" for name in SCRIPTS)
    script = Html(f'"use strict";\n{blocks}')
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        *(element("meta", name=key, content=value) for key, value in (notes or {}).items()),
        element("title", title),
        element("style", style),
    ]
    whole = element("body", *body, element("script", script), class_="nextfill")
    page = element("html", element("head", *head), whole, lang="en")
    return f"<!doctype html>\n{page}\n"


def _resource(name: str) -> str:
    return (resources.files("nextfill.html_report") / name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return what a policy allows a text by."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


EVENTS = "nextfill-events"
"""How many events of the run a page shows, in its head."""

_EVENTS = re.compile(rf'<meta name="{EVENTS}" content="(\d+)"')


def write_report(run: str | Path) -> Path:
    """Write the report of a run into its directory."""
    facts = gather(run)
    path = RunDirectory(facts.path).report
    try:
        _check_page(path, facts)
        write_text(path, render(facts))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def _check_page(path: Path, facts: RunFacts) -> None:
    """Refuse to put a page of less in the place of one of more; that of a finished run is whole."""
    if facts.end or not path.is_file():
        return
    shown = _EVENTS.search(path.read_text("utf-8", errors="replace"))
    if shown and int(shown[1]) > facts.num_events:
        raise RunError(
            f"{path} shows {int(shown[1]):,} events, and the run's files hold {facts.num_events:,} "
            "now, as if it had gone back to an earlier step. Finish the run, or rename the page."
        )


def write_report_or_note(run: Path, note: Callable[[str], None]) -> None:
    """Write the report of a run that has just been saved, which no failure here may lose."""
    try:
        write_report(run)
    except NextfillError as error:
        again = f"nextfill report {shlex.quote(str(run))}"
        note(f"The run is saved, its report is not: {error} Try again with: {again}")


def render(facts: RunFacts) -> str:
    """Return the report of a run as a whole HTML page."""
    return whole_page(title(facts), _body(facts), {EVENTS: str(facts.num_events)})


def _body(facts: RunFacts) -> list[Html]:
    tables = [
        join([element("h3", one.name) if len(facts.sets) > 1 else "", before_and_after(one)])
        for one in facts.sets
    ]
    content = [
        ("Before and after", join(tables)),
        ("Curves", curves(facts)),
        ("Samples", samples_section(facts.samples)),
        ("Where it changed", coloured_texts(facts.texts)),
        ("Where the text went", ledger_section(facts.ledger) if facts.ledger else Html("")),
        ("Settings", settings_section(facts.config)),
        ("Machine and versions", measured_section(facts.measured)),
    ]
    sections = [
        element("section", element("h2", heading), part) for heading, part in content if part
    ]
    made_from = (
        "config.toml, measured.json, ledger.json, events.jsonl, timing.jsonl, evaluations/, "
        "texts.json"
    )
    footer = (
        "Every figure here follows from the run's own files: ",
        element("code", made_from),
        ". Perplexity is exp(nats / tokens) over all scored tokens together; bits per byte are "
        "nats / (bytes \N{MULTIPLICATION SIGN} ln 2). Intervals are of 95%, over documents; "
        "those of a change compare document by document.",
    )
    return [
        element("header", *headline(facts)),
        element("main", *banner(facts), *sections),
        element("footer", element("p", *footer)),
    ]
