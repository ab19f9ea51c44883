"""Where records come from: built-in corpora, local files, data sets on the Hub.

A `Source` can be read any number of times and knows what determines its records, so that work
done on them can be found again. Nothing is read into memory whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from nextfill.data.document import Record, Source
from nextfill.data.live.files import live_name
from nextfill.data.reading.opening import reading, seekable
from nextfill.data.reading.readers import READERS, ReadOptions, Row, TxtMode
from nextfill.data.reading.splits import Piece, read_pieces, resolve
from nextfill.errors import DataError, nearest
from nextfill.hub import parse_dataset
from nextfill.paths import user_path

_BUILTIN = "builtin:"
# Part of every fingerprint of a local file: raise it when a reader gives other records than before.
_FORMAT = 1


def open_source(
    spec: str,
    *,
    split: str | None = None,
    txt: TxtMode = "paragraph",
    text_field: str | None = None,
    streaming: bool = False,
) -> Source:
    """Find what a ``--data`` argument names, and check that it can be read.

    Args:
        spec: ``builtin:NAMES``, a local file, or a Hub id (``owner/name``, with ``@revision``, and
            ``:config`` where the data set has several).
        split: A split or slices in the grammar of `datasets`; local files hold ``train`` alone.
            None reads ``train``.
        txt: What a document is in a ``.txt`` file.
        text_field: The field that will be read; ``data[].text`` makes each element of ``data``
            a record where a ``.json`` file is a single object.
        streaming: Read a data set of the Hub as it comes, without downloading it first.

    Returns:
        The source.

    Raises:
        DataError: If it does not exist or cannot be read; says what to type instead.
        ConfigError: If it can be no path.
    """
    if spec.startswith(_BUILTIN):
        return _open_builtin(spec, split)
    path = user_path(spec, "--data")
    if _is_path(spec, path):
        options = ReadOptions(txt, _divide(text_field), text_field)
        return _open_file(live_name(path) or spec, _checked(spec, path), split, options)
    name = parse_dataset(spec)
    if name is None:
        raise DataError(f"--data {spec!r} is neither a file nor a Hub id. {_readable()}")
    from nextfill.data.reading.hub import open_hub

    return open_hub(name, split, text_field, streaming=streaming)


def pinned(spec: str) -> str:
    """Return what a ``--data`` argument names, a data set of the Hub with its present commit.

    Anything else comes back as it is, and so does a data set while the Hub is out of reach.
    """
    if spec.startswith(_BUILTIN) or _is_path(spec, user_path(spec, "--data")):
        return spec
    name = parse_dataset(spec)
    if name is None or name.is_pinned:
        return spec
    from nextfill.data.reading.hub import pin

    return str(pin(name))


def _is_path(spec: str, path: Path) -> bool:
    """Tell a path, perhaps mistyped, from a Hub id."""
    looks_so = spec.startswith((".", "/", "~")) or spec.count("/") > 1
    return (
        bool(spec) and "://" not in spec and (looks_so or _suffix(path) in READERS or path.exists())
    )


def _suffix(path: Path) -> str:
    """Return the format's suffix, without that of the compression."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _readable() -> str:
    """Say what can be read."""
    return (
        f"Read are files ending in {', '.join(READERS)} (each also with .gz), "
        "builtin:NAME, and data sets of the Hugging Face Hub such as owner/name."
    )


def _checked(spec: str, path: Path) -> Path:
    """Return the path if it is a file that can be read."""
    if path.is_dir():
        raise DataError(f"--data {spec!r} is a folder; name a file in it. {_readable()}")
    if not path.exists():
        if name := live_name(path):
            raise DataError(
                f"{spec}: the {name} are no longer in the cache. Pass them again with data=."
            )
        if not path.parent.is_dir():
            raise DataError(f"--data {spec!r}: there is no folder {str(path.parent)!r}.")
        names = sorted(p.name for p in path.parent.iterdir())
        raise DataError(f"--data {spec!r}: there is no such file.{nearest(path.name, names)}")
    if _suffix(path) not in READERS:
        raise DataError(f"--data {spec!r}: cannot tell the format by the name. {_readable()}")
    with reading(spec):
        if path.stat().st_size == 0:
            raise DataError(f"--data {spec!r} is empty (0 bytes).")
    return path


def _divide(text_field: str | None) -> str | None:
    """Return the list that a text field such as ``data[].text`` begins with."""
    head, mark, _ = (text_field or "").partition("[]")
    return head if mark and "." not in head else None


def _open_file(spec: str, path: Path, split: str | None, options: ReadOptions) -> Source:
    """Make the source of a local file, whose only split is ``train``."""
    suffix = _suffix(path)
    reader = READERS[suffix]
    live = live_name(path) is not None

    def rows(_split: str = "train") -> Iterator[Row]:
        found = reader(path, spec, options)
        if not live:
            return found
        # Lines and rows of a file that the user never saw: they know the record's number.
        return ((f"{spec} (record {n})", value) for n, (_, value) in enumerate(found))

    pieces = resolve(split or "train", ["train"], lambda _split: _count(path, spec, rows))
    content, state = _content_hash(path, spec)
    determines = {
        "format": _FORMAT,
        "suffix": suffix,
        "gzip": path.suffix.lower() == ".gz",
        "txt": options.txt if suffix == ".txt" else None,
        "divide": options.divide if suffix == ".json" else None,
        "pieces": [(piece.start, piece.stop) for piece in pieces],
        "content": content,
    }
    digest = hashlib.sha256(json.dumps(determines, sort_keys=True).encode()).hexdigest()

    def read() -> Iterator[Record]:
        yield from _number(spec, split, pieces, rows)
        with reading(spec):
            changed = _state(path.stat()) != state
        if changed:
            raise DataError(f"{spec} changed while it was read; run again.")

    return Source(spec, digest, read, default_text_field=None, has_test_split=False)


def _number(
    spec: str, split: str | None, pieces: tuple[Piece, ...], rows: Callable[[str], Iterator[Row]]
) -> Iterator[Record]:
    """Number the rows of the pieces; no record at all is an error."""
    number = -1
    for number, (where, value) in enumerate(read_pieces(pieces, rows)):
        yield Record(number, value, where)
    if number < 0:
        total = sum(1 for _ in rows("train"))
        chosen = f", so --split {split!r} selects none" if split and total else ""
        raise DataError(f"{spec}: holds {total or 'no'} records{chosen}.")


def _count(path: Path, spec: str, rows: Callable[[], Iterator[Row]]) -> int:
    """Count the records: from the metadata where there are any, else by a pass."""
    if _suffix(path) == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with reading(spec), seekable(path) as file:
            try:
                return int(pq.ParquetFile(file).metadata.num_rows)
            except pa.ArrowException as error:
                raise DataError(f"{spec}: damaged or not Parquet: {error}") from error
    return sum(1 for _ in rows())


def _content_hash(path: Path, spec: str) -> tuple[str, tuple[int, ...]]:
    """Return the SHA-256 of a file's bytes, and the state that it was in before."""
    with reading(spec), path.open("rb") as file:
        state = _state(os.fstat(file.fileno()))
        return hashlib.file_digest(file, "sha256").hexdigest(), state


def _state(stat: os.stat_result) -> tuple[int, ...]:
    """Return what differs after a file was changed or replaced."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _open_builtin(spec: str, split: str | None) -> Source:
    """Make the source of built-in corpora, which hold whole modules out as ``test``."""
    from nextfill.data.corpora import builtin

    names = builtin.parse_names(spec.removeprefix(_BUILTIN))
    pieces = resolve(
        split or "train", ["train", "test"], lambda s: sum(1 for _ in builtin.records(names, s))
    )
    determines = [
        (builtin.fingerprint(names, piece.split), piece.start, piece.stop) for piece in pieces
    ]

    def read() -> Iterator[Record]:
        rows = read_pieces(pieces, partial(builtin.records, names))
        for number, record in enumerate(rows):
            yield Record(number, record.value, record.where)

    digest = hashlib.sha256(json.dumps(determines).encode()).hexdigest()
    return Source(
        spec, digest, read, builtin.TEXT_FIELD, has_test_split=True, default_join=builtin.JOIN
    )
