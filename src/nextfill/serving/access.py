"""Who may use a server: those with its key, or at the same machine those that ask it by its name.

Without a key a server that listens at the machine's own address is asked by that address alone: a
page of the web, whose name may be made to mean this machine, is refused.
"""

from __future__ import annotations

import hmac
import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

from nextfill.serving.http_errors import RequestError

OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json"})
"""Asked by programs that watch over servers."""


def is_loopback(host: str) -> bool:
    """Return whether an address is the machine's own, which no other can reach.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """Lets requests through to an application, or refuses them.

    Args:
        application: Of ASGI.
        api_key: The key that is wanted; None for none.
        host: The address that the server listens at.
    """

    def __init__(self, application: ASGIApp, api_key: str | None, host: str) -> None:
        self._application = application
        self._key = None if api_key is None else api_key.encode("utf-8", "surrogateescape")
        self._own_name_only = api_key is None and is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                for_hub = scope["path"].startswith("/models/")
                await refusal.answer(for_hub=for_hub)(scope, receive, send)
                return
        await self._application(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = dict(scope["headers"])
        if self._own_name_only:
            host = headers.get(b"host", b"").decode("latin-1")
            name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
            if name and not is_loopback(name):
                return RequestError(
                    "This server has no key, and so it is asked by the name of its own machine "
                    "alone, such as 127.0.0.1. For others start it with --api-key KEY.",
                    403,
                )
        # The page asks for the key itself, and what it does is behind it.
        path = scope["path"]
        if self._key is None or path in OPEN_PATHS or (path == "/" and scope["method"] == "GET"):
            return None
        given = headers.get(b"authorization", b"")
        scheme, _, key = given.partition(b" ")
        is_right = hmac.compare_digest(key.strip(), self._key)
        if scheme.lower() == b"bearer" and is_right:
            return None
        return RequestError(
            "A wrong API key."
            if given
            else "This server wants its key, as in the header Authorization: Bearer KEY.",
            401,
            code="invalid_api_key",
        )
