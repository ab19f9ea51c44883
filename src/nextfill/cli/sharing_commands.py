"""The commands that show a run to others: report, share, bundle and login."""

from __future__ import annotations

import os
import sys
from typing import Any

from nextfill.cli.commands import (
    JSON,
    QUIET,
    Command,
    from_tables,
    observer_of,
    refuse_settings,
    request,
)
from nextfill.config import BundleConfig, NoConfig, ReportConfig, SharingConfig
from nextfill.config.command_line.flags import Argument, CommandLine
from nextfill.core.errors import HubError
from nextfill.core.streams import print_error

RUN = Argument("run", "run directory, finished or not; several are put beside one another", "+")
NO_OPEN = Argument("--no-open", "do not show the page in a browser")
SHARED_RUN = Argument("run", "run directory, or a model's folder")
REPO = Argument("repo", "repository on the Hub, USER/NAME; made if it does not exist")
TOKEN_STDIN = Argument("--token-stdin", "read the token from stdin instead of asking for it")


def _run_report(line: CommandLine) -> Any:
    from nextfill.api.report import report

    shows = sys.stdout.isatty() and not (line.arguments.no_open or line.arguments.json)
    followed: list[str] = []

    def on_ready(address: str) -> None:
        print_error(f"live: {address} (Ctrl-C ends it)")
        followed.append(address)
        if shows:
            _open(address)

    page = report(*line.arguments.run, request=request(line), on_ready=on_ready)
    if shows and not followed:
        _open(page.absolute().as_uri())
    return {"report": str(page)}


def _open(address: str) -> None:
    """Open a page in a browser with a window; a text browser would take the terminal over."""
    windows = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if windows:
        import webbrowser

        webbrowser.open(address)


REPORT = Command(
    "Make a run's page: curves, before and after, samples; or one page of several runs.",
    ReportConfig,
    (RUN, NO_OPEN, JSON),
    _run_report,
    from_tables("show_report"),
)


def _run_share(line: CommandLine) -> Any:
    from nextfill.api.share import share

    quiet = line.arguments.quiet or not sys.stderr.isatty()
    asked = request(line, observer=observer_of(line))
    return share(line.arguments.run, line.arguments.repo, quiet=quiet, request=asked)


SHARE = Command(
    "Push a run's model, tokenizer and card to the Hugging Face Hub.",
    SharingConfig,
    (SHARED_RUN, REPO, QUIET, JSON),
    _run_share,
    from_tables("show_message"),
)


def _run_bundle(line: CommandLine) -> Any:
    from nextfill.api.share import bundle

    return bundle(line.arguments.run, request=request(line, observer=observer_of(line)))


BUNDLE = Command(
    "Write a run's model, tokenizer and card into one file to send to another person.",
    BundleConfig,
    (SHARED_RUN, QUIET, JSON),
    _run_bundle,
    from_tables("show_message"),
)


def _run_login(line: CommandLine) -> Any:
    from nextfill.api.share import login

    refuse_settings(line)
    if line.arguments.token_stdin:
        token = sys.stdin.readline()
        if not token.strip():
            raise HubError("--token-stdin: there is no token on stdin.")
        return login(token)
    if not sys.stdin.isatty():
        raise HubError(
            "There is no terminal to ask for the token at: pipe it in, with --token-stdin, or set "
            "HF_TOKEN."
        )
    return login()


LOGIN = Command(
    "Log in to the Hugging Face Hub; say who you are and what the token may do.",
    NoConfig,
    (TOKEN_STDIN, JSON),
    _run_login,
    from_tables("show_message"),
)
