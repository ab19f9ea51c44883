"""`python -m nextfill`, and the command ``nextfill``."""

from __future__ import annotations

import sys

from nextfill.interrupts import end_at_once


def run() -> int:
    """Run the command line, which Ctrl-C may stop while it is still being imported."""
    end_at_once()
    from nextfill.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
