"""The report of a run, and the page of an evaluation, each one HTML file without requests."""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from nextfill.config import EvaluateConfig, TrainConfig
from nextfill.config.options import settings
from nextfill.config.recipe_file import to_toml
from nextfill.core import VERSION
from nextfill.core.amounts import amount
from nextfill.core.errors import NextfillError, RunError
from nextfill.core.shell_command import shell_command
from nextfill.evaluation.comparison import Comparison
from nextfill.evaluation.figures import FIGURES, Evaluation, figure_rows
from nextfill.html_report.curves import curves
from nextfill.html_report.figures_table import before_and_after, figure, note
from nextfill.html_report.glossary import Glossary
from nextfill.html_report.headline import banner, headline
from nextfill.html_report.ledger_section import leaves, ledger_section
from nextfill.html_report.text_sections import BEFORE_AND_AFTER, coloured_texts, samples_section
from nextfill.rendering.html import STYLE, Html, element, html_table, join
from nextfill.rendering.result_cards import token_css
from nextfill.runs.directory import RunDirectory, write_text
from nextfill.runs.evaluated_sets import evaluation_of
from nextfill.runs.reader import RunFacts, read_run

STYLES = ("page.css", "tokens.css")
SCRIPTS = ("hover.js", "tokens.js")

EVENTS = "nextfill-events"
"""Name in a page's head of the number of the run's events that it shows."""

_EVENTS = re.compile(rf'<meta name="{EVENTS}" content="(\d+)"')


def write_report(run: str | Path) -> Path:
    """Write the report of a run, finished or not, into its directory."""
    facts = read_run(run)
    path = RunDirectory(facts.path).report
    try:
        _check_page(path, facts)
        write_text(path, render(facts))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def _check_page(path: Path, facts: RunFacts) -> None:
    """Refuse to replace a page by one that shows fewer events, unless the run has ended.

    A further stage may begin at an earlier step than the run had come to.
    """
    if facts.end or facts.stages or not path.is_file():
        return
    shown = _EVENTS.search(path.read_text("utf-8", errors="replace"))
    if shown and int(shown[1]) > facts.num_events:
        raise RunError(
            f"{path} shows {amount(int(shown[1]), 'event')}, and the run's files hold "
            f"{facts.num_events:,} "
            "now, as if it had gone back to an earlier step. Finish the run, or rename the page."
        )


def write_report_or_note(run: Path, on_note: Callable[[str], None]) -> None:
    """Write the report of a saved run, or note the failure, which must not lose the run."""
    try:
        write_report(run)
    except NextfillError as error:
        again = shell_command("report", Path(run))
        on_note(f"The run is saved, its report is not: {error} Try again with: {again}")


def render(facts: RunFacts) -> str:
    """Return the report of a run as an HTML page."""
    return whole_page(_title(facts), _body(facts), {EVENTS: str(facts.num_events)})


def live_page(facts: RunFacts, version: str, words: str) -> str:
    """Return the report of a run as a page that follows it, and asks its own server alone."""
    header, *rest = _body(facts)
    state = element("p", words, class_="live", role="status", data_version=version)
    main = [part.replace("<main>", f"<main>{state}", 1) for part in rest]
    return whole_page(_title(facts), [header, *map(Html, main)], is_live=True)


def _title(facts: RunFacts) -> str:
    return f"{facts.path.absolute().name} · Nextfill report"


def _body(facts: RunFacts) -> list[Html]:
    tables = [
        join([element("h3", one.name) if len(facts.sets) > 1 else "", before_and_after(one)])
        for one in facts.sets
    ]
    content = [
        ("Before and after", join([*tables, _new_words(facts), _quantized_base(facts)])),
        ("Curves", curves(facts)),
        ("Samples", samples_section(facts.samples)),
        ("Where it changed", coloured_texts(facts.texts)),
        ("Where the text went", ledger_section(facts.ledger)),
        ("Settings", settings_section(facts.config)),
        ("Machine and versions", measured_section(facts.measured)),
    ]
    sections = [_section(heading, part) for heading, part in content if part]
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
    glossary = Glossary()
    header = glossary.linked(element("header", *headline(facts)))
    shown = [glossary.linked(section) for section in sections]
    return [
        header,
        element("main", *banner(facts), *shown, glossary.section()),
        element("footer", element("p", *footer)),
    ]


def _new_words(facts: RunFacts) -> Html:
    """Return notes on the words that got tokens of their own, nothing where none did."""
    new, end = facts.new_words, facts.sets[0].after if facts.sets else None
    if new is None:
        return Html("")
    words = note("New words: ", ", ".join(new.words))
    return join([*map(note, new.lines(None if end is None else evaluation_of(end))), words])


def _quantized_base(facts: RunFacts) -> Html:
    """Return notes on the weights that were held in 4 bits, nothing where all were whole."""
    base = facts.quantized_base
    if base is None:
        return Html("")
    before = evaluation_of(facts.sets[0].before) if facts.sets else None
    return join([*map(note, base.lines(before))])


def _section(heading: str, *parts: Html) -> Html:
    return element("section", element("h2", heading), *parts)


def write_evaluation_or_note(
    path: Path,
    config: EvaluateConfig,
    evaluated: Evaluation | Comparison,
    on_note: Callable[[str], None],
) -> None:
    """Write the page of an evaluation to a new file, or note the failure."""
    page = render_evaluation(config, evaluated)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            path.unlink(missing_ok=True)
        on_note(f"--page {path} cannot be written: {error.strerror or error}.")
    else:
        on_note(f"page: {path}")


def render_evaluation(config: EvaluateConfig, evaluated: Evaluation | Comparison) -> str:
    """Return an evaluation, or several models beside one another, as an HTML page."""
    model = config.model.name
    if isinstance(evaluated, Comparison):
        names = list(evaluated.evaluations)
        heading = " beside ".join(names)
        each = [html_table(head, rows, caption=title) for title, head, rows in evaluated.tables()]
        table, lines = join(each), evaluated.lines()
        models, words = (names[0], names[-1]), evaluated.words()
    else:
        heading = model
        table, lines = html_table(FIGURES, figure_rows(evaluated), caption="Evaluation"), []
        models = (evaluated.base.name, model) if evaluated.base else BEFORE_AND_AFTER
        words = [evaluated.in_words]
    sections = [_section("Figures", table, *map(note, lines))]
    if evaluated.texts:
        sections.append(_section("Token by token", coloured_texts(evaluated.texts, models)))
    tables = settings_section(tomllib.loads(to_toml(config)), EvaluateConfig)
    sections.append(_section("Settings", tables))
    over = element("p", f"Nextfill {VERSION}, over {config.data.name}", class_="facts")
    glossary = Glossary()
    lead = [glossary.linked(element("p", element("strong", line))) for line in words]
    shown = [glossary.linked(section) for section in sections]
    header = element("header", element("h1", heading), *lead, over)
    return whole_page(
        f"{heading}: evaluation", [header, element("main", *shown, glossary.section())]
    )


def settings_section(config: Mapping[str, Any], root: type = TrainConfig) -> Html:
    """Return a table per section of the settings, each setting with its help."""
    helps = {".".join(setting.path): setting.help for setting in settings(root)}

    def named(section: str, path: str) -> Html:
        text = helps.get(section + path)
        return join([element("code", path), element("small", text) if text else ""])

    return _tables(config, "general", "config", named)


def measured_section(measured: Mapping[str, Any]) -> Html:
    """Return a table of the findings at load, and one of the versions."""
    return _tables(
        measured, "found at load", "measured", lambda section, path: path.replace("_", " ")
    )


def _tables(
    tree: Mapping[str, Any], first: str, figures: str, named: Callable[[str, str], str]
) -> Html:
    """Return a table of a tree's own values, titled ``first``, and one of each inner tree."""
    plain = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in tree.items() if isinstance(value, Mapping)}
    tables = []
    for caption, part in {first: plain, **nested}.items():
        section = "" if part is plain else f"{caption}."
        rows = [
            [named(section, path), figure(f"{figures}/{section}{path}", value)]
            for path, value in leaves(part, ".")
        ]
        if rows:
            heading = element("h3", caption.replace("_", " "))
            tables.append(element("div", heading, html_table([], rows, caption=caption)))
    return element("div", *tables, class_="tables")


def whole_page(
    title: str,
    body: Sequence[Html],
    notes: Mapping[str, str] | None = None,
    *,
    is_live: bool = False,
) -> str:
    """Return a page whose policy allows this very style and script, and no request.

    Notes are for programs, by name, in the head. A live page may ask the server that it is from.
    """
    style = Html(STYLE + "".join(map(_resource, STYLES)) + token_css())
    # Each in a block of its own, so that neither knows the other's names.
    blocks = "".join(f"{{{_resource(name)}}}\n" for name in SCRIPTS)
    if is_live:
        blocks = f"const show = (signal) => {{\n{blocks}}};\n{_resource('live.js')}"
    script = Html(f'"use strict";\n{blocks}')
    asked = "connect-src 'self'; " if is_live else ""
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        f"img-src data:; {asked}base-uri 'none'; form-action 'none'"
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
    """Return the checksum by which a policy allows a text."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
