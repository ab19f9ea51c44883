"""Damaged files of every format and compression end with a clear error, or are read: no traceback.

The files are the same for the same seed. 500 take a second, so they run with the quick tests.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from nextfill.core.errors import NextfillError
from nextfill.data.document import ReadCounts
from nextfill.data.records.fields.record_text import documents
from nextfill.data.records.sources import open_source

PATIENCE_S = 5
LONGEST_MESSAGE = 3000
TEXTS = [
    "The river carries old stones.",
    "Zwei Zeilen,\nund “Anführung”.",
    "日本語のテキスト 🦊",
    "",
    'a "quoted", \tvalue',
    "x" * 3000,
]
ROWS = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS * 4)]


def _delimited(mark: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "text"], delimiter=mark)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode()


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=10)
    return sink.getvalue()


def _arrow(make: Callable[..., ipc.RecordBatchStreamWriter], codec: str | None) -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_pylist(ROWS)
    with make(sink, table.schema, options=ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, max_chunksize=10)
    return sink.getvalue()


FORMATS = {
    "txt": "\n\n".join(TEXTS).encode(),
    "md": "\r\n\r\n".join(TEXTS).encode(),
    "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode(),
    "json": json.dumps(ROWS, indent=1).encode(),
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "parquet": _parquet(),
    "arrow": _arrow(ipc.new_stream, None),
    "file.arrow": _arrow(ipc.new_file, None),
    "zstd.arrow": _arrow(ipc.new_file, "zstd"),
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


def _zip() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, text in enumerate(TEXTS):
            archive.writestr(zipfile.ZipInfo(f"notes/{n}.txt"), text)
        archive.writestr(zipfile.ZipInfo("more.txt.gz"), PACK[".gz"](FORMATS["txt"]))
    return sink.getvalue()


ARCHIVE = _zip()


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert(content: bytes, rng: random.Random) -> bytes:
    at, junk = rng.randrange(len(content) + 1), rng.randbytes(rng.choice([1, 2, 8, 300]))
    return content[:at] + rng.choice([junk, bytes(8), b'"', b"\n", b"\xff"]) + content[at:]


def _duplicate(content: bytes, rng: random.Random) -> bytes:
    start, to = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    at = rng.randrange(len(content) + 1)
    return content[:at] + content[start:to] + content[at:]


def _remove(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice([1, 4, 100]) :]


DAMAGE = (_cut, _flip, _insert, _duplicate, _remove)
KINDS = [(name, suffix) for name in FORMATS for suffix in PACK] + [("", ".zip")] * 6


def malformed(number: int, seed: int) -> tuple[str, bytes]:
    """Return the name and the content of a damaged file.

    Args:
        number: Which one; formats and compressions take turns.
        seed: Decides how and where it is damaged.
    """
    rng = random.Random(f"{seed} {number}")
    name, suffix = KINDS[number % len(KINDS)]
    damage = rng.choice(DAMAGE)
    if suffix == ".zip":
        return "x.zip", damage(ARCHIVE, rng)
    content = FORMATS[name]
    if rng.random() < 0.5:  # inside the compression, where it is not seen from outside
        return f"x.{name}{suffix}", PACK[suffix](damage(content, rng))
    return f"x.{name}{suffix}", damage(PACK[suffix](content), rng)


@contextmanager
def in_time() -> Iterator[None]:
    """Interrupt what takes too long."""

    def stop(signum: int, frame: object) -> None:
        raise TimeoutError(f"{PATIENCE_S} s are over")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path) -> str:
    """Read a file to its end; return the message of the error, or an empty string."""
    counts = ReadCounts()
    options = {"text_field": None, "join": " ", "explode": False, "keep": (), "counts": counts}
    try:
        with in_time():
            made = sum(1 for _ in documents(open_source(str(path)), **options))
    except NextfillError as error:
        return str(error)
    assert counts.records == counts.with_text + sum(counts.skipped.values())
    assert counts.with_text == made
    return ""


def check(numbers: range, seed: int, folder: Path) -> Counter[bool]:
    told: Counter[bool] = Counter()
    for number in numbers:
        name, content = malformed(number, seed)
        path = folder / name
        path.write_bytes(content)
        try:
            message = outcome(path)
        except BaseException as error:
            error.add_note(f"file {number} of seed {seed}: {name}")
            raise
        told[bool(message)] += 1
        if message:
            assert name in message, (number, seed)
            assert len(message) < LONGEST_MESSAGE, (number, seed)
            assert message.isprintable() or "\n" in message, (number, seed)
        path.unlink()
    return told


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_without_damage_every_file_is_read(kind: int, tmp_path: Path) -> None:
    name, suffix = KINDS[kind]
    path = tmp_path / (f"x.{name}{suffix}" if name else "x.zip")
    path.write_bytes(PACK[suffix](FORMATS[name]) if name else ARCHIVE)
    plain = name in ("txt", "md") or not name
    counts = ReadCounts()
    field = None if plain else "text"
    options = {"text_field": field, "join": " ", "explode": False, "keep": (), "counts": counts}
    assert any("日本語" in made.text for made in documents(open_source(str(path)), **options))


def test_five_hundred_malformed_files(tmp_path: Path) -> None:
    told = check(range(500), 0, tmp_path)
    assert told[True] > 300  # the others hold other text than before, which nobody can know
    assert told[False] > 50


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_more(seed: int, tmp_path: Path) -> None:
    check(range(5000), seed, tmp_path)


@pytest.mark.trial
def test_at_the_command_line(tmp_path: Path) -> None:
    for number in range(0, 2 * len(KINDS), 7):
        name, content = malformed(number, seed=0)
        path = tmp_path / name
        path.write_bytes(content)
        command = [sys.executable, "-m", "nextfill", "prepare", "--data", path, "--json"]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode in (0, 2), (number, done.stderr)
        assert "Traceback" not in done.stderr, (number, done.stderr)
        path.unlink()
