"""Sockets that note when bytes last went through one: what tells a slow transfer from a silent one.

Libraries tell of an upload once 50 MB of it are done, and limit the silence of an answer alone, not
that of a peer which takes no more bytes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from typing import Any

_UNSENT_BYTES = 1 << 18
"""Bytes that wait in the system, which would be noted long before they are sent."""


class Traffic:
    """The moment at which bytes last moved, of all transfers of this process."""

    def __init__(self) -> None:
        self.last_s = time.monotonic()

    def note(self) -> None:
        """Note that bytes have moved."""
        self.last_s = time.monotonic()


traffic = Traffic()
"""The traffic of this process with all addresses."""


class _NotedSocket(socket.socket):
    """A socket as an event loop uses it."""

    def send(self, *args: Any) -> int:
        return self._noted(super().send(*args))

    def sendmsg(self, buffers: Iterable[Any], *args: Any) -> int:
        return self._noted(super().sendmsg(buffers, *args))

    def recv(self, *args: Any) -> bytes:
        content = super().recv(*args)
        self._noted(len(content))
        return content

    def recv_into(self, *args: Any) -> int:
        return self._noted(super().recv_into(*args))

    def _noted(self, count: int) -> int:
        if count:
            traffic.note()
        return count


def noted_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket whose traffic is noted, to an address as `socket.getaddrinfo` has it."""
    family, kind, protocol, *_ = address
    made = _NotedSocket(family, kind, protocol)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    return made


async def noted_session(**settings: Any) -> Any:
    """Return an aiohttp session whose traffic is noted, as file systems of the web make one."""
    import aiohttp

    connector = aiohttp.TCPConnector(socket_factory=noted_socket)
    return aiohttp.ClientSession(connector=connector, **settings)
