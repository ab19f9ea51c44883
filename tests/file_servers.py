"""A server of one file over HTTP on this machine: slow, silent from some byte on, or cut off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class FileServer:
    """What a server sends, and how.

    Args:
        content: The bytes of the file.
        pause_s: Seconds between two of twenty pieces.
        silent_from: The byte from which on it says nothing, the connection open.
        cut_at: The byte at which it closes the first connections.
        cuts: How many of them.
    """

    content: bytes
    pause_s: float = 0.0
    silent_from: int | None = None
    cut_at: int = 0
    cuts: int = 0
    address: str = ""
    requests: int = 0
    _left: threading.Event = field(default_factory=threading.Event)

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                if not (piece := connection.recv(4096)):
                    return
                asked += piece
            self.requests += 1
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.content)}\r\n\r\n"
            if self.silent_from == 0:
                self._left.wait()
                return
            connection.sendall(head.encode())
            most = len(self.content) if self.silent_from is None else self.silent_from
            most = self.cut_at if self.requests <= self.cuts else most
            size = -(-len(self.content) // 20)
            for at in range(0, most, size):
                connection.sendall(self.content[at : min(at + size, most)])
                time.sleep(self.pause_s)
            if self.silent_from is not None:
                self._left.wait()


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    """Enter a server that is at an address of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=server._answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    server.address = "http://127.0.0.1:{}".format(*listener.getsockname()[1:])
    try:
        yield server
    finally:
        server._left.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
