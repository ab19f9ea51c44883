"""Who the user is on the Hub, and whether they may write to a repository."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nextfill.core.errors import ConfigError, HubError
from nextfill.core.hub_client import patient_hub
from nextfill.core.text_safety import printable
from nextfill.hub.hub_errors import hub_errors

SETTINGS_PAGE = "https://huggingface.co/settings/tokens"
_TOKEN = re.compile(r"[!-~]+")  # what an HTTP header holds


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
