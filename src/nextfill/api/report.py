"""The verb `report`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nextfill.api.verb import keyword_settings, request_of
from nextfill.config import ReportConfig
from nextfill.config.layers import build
from nextfill.core.errors import ConfigError
from nextfill.core.locks import check_one_process


@keyword_settings(ReportConfig)
def report(
    run: str | Path,
    *others: str | Path,
    on_ready: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Path:
    """Make the report of a run, or of several beside one another, as one HTML page.

    Of one run: its curves, figures, samples, ledger and settings. Of several: their curves over
    steps, tokens and time, their figures, with the differences from the first document by document
    where they held out the same text, and the settings in which they differ.

    Args:
        run: The run directory, of a run that is finished, stopped or still going on.
        *others: Further runs.
        on_ready: With ``live``, gets the page's address; default: it is printed on stderr.
        **keywords: ``out``: the .html file of the page of several runs; default: ``runs.html`` in
            the current folder. ``live``: follow one run, on a page at 127.0.0.1, until Ctrl-C.

    Returns:
        The page: ``report.html`` in the run directory, or that of several runs. It is made from
        the runs' files alone.

    Raises:
        ConfigError: If the settings cannot be used.
        RunError: If there is no run, a file of it is damaged, or the page cannot be written.
    """
    request = request_of(ReportConfig, keywords)
    config = build(ReportConfig, [request.settings], request.problems)
    if others and config.live:
        raise ConfigError(["--live follows one run: name one."])
    if config.out is not None and not others:
        raise ConfigError(["--out is for several runs: the page of one is in its directory."])
    check_one_process("write the report")
    if others:
        from nextfill.html_report.several_runs import write_runs_report

        return write_runs_report([run, *others], config.out)
    from nextfill.html_report.page import write_report

    if config.live:
        from nextfill.html_report.live_server import live_server, serve_until_interrupted

        serve_until_interrupted(live_server(run), on_ready or _print_address)
    return write_report(run)


def _print_address(address: str) -> None:
    print(f"live: {address} (Ctrl-C ends it)", file=sys.stderr)
