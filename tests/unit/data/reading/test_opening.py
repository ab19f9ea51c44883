from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nextfill.data.reading.opening import open_bytes, reading, seekable, text_lines
from nextfill.errors import DataError


@pytest.fixture(params=["x.txt", "x.txt.gz", "x.TXT.GZ"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    content = b"\xef\xbb\xbfone\r\ntwo\x0c\xe2\x80\xa8\nthree"
    path = tmp_path / request.param
    packed = path.suffix.lower() == ".gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def test_compression_is_undone(path: Path) -> None:
    with open_bytes(path) as file:
        assert file.read().endswith(b"\nthree")
    with seekable(path) as file:
        file.seek(-5, 2)
        assert file.read() == b"three"


def test_lines_end_at_newlines_only(path: Path) -> None:
    assert list(text_lines(path, "x")) == [(1, "one\r\n"), (2, "two\x0c\u2028\n"), (3, "three")]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the name: cannot be read: No such file"):
        list(text_lines(tmp_path / "none.txt", "the name"))
    with (
        pytest.raises(DataError, match="the name: the gzip data are cut short"),
        reading("the name"),
    ):
        raise EOFError
