"""Calls to the Hugging Face Hub with time limits, and the names of data sets there.

huggingface_hub's own client waits for an answer without end, and for as long as a server asks it to
(``Retry-After``). Here a call that keeps failing is given up after half a minute.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nextfill.core.errors import HubError

if TYPE_CHECKING:
    import httpx2

PATIENCE_S = 30.0
"""Seconds after which a call that has failed is not tried again."""

CONNECT_S, ANSWER_S, COMMIT_S = 10.0, 20.0, 40.0
"""Seconds for one try: to connect, to the first bytes of an answer, and the same of a commit."""

TRIED_AGAIN = (408, 429, 500, 502, 503, 504)
"""The status codes that huggingface_hub tries again after."""

_XET_TRIES = "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS"
"""hf_xet sends large files to the Hub by a client of its own, which reads this."""

_DATASET = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)"
    r"(?:@(?P<before>[\w./-]+))?(?::(?P<config>[\w.-]+))?(?:@(?P<after>[\w./-]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class DatasetName:
    """A data set on the Hub as ``--data`` names it.

    Args:
        repo: ``owner/name``.
        revision: A branch, tag or commit; None for ``main``.
        config: One of several configurations; None for the only one.

    Example:
        >>> parse_dataset("me/rows@v1:en")
        DatasetName(repo='me/rows', revision='v1', config='en')
        >>> str(parse_dataset("me/rows:en@v1"))
        'me/rows@v1:en'
    """

    repo: str
    revision: str | None = None
    config: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repo}{revision}{f':{self.config}' if self.config else ''}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return self.revision is not None and bool(_COMMIT.fullmatch(self.revision))


def parse_dataset(spec: str) -> DatasetName | None:
    """Parse ``owner/name@revision:config``; None if it is no such name."""
    match = _DATASET.fullmatch(spec)
    if match is None or (match["before"] and match["after"]):
        return None
    return DatasetName(match["repo"], match["before"] or match["after"], match["config"])


def is_pinned_form(pinned: object, spec: object) -> bool:
    """Return whether a name is the pinned form of an unpinned one.

    Example:
        >>> is_pinned_form("me/rows@" + 40 * "a", "me/rows")
        True
        >>> is_pinned_form("me/rows@" + 40 * "a", "me/other")
        False
    """
    one, other = (parse_dataset(str(name)) for name in (pinned, spec))
    if one is None or other is None or not one.is_pinned or other.is_pinned:
        return False
    return (one.repo, one.config) == (other.repo, other.config)


@contextmanager
def patient_hub() -> Iterator[None]:
    """Limit the time of every call of huggingface_hub, the user's own client included.

    Example:
        >>> with patient_hub():
        ...     pass
    """
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    # Perhaps the user's, for a proxy; huggingface_hub has no getter of it.
    before = _http._GLOBAL_CLIENT_FACTORY
    if isinstance(before, _PatientFactory):
        yield
        return
    set_client_factory(_PatientFactory(before))
    users_tries = os.environ.get(_XET_TRIES)
    os.environ.setdefault(_XET_TRIES, "2")  # of its own it tries for five minutes
    try:
        yield
    finally:
        set_client_factory(before)
        if users_tries is None:
            del os.environ[_XET_TRIES]


@dataclass
class _PatientFactory:
    """A factory of clients with time-outs, which measures how long each call has been failing.

    ``began`` has the time of the first try and the last outcome of each call without success yet.
    """

    factory: Callable[[], httpx2.Client]
    began: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)

    def __call__(self) -> httpx2.Client:
        import httpx2

        try:
            client = self.factory()
        except (ValueError, ImportError) as error:  # a scheme that is unknown, or needs a package
            raise HubError(
                f"The Hub cannot be asked through the proxy that is set: {error}. Mend "
                "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY in the environment, or unset them."
            ) from error
        if client.timeout == httpx2.Timeout(None):
            client.timeout = httpx2.Timeout(ANSWER_S, connect=CONNECT_S)
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks["request"], self._before],
            "response": [*hooks["response"], self._after],
        }
        return client

    def _before(self, request: httpx2.Request) -> None:
        key = _key(request)
        if "/commit/" in request.url.path:
            request.extensions["timeout"] = {
                **request.extensions.get("timeout", {}),
                "read": COMMIT_S,
            }
        first, outcome = self.began.setdefault(key, (time.monotonic(), "no answer"))
        if time.monotonic() - first > PATIENCE_S:
            del self.began[key]
            raise HubError(
                f"The Hub is not to be had: {outcome} from {_place(request)} for "
                f"{PATIENCE_S:.0f} seconds."
            )

    def _after(self, response: httpx2.Response) -> None:
        request = response.request
        key = _key(request)
        first, _ = self.began.pop(key, (time.monotonic(), ""))
        if response.status_code not in TRIED_AGAIN:
            return
        outcome = f"status {response.status_code}"
        wait_s = _requested_wait_s(response)
        if time.monotonic() - first + wait_s > PATIENCE_S:
            wait = f", and asks to wait {wait_s:.0f} seconds" if wait_s else ""
            raise HubError(f"The Hub is not to be had: {outcome} from {_place(request)}{wait}.")
        self.began[key] = (first, outcome)


def _key(request: httpx2.Request) -> tuple[str, str]:
    return request.method, str(request.url.copy_with(query=None))


def _place(request: httpx2.Request) -> str:
    """Return host, method and path of a call, without its query, which may be signed."""
    return f"{request.url.host} ({request.method} {request.url.path})"


def _requested_wait_s(response: Any) -> float:
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    header = response.headers.get("Retry-After", "").strip()
    waits = [int(header) if header.isdigit() else 0]
    limit = parse_ratelimit_headers(response.headers)
    if response.status_code == 429 and limit is not None and limit.remaining == 0:
        waits.append(limit.reset_in_seconds)
    return float(max(waits))
