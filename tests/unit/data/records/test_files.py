"""A remembered digest is believed only while nothing of the file can have changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from nextfill.core.shared_cache import remember
from nextfill.data.records import files as digest
from nextfill.data.records.files import content_hash, remembering

LONG_AGO_NS = 10**18


@pytest.fixture
def reads(monkeypatch):
    """The files whose bytes were read."""
    found = []
    really = digest._hash

    def noted(path: Path) -> str:
        found.append(path.name)
        return really(path)

    monkeypatch.setattr(digest, "_hash", noted)
    return found


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that was changed well before now."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"one")
    later_ns = time.time_ns() + 10 * digest.SURE_NS
    monkeypatch.setattr(digest.time, "time_ns", lambda: later_ns)
    return path


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_has_not_changed_is_read_once(file, tmp_path, reads):
    for _ in range(3):
        with remembering(tmp_path / "cache", verify=False):
            assert content_hash(file) == sha(b"one")
    assert reads == ["a.txt"]


def test_verifying_reads_again_and_finds_what_was_hidden(file, tmp_path, reads):
    cache = tmp_path / "cache"
    with remembering(cache, verify=False):
        content_hash(file)
    [record] = (cache / "digests").iterdir()
    about = json.loads(record.read_bytes())["about"]
    remember(record, about, sha(b"other"))
    with remembering(cache, verify=False):
        assert content_hash(file) == sha(b"other")  # believed
    with remembering(cache, verify=True):
        assert content_hash(file) == sha(b"one")
    with remembering(cache, verify=False):
        assert content_hash(file) == sha(b"one")
    assert len(reads) == 2


def test_a_change_of_the_same_size_with_its_time_put_back_is_seen(file, tmp_path, reads):
    with remembering(tmp_path / "cache", verify=False):
        content_hash(file)
        before = file.stat()
        time.sleep(0.02)  # the kernel's clock goes in steps of some milliseconds
        file.write_bytes(b"two")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert content_hash(file) == sha(b"two")


def test_a_file_put_in_its_place_is_seen(file, tmp_path, reads):
    other = tmp_path / "b.txt"
    other.write_bytes(b"two")
    before = file.stat()
    with remembering(tmp_path / "cache", verify=False):
        content_hash(file)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(file)
        assert content_hash(file) == sha(b"two")


def test_a_file_that_was_just_changed_is_not_remembered(tmp_path, reads):
    file = tmp_path / "a.txt"
    file.write_bytes(b"one")
    for _ in range(2):
        with remembering(tmp_path / "cache", verify=False):
            content_hash(file)
    assert len(reads) == 2
    assert not (tmp_path / "cache").exists()


def test_a_damaged_record_is_not_believed(file, tmp_path, reads):
    cache = tmp_path / "cache"
    with remembering(cache, verify=False):
        content_hash(file)
    [record] = (cache / "digests").iterdir()
    whole = record.read_text()
    damages = ("", "[]", "[" * 200_000, '{"about": 3}', whole.replace(sha(b"one"), sha(b"other")))
    for damage in damages:
        record.write_text(damage)
        with remembering(cache, verify=False):
            assert content_hash(file) == sha(b"one")
        assert record.read_text() == whole
    assert len(reads) == 1 + len(damages)


def test_the_record_of_another_file_is_not_believed(file, tmp_path, reads):
    cache = tmp_path / "cache"
    with remembering(cache, verify=False):
        content_hash(file)
        [record] = (cache / "digests").iterdir()
        about = json.loads(record.read_bytes())["about"]
        remember(record, ["/elsewhere.txt", about[1]], sha(b"other"))
        assert content_hash(file) == sha(b"one")


def test_a_cache_that_cannot_be_written_does_no_harm(file, tmp_path, reads):
    (tmp_path / "cache").write_text("no folder")
    with remembering(tmp_path / "cache", verify=False):
        assert content_hash(file) == sha(b"one")


def test_nothing_is_remembered_unasked(file, tmp_path, reads):
    content_hash(file)
    content_hash(file)
    assert len(reads) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
