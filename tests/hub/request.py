"""A request to the small Hub, who makes it, and what is answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.hub.state import Account, Repo, State


@dataclass
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818
    """An answer that is an error."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.reply = Reply(status, json.dumps({"error": message}).encode(), headers)


class Request:
    """One request, and who makes it."""

    def __init__(self, hub: State, method: str, url: str, headers: Any, body: bytes) -> None:
        parts = urlsplit(url)
        self.hub, self.method, self.headers, self.body = hub, method, headers, body
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.token = (headers.get("Authorization") or "").removeprefix("Bearer ")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def account(self) -> Account | None:
        if self.token and self.token not in self.hub.accounts:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.hub.accounts.get(self.token)

    def repo(self, kind: str, name: str, *, write: bool = False) -> Repo:
        """Return a repository that the request may see, or write."""
        account = self.account()
        found = self.hub.repos.get((kind, name))
        member = account and name.partition("/")[0] in (account.name, *account.orgs)
        if found is None or (found.private and not member):
            raise Refused(404 if account else 401, "Repository not found", "RepoNotFound")
        if found.gated and not member:
            raise Refused(403, f"Access to {name} is restricted", "GatedRepo")
        if write and account is None:
            raise Refused(401, "Unauthorized")
        if write and not (account and account.may_write(name)):
            raise Refused(403, "You don't have the rights to write to this repository")
        return found
