"""An evaluation, or several models beside one another, as a page."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

from nextfill.config import EvaluateConfig
from nextfill.config.recipe_file import to_toml
from nextfill.core import VERSION
from nextfill.evaluation.comparison import Comparison
from nextfill.evaluation.figures import FIGURES, Evaluation, figure_rows
from nextfill.html_report.page import whole_page
from nextfill.html_report.settings_section import settings_section
from nextfill.html_report.token_section import BEFORE_AND_AFTER, coloured_texts
from nextfill.rendering.html import Html, element, html_table


def write_page_or_note(
    path: Path,
    config: EvaluateConfig,
    found: Evaluation | Comparison,
    note: Callable[[str], None],
) -> None:
    """Write an evaluation as one HTML file that makes no request; no failure here may lose it."""
    page = render_evaluation(config, found)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            path.unlink(missing_ok=True)
        note(f"--page {path} cannot be written: {error.strerror or error}.")
    else:
        note(f"page: {path}")


def render_evaluation(config: EvaluateConfig, found: Evaluation | Comparison) -> str:
    """Return an evaluation as a whole page."""
    model = config.model.name
    if isinstance(found, Comparison):
        names = list(found.evaluations)
        heading = " beside ".join(names)
        table, lines = html_table(*found.rows(), caption="Comparison"), found.lines()
        models = (names[0], names[-1])
    else:
        heading = model
        table, lines = html_table(FIGURES, figure_rows(found), caption="Evaluation"), []
        models = (found.base.name, model) if found.base else BEFORE_AND_AFTER
    sections = [element("section", element("h2", "Figures"), table, *_notes(lines))]
    if found.texts:
        shown = coloured_texts(found.texts, models)
        sections.append(element("section", element("h2", "Token by token"), shown))
    settings = settings_section(tomllib.loads(to_toml(config)), EvaluateConfig)
    sections.append(element("section", element("h2", "Settings"), settings))
    over = element("p", f"Nextfill {VERSION}, over {config.data.name}", class_="facts")
    header = element("header", element("h1", heading), over)
    return whole_page(f"{heading}: evaluation", [header, element("main", *sections)])


def _notes(lines: list[str]) -> list[Html]:
    return [element("p", line, class_="nf-note") for line in lines]
