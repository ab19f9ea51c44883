"""The account on the Hub: its token, its rights to a repository, and errors in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, HubError
from nextfill.core.hub_client import patient_hub
from nextfill.core.paths import is_folder
from nextfill.core.shell_command import shell_command
from nextfill.core.streams import printable

SETTINGS_PAGE = "https://huggingface.co/settings/tokens"
_TOKEN = re.compile(r"[!-~]+")  # what an HTTP header holds

FAILURES = (httpx2.HTTPError, OSError, RuntimeError, ValueError, KeyError, TypeError)
"""The errors of huggingface_hub: refusals, a lost connection, files that cannot be uploaded, and
the consequences of a malformed answer."""


@dataclass(frozen=True)
class Login:
    """The account of a token and its rights.

    Args:
        name: The account.
        role: The kind of token: ``read``, ``write`` or ``fineGrained``.
        organizations: The account's organizations.
        writable: Namespaces, or single repositories, that the token may write to.
        token_name: The token's name on the Hub.
    """

    name: str
    role: str
    organizations: Sequence[str]
    writable: Sequence[str]
    token_name: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        if self.writable:
            may = f"may share to {', '.join(f'{owner}/...' for owner in self.writable)}"
        else:
            may = f"may only read; make one that writes at {SETTINGS_PAGE}"
        return f"logged in as {self.name}: the token ({self.role}) {may}"


def check_token_kind(token: object) -> None:
    """Refuse what cannot be a token, without showing it."""
    if token is not None and not isinstance(token, str):
        kind = type(token).__name__
        raise HubError(f"token: found a value of type {kind}; expected text, as in HF_TOKEN.")


def log_in(token: str) -> Login:
    """Check a token and save it where all programs of huggingface_hub find it."""
    from huggingface_hub import login

    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise HubError(
            f"That is no token: found {amount(len(token), 'character')}, expected letters and "
            "digits "
            f"without spaces, as {SETTINGS_PAGE} shows them."
        )
    with hub_errors("The token is not kept", secret=token), patient_hub():
        login(token, add_to_git_credential=False, skip_if_logged_in=False)
    return who_am_i()


def who_am_i() -> Login:
    """Ask the Hub for the account of the present token."""
    from huggingface_hub import HfApi

    with hub_errors("The Hub does not say who you are"), patient_hub():
        account = HfApi().whoami()
        token = account.get("auth", {}).get("accessToken", {})
        orgs = [org for org in account.get("orgs", []) if isinstance(org, Mapping)]
        name, role = str(account["name"]), str(token.get("role", "unknown"))
    if role == "read":
        writable = []
    elif role == "fineGrained":
        scopes = [s for s in token.get("fineGrained", {}).get("scoped", []) if _may_write(s)]
        writable = list(dict.fromkeys(scope["entity"]["name"] for scope in scopes))
    else:
        writable = [name, *(org["name"] for org in orgs if org.get("roleInOrg") != "read")]
    names = [str(org["name"]) for org in orgs]
    return Login(
        name, role, names, [str(one) for one in writable], str(token.get("displayName") or "")
    )


def _may_write(scope: Mapping[str, Any]) -> bool:
    """Return whether a scope of a fine-grained token includes writing to repositories."""
    return any(p in ("repo.write", "repo.content.write") for p in scope.get("permissions", ()))


def check_name(repo: str) -> str:
    """Return the name of a repository, refusing one that is invalid on the Hub.

    Example:
        >>> check_name("me/my-model")
        'me/my-model'
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    shown = repr(repo if len(repo) <= 120 else f"{repo[:120]}...")
    if repo.startswith((".", "/", "~")):
        raise ConfigError(
            [
                f"{shown} is a folder's path, and a model is shared as USER/NAME on the Hub. A "
                "run's own model is the folder RUN/model, to copy; for one file to send, type: "
                f"{shell_command('bundle', 'RUN')}"
            ]
        )
    owner, slash, name = repo.partition("/")
    if not (owner and slash and name):
        command = shell_command("share", Path(repo), "USER/NAME")
        hint = f" The run comes first: {command}" if is_folder(repo) else ""
        raise ConfigError([f"{shown} names no repository on the Hub: expected USER/NAME.{hint}"])
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError([f"{shown} can be no repository: {printable(str(error))}"]) from error
    return repo


def check_access(repo: str, *, private: bool) -> None:
    """Refuse a repository to which a push would fail, before the training."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    check_name(repo)
    login = who_am_i()
    api = HfApi()
    with hub_errors(f"{repo} cannot be shared to"), patient_hub():
        try:
            api.auth_check(repo, write=True)
            check_private(repo, api.model_info(repo, timeout=10).private, required=private)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            check_namespace(repo, login)


def check_namespace(repo: str, login: Login) -> None:
    """Refuse a repository in a namespace that the token may not write to."""
    owner = repo.partition("/")[0]
    names = {name.lower() for name in login.writable}
    if not {owner.lower(), repo.lower()} & names:
        expected = " or ".join(f"{name}/..." for name in login.writable if "/" not in name)
        hint = (
            f"write for {owner}: give {expected}."
            if expected
            else f"write: make one that does at {SETTINGS_PAGE}, and type: {shell_command('login')}"
        )
        raise HubError(
            f"{repo} cannot be made: you are {login.name}, and your token ({login.role}) may not "
            + hint
        )


def check_private(repo: str, is_private: object, *, required: bool) -> None:
    """Refuse a public repository for a private model."""
    if required and not is_private:
        raise HubError(
            f"{repo} exists and is public, so that nothing sent there would be private: give "
            "another name, or make it private in its settings on the Hub."
        )


@contextmanager
def hub_errors(doing: str, secret: str | None = None) -> Iterator[None]:
    """Turn any error of huggingface_hub into a `HubError` that names the cause and a remedy."""
    try:
        yield
    except (ConfigError, HubError):  # complete messages already
        raise
    except FAILURES as error:
        raise HubError(f"{doing}: {without_token(describe_error(error), secret)}") from error


def describe_error(error: BaseException) -> str:
    """Describe an error of huggingface_hub in a sentence."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return describe_error(error.__cause__)  # of one file of several
    if isinstance(error, HubError):
        return str(error)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    meanings: dict[type[Exception], str] = {  # the narrower one comes first
        LocalTokenNotFoundError: "there is no token: set HF_TOKEN, or type: "
        + shell_command("login"),
        OfflineModeIsEnabled: "offline mode is on: unset HF_HUB_OFFLINE.",
        GatedRepoError: "it is gated, and your token has no access to it.",
        RepositoryNotFoundError: "there is no such repository, or your token may not see it.",
    }
    known = [text for kind, text in meanings.items() if isinstance(error, kind)]
    if known and status != 401:  # the Hub's answer for a missing repository, too
        return known[0]
    if status is not None:
        return _describe_status(status, error)
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, httpx2.TransportError):
        return f"the Hub cannot be reached ({type(error).__name__}: {text})."
    return f"{type(error).__name__}: {text}."


def _token_remedy() -> str:
    """Describe how to change the token; one in the environment overrides the saved one."""
    name = next(
        (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)), ""
    )
    if name:
        return f"it is the one in {name}; unset that, or set it to another"
    return f"make one at huggingface.co/settings/tokens, and type: {shell_command('login')}"


def _describe_status(status: int, error: BaseException) -> str:
    fixed = {
        401: f"the Hub does not accept the token (401): {_token_remedy()}.",
        403: "the token may not do that (403): log in with one that writes: "
        + shell_command("login"),
        409: "another change is being made there (409).",
        412: "somebody has changed it meanwhile (412).",
        429: "the Hub has had too many requests (429): wait a while.",
    }
    if status in fixed:
        return fixed[status]
    if status >= 500:
        return f"the Hub has a fault of its own ({status}): wait a while."
    text = " ".join(str(error).split())
    return f"the Hub answered {status}: {text[:300]}"


def without_token(text: str, secret: str | None = None) -> str:
    """Return printable text without the token, whether given or saved."""
    from huggingface_hub import get_token

    for token in (secret, get_token()):
        if token:
            text = text.replace(token, "(token)")
    return printable(text)
