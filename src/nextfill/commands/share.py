"""`nextfill share`."""

from __future__ import annotations

import sys
from typing import Any

from nextfill.commands.command import JSON, QUIET, Command, observer_of
from nextfill.config import SharingConfig
from nextfill.flags import Argument, CommandLine

SHARED_RUN = Argument("run", "run directory, or a model's folder")
REPO = Argument("repo", "repository on the Hub, USER/NAME; made if it does not exist")


def _run_share(line: CommandLine) -> Any:
    from nextfill.api.sharing import share_from

    arguments = line.arguments
    show = sys.stderr.isatty() and not arguments.quiet
    run, repo = arguments.run, arguments.repo
    on_note = observer_of(line).on_note
    return share_from(run, repo, line.given, line.problems, show_progress=show, on_note=on_note)


def _show_share(result: Any) -> None:
    from nextfill.show import show_sharing

    show_sharing(result)


SHARE = Command(
    "Push a run's model, tokenizer and card to the Hugging Face Hub.",
    SharingConfig,
    (SHARED_RUN, REPO, QUIET, JSON),
    _run_share,
    _show_share,
)
