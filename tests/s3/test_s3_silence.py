"""A server of S3 that goes silent, slows down or is cut off while a store's files are moved."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from nextfill.core.errors import DataError
from nextfill.data.store import store_address
from nextfill.data.store.store_address import StoreAddress

pytest.importorskip("s3fs", reason="s3fs is not installed: make s3 runs this")
pytest.importorskip("moto.server", reason="moto is not installed: make s3 runs this")
pytest.importorskip("flask_cors", reason="flask_cors is not installed: make s3 runs this")

CONTENT = os.urandom(3_000_000)


class Proxy:
    """A wire to a server: it carries so many bytes a second, and none after a certain number.

    Args:
        port: Of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.bytes_s = 1e9
        self.most = {"up": 1 << 40, "down": 1 << 40}
        self.cuts = (
            0  # connections that are closed after that, rather than silent, until all is well
        )
        self._sockets: list[socket.socket] = []
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.url = "http://127.0.0.1:{}".format(*self._listener.getsockname()[1:])
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._closed.set()
        for one in self._sockets:
            one.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [near, far]
                for way, ends in (("up", (near, far)), ("down", (far, near))):
                    threading.Thread(target=self._carry, args=(way, *ends), daemon=True).start()

    def _carry(self, way: str, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        with suppress(OSError):
            while piece := source.recv(1 << 14):
                carried += len(piece)
                if carried > self.most[way]:
                    if self.cuts:
                        self.cuts -= 1
                        self.most[way] = self.most[way] if self.cuts else 1 << 40
                        break
                    self._closed.wait()
                target.sendall(piece)
                time.sleep(len(piece) / self.bytes_s)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def proxy(monkeypatch):
    import fsspec
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port()[1])
    for name, value in {
        **{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"},
        **{"AWS_ENDPOINT_URL": proxy.url, "AWS_DEFAULT_REGION": "us-east-1"},
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.makedirs("bucket", exist_ok=True)
    system.pipe_file("bucket/stores/there", CONTENT)
    monkeypatch.setattr(store_address, "ANSWER_S", 3.0)
    yield proxy
    s3fs.S3FileSystem.clear_instance_cache()
    proxy.close()
    server.stop()


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.mark.parametrize("most", [0, 1_000_000])
def test_a_server_that_takes_no_more_bytes_is_told(proxy, file, most):
    proxy.most["up"] = most
    began_s = time.monotonic()
    with pytest.raises(DataError, match="cannot be written: no byte has moved for 3 seconds"):
        StoreAddress("s3://bucket/stores").put(file, "here")
    assert time.monotonic() - began_s < 8


@pytest.mark.parametrize("most", [0, 1_000_000])
def test_a_server_that_sends_no_more_bytes_is_told(proxy, tmp_path, most):
    proxy.most["down"] = most
    began_s = time.monotonic()
    with pytest.raises(DataError, match="cannot be read: no byte has moved for 3 seconds"):
        StoreAddress("s3://bucket/stores").fetch("there", tmp_path / "copy")
    assert time.monotonic() - began_s < 8


def test_a_slow_server_is_waited_for_in_both_directions(proxy, file, tmp_path):
    proxy.bytes_s = 400_000
    address = StoreAddress("s3://bucket/stores")
    began_s = time.monotonic()
    address.put(file, "here")
    assert time.monotonic() - began_s > 6
    began_s = time.monotonic()
    address.fetch("here", tmp_path / "copy")
    assert time.monotonic() - began_s > 6
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_a_lost_connection_costs_no_run(proxy, file, tmp_path):
    address = StoreAddress("s3://bucket/stores")
    proxy.most["up"], proxy.cuts = 1_000_000, 3
    address.put(file, "here")
    proxy.most["down"], proxy.cuts = 1_000_000, 3
    address.fetch("here", tmp_path / "copy")
    assert proxy.cuts == 0
    assert (tmp_path / "copy").read_bytes() == CONTENT
