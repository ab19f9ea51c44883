"""The verb `report`."""

from __future__ import annotations

from pathlib import Path

from nextfill.core.locks import check_one_process


def report(run: str | Path) -> Path:
    """Make the report of a run: one HTML page of its curves, figures, samples, ledger and settings.

    Args:
        run: The run directory, of a run that is finished, stopped or still going on.

    Returns:
        The page, ``report.html`` in the run directory. It is made from the run's files alone.

    Raises:
        RunError: If there is no run, a file of it is damaged, or the page cannot be written.
    """
    from nextfill.html_report.page import write_report

    check_one_process("write the report")
    return write_report(run)
