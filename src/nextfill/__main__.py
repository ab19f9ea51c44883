"""`python -m nextfill`, and the command ``nextfill``."""

from __future__ import annotations

from typing import NoReturn

from nextfill.core.signals import end_on_ctrl_c, end_process


def run() -> NoReturn:
    """Run the command line, which Ctrl-C may stop while it is still being imported."""
    end_on_ctrl_c()
    from nextfill.cli.main import main

    end_process(main())


if __name__ == "__main__":
    run()
