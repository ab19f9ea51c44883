"""A small Hub on this machine, for tests: huggingface_hub's calls, and faults on demand.

The file storage is another origin (``localhost``) than the Hub (``127.0.0.1``), as it is in life,
so that a token sent to it would be seen. Clients need ``HF_HUB_DISABLE_XET=1``.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.hub.request import Refused, Reply, Request
from tests.hub.routes import API, STORAGE, Route
from tests.hub.state import Account, Fault, Repo, State

__all__ = ["Account", "Fault", "Hub", "Repo"]


class Hub(State):
    """A small Hub: ``with Hub() as hub:`` serves it at ``hub.url``."""

    def __enter__(self) -> Hub:
        self._api, self._storage = (self._serve(routes) for routes in (API, STORAGE))
        self.url = f"http://127.0.0.1:{self._api.server_port}"
        self.storage_url = f"http://localhost:{self._storage.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._api, self._storage):
            server.shutdown()
            server.server_close()

    def _serve(self, routes: list[Route]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.hub, server.routes = self, routes  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


class Handler(BaseHTTPRequestHandler):
    """Finds the route, brings the fault that is due, answers."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        server: Any = self.server
        hub: Hub = server.hub
        body = self._body()
        method = "GET" if self.command == "HEAD" else self.command
        path = urlsplit(self.path).path
        matching = (
            (found, call, function)
            for wanted, pattern, call, function in server.routes
            if wanted == method and (found := re.fullmatch(pattern, path))
        )
        found, call, function = next(matching, (None, "", None))
        if found is None:
            return self._send(Refused(404, f"no such call: {path}", "EntryNotFound").reply)
        hub.calls[call] += 1
        hub.paths.append(f"{self.command} {path}")
        fault = hub.take_fault(call)
        if fault:
            time.sleep(fault.delay_s)
            if fault.status:
                reply = Refused(fault.status, fault.message).reply
                reply.headers |= fault.headers
                return self._send(reply)
            if fault.cut == "before":
                return self._cut()
        try:
            asked = Request(hub, self.command, self.path, self.headers, body)
            reply = function(asked, *found.groups())
        except Refused as refusal:
            reply = refusal.reply
        if fault and fault.cut == "after":
            return self._cut()
        if not isinstance(reply, Reply):
            reply = Reply(200, json.dumps(reply).encode(), {"Content-Type": "application/json"})
        return self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, reply: Reply) -> None:
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
                self.server.hub.sent += len(reply.body)  # type: ignore[attr-defined]
        except (BrokenPipeError, ConnectionResetError):  # the client has given up
            self.close_connection = True
