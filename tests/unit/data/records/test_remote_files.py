"""Files at addresses: a small server of our own, and fsspec's memory."""

from __future__ import annotations

import io
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextfill.core.errors import DataError
from nextfill.core.url_redaction import redacted
from nextfill.data.records import remote_files as urls
from nextfill.data.records.sources import open_source

SECRET = "hunter2"  # noqa: S105


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        path = self.path.partition("?")[0]
        content = self.files.get(path, b"")
        if path == "/slow.txt":
            time.sleep(3)
        status = 200 if path in self.files else 403 if "secret" in path else 404
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) + 9 * (path == "/cut.txt")))
        if path == "/marked.txt":
            self.send_header("ETag", f'"{hash(content)}"')
        self.end_headers()
        if body:
            self.wfile.write(content)
        self.close_connection = True


class Server(ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        """Say nothing of a client that has gone, as one whose patience has ended."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(urls, "READ_S", 0.5)
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["t0", "t1"]}), sink)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("b.md", "b")
        archive.writestr("a.txt", "a")
    Handler.files = {
        "/a.txt": b"one\n\ntwo",
        "/large.txt": b"line of text\n" * 1_000_000,
        "/marked.txt": b"one",
        "/cut.txt": b"one",
        "/slow.txt": b"one",
        "/t.parquet": sink.getvalue(),
        "/x.zip": packed.getvalue(),
        "/index/": b'<a href="b.txt">b</a> <a href="a.txt">a</a> <a href="p.png">p</a>',
        "/index/a.txt": b"a",
        "/index/b.txt": b"b",
        "/index/p.png": b"p",
    }
    with Server(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def values(spec: str, **options: object) -> list[object]:
    return [record.value for record in open_source(spec, **options).read()]


def fail(spec: str, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        values(spec, **options)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_files_of_the_web(server: str) -> None:
    assert values(f"{server}/a.txt") == ["one", "two"]
    assert len(values(f"{server}/large.txt", txt="line")) == 1_000_000
    assert values(f"{server}/t.parquet") == [{"text": "t0"}, {"text": "t1"}]
    assert values(f"{server}/x.zip") == ["a", "b"]
    assert values(f"{server}/index/*.txt") == ["a", "b"]
    source = open_source(f"{server}/index/*")
    assert source.left_out == {"no text format (.png)": 1}
    where = next(source.read()).where
    assert where == f"{server}/index/a.txt"


def test_the_fingerprint_follows_the_content(server: str) -> None:
    for name in ("/a.txt", "/marked.txt"):
        source = open_source(server + name)
        assert open_source(server + name).fingerprint == source.fingerprint
        Handler.files[name] = b"changed"
        assert open_source(server + name).fingerprint != source.fingerprint
        if name == "/marked.txt":
            with pytest.raises(DataError, match="changed while it was read"):
                list(source.read())


def test_what_goes_wrong_says_so_and_hides_secrets(server: str) -> None:
    secret = server.replace("://", f"://me:{SECRET}@")
    tail = f"?signature={SECRET}"
    assert "there is no such file" in fail(f"{secret}/none.txt{tail}")
    assert "403" in fail(f"{secret}/secret.txt{tail}")
    assert "cannot be read" in fail(f"{secret}/cut.txt{tail}")
    assert "cannot tell the format" in fail(f"{secret}/index/{tail}")
    assert "Timeout" in fail(f"{secret}/slow.txt{tail}")
    assert "Connect call failed" in fail(f"http://me:{SECRET}@127.0.0.1:9/a.txt{tail}")
    assert "no file" in fail(f"{server}/index/*.md")
    source = open_source(f"{secret}/a.txt{tail}")
    assert source.name == f"{redacted(secret)}/a.txt?***"
    assert next(source.read()).where == f"{source.name}:1"


def test_what_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Protocol not known: nowhere" in fail("nowhere://x/a.txt")
    assert "cannot be used" in fail("http://[bad/a.txt")
    assert "joined with ::" in fail("zip://a.txt::https://x.org/a.zip")
    for scheme, extra in (("s3", "s3"), ("gs", "gcs")):
        monkeypatch.setitem(sys.modules, f"{extra}fs", None)
        message = fail(f"{scheme}://bucket/{SECRET}/a.txt".replace(SECRET, "x"))
        assert f"pip install 'nextfill[{extra}]'" in message


def test_folders_and_globs_of_a_file_system() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("b.txt", "a/c.md", "p.png", "a/.hidden.txt", "empty.txt"):
        memory.pipe(f"/notes/{name}", name.encode() * (name != "empty.txt"))
    assert values("memory://notes") == ["a/c.md", "b.txt"]
    assert values("memory://notes/") == ["a/c.md", "b.txt"]
    assert values("memory://notes/*.txt") == ["b.txt"]
    assert values("memory://notes/**/*.md") == ["a/c.md"]
    source = open_source("memory://notes")
    assert source.left_out == {"hidden": 1, "no text format (.png)": 1, "empty": 1}
    assert next(source.read()).where == "memory://notes/a/c.md"
    before = source.fingerprint
    memory.pipe("/notes/b.txt", b"changed")
    assert open_source("memory://notes").fingerprint != before
    assert "no such file" in fail("memory://notes/none.txt")
    assert "found 1 no text format" in fail("memory://notes/*.png")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://x.org/a.txt", "https://x.org/a.txt"),
        ("https://me:pa@ss@x.org:80/a@b.txt", "https://***@x.org:80/a@b.txt"),
        ("https://x.org/a.txt#me", "https://x.org/a.txt#***"),
        ("https://x.org?key=1", "https://x.org?***"),
        ("s3://bucket/a?.txt", "s3://bucket/a?.txt"),
        ("abfs://box/a.txt?sv=1&sig=2", "abfs://box/a.txt?***"),
        ("hf://datasets/me/it@main/a.txt", "hf://datasets/me/it@main/a.txt"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_masking(address: str, shown: str) -> None:
    assert redacted(address) == shown


def test_time_outs_are_given_to_what_asks_the_network() -> None:
    timeout = urls._timeouts("https", "--data")["client_kwargs"]["timeout"]
    assert isinstance(timeout, aiohttp.ClientTimeout)
    assert timeout.sock_connect == urls.CONNECT_S
    of_google = urls._timeouts("gs", "--data")["requests_timeout"]
    assert of_google.total is None  # it would be of a whole answer, however long
    assert of_google.sock_read == urls.GOOGLE_READ_S
    assert urls._timeouts("s3", "--data")["config_kwargs"]["connect_timeout"] == urls.CONNECT_S
