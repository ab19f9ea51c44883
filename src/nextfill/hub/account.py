"""The account on the Hub: its token, its rights to a repository, and errors in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx2

from nextfill.core.errors import ConfigError, HubError
from nextfill.core.hub_client import patient_hub
from nextfill.core.streams import printable

SETTINGS_PAGE = "https://huggingface.co/settings/tokens"
_TOKEN = re.compile(r"[!-~]+")  # what an HTTP header holds

FAILURES = (httpx2.HTTPError, OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What huggingface_hub raises: refusals, a lost connection, files that cannot be uploaded, and
whatever comes of an answer that is none."""


@dataclass(frozen=True)
class Login:
    """Who the Hub takes us for.

    Args:
        name: The account.
        role: What the token may do: ``read``, ``write`` or ``fineGrained``.
        organizations: Those that the account belongs to.
        writable: Namespaces that the token may write to.
        token_name: What the user called the token on the Hub.
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


def log_in(token: str) -> Login:
    """Check a token and have huggingface_hub keep it, where all its programs find it."""
    from huggingface_hub import login

    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise HubError(
            f"That is no token: found {len(token)} characters, expected letters and digits "
            f"without spaces, as {SETTINGS_PAGE} shows them."
        )
    with hub_errors("The token is not kept", secret=token), patient_hub():
        login(token, add_to_git_credential=False, skip_if_logged_in=False)
    return who_am_i()


def who_am_i() -> Login:
    """Ask the Hub whom the token at hand belongs to."""
    from huggingface_hub import HfApi

    with hub_errors("The Hub does not say who you are"), patient_hub():
        found = HfApi().whoami()
        token = found.get("auth", {}).get("accessToken", {})
        orgs = [org for org in found.get("orgs", []) if isinstance(org, Mapping)]
        name, role = str(found["name"]), str(token.get("role", "unknown"))
    may = [org["name"] for org in orgs if org.get("roleInOrg") != "read"]
    owners = [name, *may]
    if role == "read":
        writable = []
    elif role == "fineGrained":
        scopes = [s for s in token.get("fineGrained", {}).get("scoped", []) if _writes(s)]
        writable = list(dict.fromkeys(scope["entity"]["name"] for scope in scopes))
    else:
        writable = owners
    names = [str(org["name"]) for org in orgs]
    return Login(
        name, role, names, [str(one) for one in writable], str(token.get("displayName") or "")
    )


def _writes(scope: Mapping[str, Any]) -> bool:
    """Say whether a scope of a fine-grained token lets write repositories."""
    return any(p in ("repo.write", "repo.content.write") for p in scope.get("permissions", ()))


def check_name(repo: str) -> str:
    """Return the name of a repository, refusing one that the Hub could not hold.

    Example:
        >>> check_name("me/my-model")
        'me/my-model'
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    shown = repr(repo if len(repo) <= 120 else f"{repo[:120]}...")
    owner, slash, name = repo.partition("/")
    if not (owner and slash and name):
        raise ConfigError([f"{shown} names no repository on the Hub: expected USER/NAME."])
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError([f"{shown} can be no repository: {printable(str(error))}"]) from error
    return repo


def check_access(repo: str, *, private: bool) -> None:
    """Refuse a repository that a push would be refused by, before anything is spent."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    check_name(repo)
    login = who_am_i()
    api = HfApi()
    with hub_errors(f"{repo} cannot be shared to"), patient_hub():
        try:
            api.auth_check(repo, write=True)
            check_private(repo, api.model_info(repo, timeout=10).private, wanted=private)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            check_namespace(repo, login)


def check_namespace(repo: str, login: Login) -> None:
    """Refuse to make a repository where the token may not."""
    owner = repo.partition("/")[0]
    names = {name.lower() for name in login.writable}
    if not {owner.lower(), repo.lower()} & names:
        expected = " or ".join(f"{name}/..." for name in login.writable if "/" not in name)
        hint = (
            f"write for {owner}: give {expected}."
            if expected
            else f"write: make one that does at {SETTINGS_PAGE}, and type nextfill login."
        )
        raise HubError(
            f"{repo} cannot be made: you are {login.name}, and your token ({login.role}) may not "
            + hint
        )


def check_private(repo: str, is_private: object, *, wanted: bool) -> None:
    """Refuse to send to everyone what was to be private."""
    if wanted and not is_private:
        raise HubError(
            f"{repo} exists and is public, so that nothing sent there would be private: give "
            "another name, or make it private in its settings on the Hub."
        )


@contextmanager
def hub_errors(doing: str, secret: str | None = None) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into one message that says what to type."""
    try:
        yield
    except (ConfigError, HubError):  # which say everything already
        raise
    except FAILURES as error:
        raise HubError(f"{doing}: {without_token(words_of(error), secret)}") from error


def words_of(error: BaseException) -> str:
    """Say in a sentence what an exception of huggingface_hub means."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return words_of(error.__cause__)  # what happened to one file of several
    if isinstance(error, HubError):
        return str(error)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    meanings: dict[type[Exception], str] = {  # the narrower one comes first
        LocalTokenNotFoundError: "there is no token: type nextfill login, or set HF_TOKEN.",
        OfflineModeIsEnabled: "offline mode is on: unset HF_HUB_OFFLINE.",
        GatedRepoError: "it is gated, and your token has no access to it.",
        RepositoryNotFoundError: "there is no such repository, or your token may not see it.",
    }
    known = [text for kind, text in meanings.items() if isinstance(error, kind)]
    if known and status != 401:  # which the Hub answers for a repository, too
        return known[0]
    if status is not None:
        return _status_words(status, error)
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, httpx2.TransportError):
        return f"the Hub cannot be reached ({type(error).__name__}: {text})."
    return f"{type(error).__name__}: {text}."


def _other_token() -> str:
    """Say how to come by another token; the environment's beats the one that is kept."""
    name = next(
        (name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)), ""
    )
    if name:
        return f"it is the one in {name}; unset that, or set it to another"
    return "make one at huggingface.co/settings/tokens, and type nextfill login"


def _status_words(status: int, error: BaseException) -> str:
    fixed = {
        401: f"the Hub does not accept the token (401): {_other_token()}.",
        403: "the token may not do that (403): log in with one that writes, nextfill login.",
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
    """Return text for the user, in which no token stands, wherever it was repeated from."""
    from huggingface_hub import get_token

    for token in (secret, get_token()):
        if token:
            text = text.replace(token, "(token)")
    return printable(text)
