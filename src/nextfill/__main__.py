"""`python -m nextfill`, and the command ``nextfill``."""

from __future__ import annotations

import gc
from typing import NoReturn

from nextfill.core.signals import end_on_ctrl_c, end_process

_SEARCH_FOR_CYCLES = (50_000, 20, 20)
"""New objects, and rounds of a generation, between two searches for unreachable cycles.

Python's own numbers cost a fifth of the start: what importing PyTorch makes all stays.
"""


def run() -> NoReturn:
    """Run the command line, which Ctrl-C may stop while it is still being imported."""
    end_on_ctrl_c()
    gc.set_threshold(*_SEARCH_FOR_CYCLES)
    from nextfill.cli.main import main

    end_process(main())


if __name__ == "__main__":
    run()
