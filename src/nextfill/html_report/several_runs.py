"""Several runs on one page: their figures, curves, and the settings in which they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, RunError
from nextfill.evaluation.change_line import is_few
from nextfill.html_report.figures_table import (
    UNKNOWN,
    change,
    duration,
    figure,
    note,
    signed,
    with_interval,
)
from nextfill.html_report.glossary import Glossary
from nextfill.html_report.ledger_section import leaves
from nextfill.html_report.page import whole_page
from nextfill.html_report.runs_curves import runs_curves
from nextfill.rendering.html import Html, element, html_table, join
from nextfill.runs.directory import write_text
from nextfill.runs.reader import RunFacts, read_run
from nextfill.runs.run_pairs import RunPair, compare_runs, held_out_of

SEVERAL = "nextfill-runs"
"""Name in a page's head of the number of runs that it shows."""

DEFAULT = "runs.html"


def write_runs_report(runs: Sequence[str | Path], out: str | None) -> Path:
    """Write the page of several runs; another page of runs in its place is replaced."""
    facts = [read_run(run) for run in runs]
    twice = [
        path for path, count in Counter(one.path.resolve() for one in facts).items() if count > 1
    ]
    if twice:
        raise ConfigError([f"report: {twice[0]} is named twice: name each run once."])
    path = Path(out or DEFAULT)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError([f"--out {path}: expected the name of an .html file."])
    try:
        if path.exists() and f'<meta name="{SEVERAL}"' not in path.read_text("utf-8", "replace"):
            raise RunError(f"--out {path} is there already and is no page of runs: give another.")
        write_text(path, render_runs(facts))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def render_runs(runs: Sequence[RunFacts]) -> str:
    """Return the page of several runs."""
    names = run_names([one.path for one in runs])
    content = [
        ("Before and after", _before_and_after(runs, names)),
        ("Against the first", _differences(runs, names)),
        ("Curves", runs_curves(runs, names)),
        ("Settings that differ", _differing([one.config for one in runs], names, "config")),
        ("Machines that differ", _differing([one.measured for one in runs], names, "measured")),
    ]
    sections = [element("section", element("h2", head), part) for head, part in content if part]
    places = [element("code", str(one.path)) for one in runs]
    header = element(
        "header",
        element("p", "Nextfill report", *places, class_="run"),
        element("h1", f"{amount(len(runs), 'run')} beside one another"),
    )
    footer = (
        "Every figure here follows from the runs' own files, as on the page of each. Tokens and "
        "time are those of each step as it was taken last."
    )
    glossary = Glossary()
    shown = [glossary.linked(section) for section in sections]
    main = element("main", *_banner(runs, names), *shown, glossary.section())
    body = [header, main, element("footer", element("p", footer))]
    return whole_page("Runs · Nextfill report", body, {SEVERAL: str(len(runs))})


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of each run's folder, or its path where two folders have one name.

    Example:
        >>> run_names([Path("runs/a"), Path("runs/b")])
        ['a', 'b']
        >>> run_names([Path("x/a"), Path("y/a")])
        ['x/a', 'y/a']
    """
    names = [path.absolute().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _banner(runs: Sequence[RunFacts], names: Sequence[str]) -> list[Html]:
    lines = [
        f"{name} is not finished: its figures are those so far."
        for one, name in zip(runs, names, strict=True)
        if not one.finished
    ]
    lines += [
        f"{name}: {text}" for one, name in zip(runs, names, strict=True) for text in one.missing
    ]
    parts = [element("p", text) for text in lines]
    return [element("div", *parts, class_="banner", role="note")] if parts else []


def _before_and_after(runs: Sequence[RunFacts], names: Sequence[str]) -> Html:
    header = ["", "steps", "tokens", "time", "perplexity before", "after", "change"]
    rows = []
    for at, (facts, name) in enumerate(zip(runs, names, strict=True)):
        seconds = float(facts.timing["elapsed_s"].sum())
        row: list[object] = [
            name,
            figure(f"{at}/steps", facts.last_step),
            figure(f"{at}/tokens", int(facts.timing["tokens"].sum())),
            figure(f"{at}/seconds", seconds, duration(seconds)),
        ]
        one = held_out_of(facts)
        measure = one.measures[0] if one and one.measures else None
        if one is None or measure is None or measure.key != "perplexity":
            row += [UNKNOWN, UNKNOWN, UNKNOWN]
        else:
            row.append(with_interval(f"{at}/before", measure.before))
            row.append(
                UNKNOWN if measure.after is None else with_interval(f"{at}/after", measure.after)
            )
            row.append(change(str(at), measure) or UNKNOWN)
        rows.append(row)
    table = html_table(header, rows, caption="Runs before and after")
    return join([table, note("Of the held-out documents of each run; intervals are of 95%.")])


def _differences(runs: Sequence[RunFacts], names: Sequence[str]) -> Html:
    """Return the differences of each later run from the first, where both read the same text."""
    pairs = {
        name: compare_runs(runs[0], one) for one, name in zip(runs[1:], names[1:], strict=True)
    }
    rows = [
        [name, figure(f"pair/{at}/documents", one.documents), *_pair_cells(at, one)]
        for at, (name, one) in enumerate(pairs.items(), start=1)
        if not one.reason
    ]
    parts: list[Html] = []
    if rows:
        header = ["", "documents", "perplexity", "bits per byte", ""]
        parts.append(html_table(header, rows, caption=f"Against {names[0]}"))
        parts.append(
            note(
                f"After training, each less {names[0]}, document by document; an interval that "
                "holds 0 says that chance could explain the difference."
            )
        )
    if any(not one.reason and is_few(one.documents) for one in pairs.values()):
        parts.append(note("So few documents make the intervals wide."))
    parts += [
        element("p", f"{name} cannot be compared with {names[0]}: {one.reason}")
        for name, one in pairs.items()
        if one.reason
    ]
    return join(parts)


def _pair_cells(at: int, pair: RunPair) -> list[object]:
    def percent(value: float) -> str:
        return signed(value, 1)

    tokens, bits = pair.perplexity, pair.bits_per_byte
    cells: list[object] = [
        UNKNOWN if tokens is None else with_interval(f"pair/{at}/perplexity", tokens, percent, "%"),
        UNKNOWN if bits is None else with_interval(f"pair/{at}/bits_per_byte", bits, signed),
    ]
    main = tokens or bits
    if main is None or not main.has_ends or main.low <= 0 <= main.high:
        return [*cells, "no difference that chance could not explain"]
    return [*cells, "better" if main.value < 0 else "worse"]


def _differing(trees: Sequence[Mapping[str, Any]], names: Sequence[str], figures: str) -> Html:
    """Return a table of the values that are not the same in all runs."""
    flat = [dict(leaves(tree, ".")) for tree in trees]
    places = list(dict.fromkeys(place for one in flat for place in one))
    rows: list[list[object]] = []
    for place in places:
        values = [one.get(place) for one in flat]
        if any(value != values[0] for value in values):
            cells = [figure(f"{at}/{figures}/{place}", v) for at, v in enumerate(values)]
            rows.append([element("code", place), *cells])
    if rows:
        table = html_table(["", *names], rows, align="l", caption="Values that differ")
        return element("div", table, class_="differing")
    return note("None: all have the same.") if figures == "config" else Html("")
