"""A server on this machine alone, for a page that follows a run under way.

It reads the run's files and nothing else, and answers two addresses: the page and its state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from nextfill.core.amounts import amount
from nextfill.core.errors import NextfillError, RunError
from nextfill.core.json_text import to_json
from nextfill.html_report.page import live_page
from nextfill.runs.directory import RunDirectory
from nextfill.runs.reader import read_run

HOST = "127.0.0.1"
FOLLOWED = ("config.toml", "measured.json", "ledger.json", "events.jsonl", "timing.jsonl")
"""Files of a run whose sizes and times tell whether it has gone on."""

SPARED = 4.0
"""Least ratio of the time between two readings of a run to the time that a reading takes."""


class LivePage:
    """The page of a run, made anew at most as often as leaves the machine to the training.

    Args:
        run: The run directory.
    """

    def __init__(self, run: Path) -> None:
        self._run = RunDirectory(run)
        self._lock = threading.Lock()
        self._shown, self._page, self._words, self._next = "", b"", "", 0.0

    def page(self) -> bytes:
        """Return the page as of the newest version that is due."""
        with self._lock:
            self._renew()
            return self._page

    def state(self) -> bytes:
        """Return the version of the page that is due, and the run's state in words, as JSON."""
        with self._lock:
            self._renew()
            return to_json({"version": self._shown, "words": self._words}).encode()

    def _renew(self) -> None:
        version = self._current()
        if version == self._shown or time.monotonic() < self._next:
            return
        began = time.monotonic()
        facts = read_run(self._run.path)
        steps = amount(facts.last_step, "step")
        if self._run.is_under_way():
            words = f"under way: {steps} so far"
        else:
            words = f"finished: {steps}" if facts.finished else f"stopped after {steps}"
        self._words = words
        self._page = live_page(facts, version, words).encode()
        self._shown = version
        self._next = time.monotonic() + SPARED * (time.monotonic() - began)

    def _current(self) -> str:
        parts = [str(self._run.is_under_way())]
        for name in FOLLOWED:
            try:
                found = (self._run.path / name).stat()
            except OSError:
                continue
            parts.append(f"{name}:{found.st_size}:{found.st_mtime_ns}")
        return " ".join(parts)


def live_server(run: str | Path, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a run's live page, which is not serving yet.

    Raises:
        RunError: If there is no run, or the port is taken.
    """
    page = LivePage(read_run(run).path)
    page.page()  # now, so that what is damaged is told at the terminal

    class Handler(_Handler):
        pages = page

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise RunError(f"the page cannot be shown at port {port}: {error.strerror}.") from error
    server.daemon_threads = True
    return server


def address_of(server: ThreadingHTTPServer) -> str:
    """Return the address of a server's page."""
    return f"http://{HOST}:{server.server_port}/"


def serve_until_interrupted(server: ThreadingHTTPServer, on_ready: Callable[[str], None]) -> None:
    """Answer until Ctrl-C, which is the way to end it."""
    with server:
        on_ready(address_of(server))
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return


class _Handler(BaseHTTPRequestHandler):
    """Answers GET alone, to a browser that asks for this machine by its own name."""

    pages: LivePage
    server_version, sys_version = "nextfill", ""
    timeout = 10

    def do_GET(self) -> None:
        port = self.connection.getsockname()[1]
        # Another site's name that points here would let that site read the page.
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._answer(403, "text/plain", b"This page is for this machine alone.\n")
            return
        answers = {
            "/": ("text/html", self.pages.page),
            "/state": ("application/json", self.pages.state),
        }
        if self.path not in answers:
            self._answer(404, "text/plain", b"There is no such page.\n")
            return
        kind, answer = answers[self.path]
        try:
            self._answer(200, kind, answer())
        except NextfillError as error:
            self._answer(503, "text/plain", str(error).encode("utf-8", "replace"))

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        # The page's own policy is in its head, with the checksums of its style and script.
        self.send_header("Content-Security-Policy", "frame-ancestors 'none'; form-action 'none'")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: the terminal is the user's."""
