"""A server: its socket, the thread that answers, the models that it loads, and its end."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import uvicorn

from nextfill.config import ServingConfig
from nextfill.core.errors import ConfigError, NextfillError
from nextfill.serving.access import is_loopback
from nextfill.serving.service import Service

KEY_VARIABLE = "NEXTFILL_API_KEY"

_PATIENCE_S = 5
"""Seconds that texts may go on for at the end of a server."""


class Server:
    """A server that answers, until it is closed.

    Args:
        url: Its address.
        service: What it serves.
    """

    def __init__(
        self, url: str, service: Service, server: uvicorn.Server, thread: threading.Thread
    ) -> None:
        self.url, self.service = url, service
        self._uvicorn, self._thread = server, thread

    def wait(self) -> None:
        """Wait until it is closed, or until it fails.

        Raises:
            NextfillError: If a model's loop ended by itself.
        """
        while self._thread.is_alive():
            self._thread.join(timeout=0.5)
            models = self.service.loaded_models()
            dead = [one.name for one in models if not one.loop.is_alive]
            if dead and not self.service.is_ending:
                raise NextfillError(f"The server ends, as {', '.join(dead)} failed.")

    def close(self) -> None:
        """End it: texts that are being made have a few seconds, and no new ones are begun."""
        self.service.is_ending = True
        deadline_s = time.monotonic() + _PATIENCE_S
        models = self.service.loaded_models()
        while time.monotonic() < deadline_s and any(
            one.loop.num_active + one.loop.num_waiting for one in models
        ):
            time.sleep(0.02)
        for model in models:
            model.loop.close()
        self._uvicorn.should_exit = True
        self._thread.join(timeout=2 * _PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def api_key(config: ServingConfig) -> str | None:
    """Return the key that clients have to give, if there is one."""
    return config.api_key or os.environ.get(KEY_VARIABLE) or None


def open_socket(limits: ServingConfig, on_note: Callable[[str], None]) -> socket.socket:
    """Listen at the address of a server.

    Args:
        limits: They hold the address and the key.
        on_note: Receives a sentence on an address that is open to others.

    Raises:
        ConfigError: If the address cannot be listened at.
    """
    listening = _listening(limits.host, limits.port)
    if limits.api_key is None and not is_loopback(limits.host):
        on_note(
            f"{limits.host} is open to whoever reaches this machine, and no key is wanted of them: "
            f"give --api-key KEY, or set {KEY_VARIABLE}"
        )
    return listening


def start_server(service: Service, listening: socket.socket, load: Callable[[], None]) -> Server:
    """Answer at a socket from another thread, and load the models in this one.

    Args:
        service: What is to be served.
        listening: The socket.
        load: Loads the models into the service.
    """
    from nextfill.serving.application import application  # brings PyTorch
    from nextfill.serving.connection_limits import TimedConnection

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        application(service, service.limits.host),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        http=TimedConnection,
        loop="asyncio",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_PATIENCE_S,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="serving", daemon=True
    )
    thread.start()
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    started = Server(f"http://{shown}:{port}", service, server, thread)
    try:
        load()
    except BaseException:
        started.close()
        raise
    return started


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1024)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            [
                f"--host {host} --port {port}: {error.strerror or error}. Give another port, or "
                "--port 0 for a free one."
            ]
        ) from error
    return listening
