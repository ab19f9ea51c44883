"""`nextfill report`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from nextfill.commands.command import JSON, Command
from nextfill.config import NoConfig
from nextfill.flags import Argument, CommandLine

RUN = Argument("run", "run directory, finished or not")
NO_OPEN = Argument("--no-open", "do not show the page in a browser")


def _run_report(line: CommandLine) -> Any:
    from nextfill.api.reporting import report
    from nextfill.recipe import build

    build(NoConfig, [line.given], line.problems)
    page = report(line.arguments.run)
    if sys.stdout.isatty() and not (line.arguments.no_open or line.arguments.json):
        _open(page)
    return {"report": str(page)}


def _open(page: Path) -> None:
    """Show a page in a browser with a window; a text browser would take the terminal over."""
    windows = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if windows:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def _show_report(result: Any) -> None:
    from nextfill.show import show_report

    show_report(result)


REPORT = Command(
    "Make a run's page: curves, before and after, samples, where every token went.",
    NoConfig,
    (RUN, NO_OPEN, JSON),
    _run_report,
    _show_report,
)
