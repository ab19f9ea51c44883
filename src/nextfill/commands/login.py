"""`nextfill login`."""

from __future__ import annotations

import sys
from typing import Any

from nextfill.commands.command import JSON, Command
from nextfill.config import LoginConfig
from nextfill.errors import HubError
from nextfill.flags import Argument, CommandLine

TOKEN_STDIN = Argument("--token-stdin", "read the token from stdin instead of asking for it")


def _run_login(line: CommandLine) -> Any:
    from nextfill.api.sharing import login
    from nextfill.recipe import build

    build(LoginConfig, [line.given], line.problems)
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


def _show_login(result: Any) -> None:
    from nextfill.show import show_login

    show_login(result)


LOGIN = Command(
    "Log in to the Hugging Face Hub; say who you are and what the token may do.",
    LoginConfig,
    (TOKEN_STDIN, JSON),
    _run_login,
    _show_login,
)
