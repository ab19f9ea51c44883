"""A cache that several people share, tried as two users of one group."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from nextfill.api.cache import list_cache, prune_cache
from nextfill.core.errors import DataError, NextfillError
from nextfill.core.locks import _used
from nextfill.core.shared_cache import recall, remember
from nextfill.data.document import Document, ReadCounts
from nextfill.data.records.python_data.input_files import write_live
from nextfill.data.store.disk_errors import writing
from nextfill.data.store.store_cache import open_or_write
from nextfill.data.store.word_starts import FILE, open_word_starts

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become two users"
)

ONE, OTHER, GROUP = 12001, 12002, 12009
WORDS = Tokenizer(models.WordLevel({w: i for i, w in enumerate("?abc")}, "?"))
WORDS.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def as_user(user: int, umask: int, work: Callable[[], Any]) -> Any:
    """Do work as a user of the group, in a process that is forked; return what it returns."""
    inside, outside = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([GROUP])
            os.setgid(user)
            os.setuid(user)
            os.umask(umask)
            result: Any = work()
        except NextfillError as error:
            result = error
        except BaseException:  # noqa: BLE001 - told by the process that waits
            result = AssertionError(traceback.format_exc())
        with os.fdopen(outside, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(outside)
    with os.fdopen(inside, "rb") as pipe:
        result = pickle.load(pipe)  # noqa: S301
    os.waitpid(child, 0)
    if isinstance(result, AssertionError):
        raise result
    return result


def read() -> tuple[Iterator[Document], ReadCounts]:
    return iter([Document("a b c", 0)]), ReadCounts(1, 1)


def prepare(cache: Path, name: str = "x") -> tuple[Path, list[int], bool]:
    """Open the store of a name or make it; return where it is, its tokens, and if it was there."""
    store, reused = open_or_write(cache, {"name": name}, read, WORDS, name=name)
    return store.path, store.tokens(0).tolist(), reused


def prune(cache: Path, **keywords: object) -> dict[str, list[str]]:
    """Remove every store that may be removed; return the names by what became of them."""
    done = prune_cache(cache_dir=str(cache), **{"older_than": "0s", **keywords}).to_json()
    kinds = ("removed", "in_use", "not_allowed")
    return {kind: [entry["name"] for entry in done[kind]] for kind in kinds}


@pytest.fixture(autouse=True, scope="module")
def _imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import what is used, which lies where another user may not read."""
    cache = tmp_path_factory.mktemp("first")
    path, _, _ = prepare(cache)
    store, _ = open_or_write(cache, {"name": "x"}, read, WORDS)
    open_word_starts(store, WORDS)
    write_live(["one"], cache)
    prune(cache)
    os.close(_used.pop(path))


@pytest.fixture
def above() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="nextfill-group-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shared(above: Path) -> Path:
    """A cache that the group may write."""
    return folder_of(above / "cache", 0o2770)


def folder_of(path: Path, mode: int, user: int = 0) -> Path:
    path.mkdir()
    os.chown(path, user, GROUP)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "umasks"),
    [
        (0o2770, (0o077, 0o002)),
        (0o770, (0o077, 0o077)),
        (0o2775, (0o002, 0o077)),
        (0o3770, (0o022, 0o022)),
    ],
)
def test_a_group_shares_what_its_members_make(
    above: Path, mode: int, umasks: tuple[int, int]
) -> None:
    cache = folder_of(above / "cache", mode)
    one, other = umasks
    path, tokens, reused = as_user(ONE, one, partial(prepare, cache))
    assert (tokens, reused) == ([1, 2, 3], False)
    os.utime(path / "meta.json", (0, 0))
    assert as_user(OTHER, other, partial(prepare, cache)) == (path, tokens, True)
    assert (path / "meta.json").stat().st_mtime > 0  # its use was noted
    assert as_user(OTHER, other, partial(prepare, cache, "y"))[2] is False

    def find_words() -> list[bool]:
        store, _ = open_or_write(cache, {"name": "x"}, read, WORDS)
        (starts,) = open_word_starts(store, WORDS)
        assert (store.folder(0) / FILE).stat().st_uid == OTHER
        return starts.tolist()  # type: ignore[no-any-return]

    assert as_user(OTHER, other, find_words) == [True] * 3
    for found in [*cache.rglob("*")]:
        status = found.stat()
        rights = stat.S_IRWXG if found.is_dir() else stat.S_IRGRP | stat.S_IWGRP
        assert (status.st_gid, status.st_mode & rights) == (GROUP, rights), found
    assert as_user(ONE, one, partial(prune, cache))["removed"] == ["x", "y"]
    assert list((cache / "stores").iterdir()) == []


def test_what_is_remembered_and_handed_over_is_shared(shared: Path) -> None:
    facts = shared / "tokenizers" / "a.json"
    as_user(ONE, 0o077, partial(remember, facts, "a", [1]))
    assert as_user(OTHER, 0o077, partial(recall, facts, "a")) == [1]
    as_user(OTHER, 0o077, partial(remember, facts, "a", [2]))
    assert as_user(ONE, 0o077, partial(recall, facts, "a")) == [2]
    path = as_user(ONE, 0o077, partial(write_live, ["one"], shared))
    assert as_user(OTHER, 0o077, partial(write_live, ["one"], shared)) == path
    assert path.stat().st_uid == ONE
    path.chmod(0o600)  # what cannot be read is written again
    assert as_user(OTHER, 0o077, partial(write_live, ["one"], shared)) == path
    assert path.stat().st_uid == OTHER


def test_the_umask_decides_where_the_folder_asks_for_no_group(above: Path) -> None:
    cache = folder_of(above / "cache", 0o755, ONE)
    path, tokens, _ = as_user(ONE, 0o077, partial(prepare, cache))
    assert all(stat.S_IMODE(found.stat().st_mode) & 0o077 == 0 for found in cache.rglob("*"))
    shutil.rmtree(cache / "stores")
    as_user(ONE, 0o022, partial(prepare, cache))
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    # Another user reads what is there, and is told where something would have to be made.
    assert as_user(OTHER, 0o022, partial(prepare, cache)) == (path, tokens, True)
    refused = as_user(OTHER, 0o022, partial(prepare, cache, "y"))
    assert isinstance(refused, DataError)
    assert "Permission denied" in str(refused)
    assert "--cache-dir" in str(refused)


@pytest.mark.parametrize("closed", ["", "meta.json", "shard-00000", "shard-00000/tokens.bin"])
def test_a_store_that_is_closed_to_us_is_no_damaged_one(shared: Path, closed: str) -> None:
    path, _, _ = as_user(ONE, 0o077, partial(prepare, shared))
    (path / closed).chmod(0)
    refused = as_user(OTHER, 0o002, partial(prepare, shared))
    assert isinstance(refused, DataError)
    assert "may not be read" in str(refused)
    assert f"belongs to user {ONE}" in str(refused)
    assert f"chmod -R g+rwX {path}" in str(refused)
    assert [found.name for found in (shared / "stores").iterdir()] == [path.name]
    listing = as_user(OTHER, 0o002, lambda: list_cache(cache_dir=str(shared)).to_json())
    assert len(listing["entries"]) == 1


def test_another_users_damaged_store_is_made_again_where_the_folder_lets_us(shared: Path) -> None:
    path, tokens, _ = as_user(ONE, 0o077, partial(prepare, shared))
    damaged = path / "shard-00000" / "tokens.bin"
    damaged.write_bytes(np.array([3, 3, 3], "<u2").tobytes())
    (shared / "stores").chmod(0o3770)
    refused = as_user(OTHER, 0o002, partial(prepare, shared))
    assert isinstance(refused, DataError)
    assert "damaged and cannot be replaced: tokens.bin of shard 0" in str(refused)
    assert f"belongs to user {ONE}" in str(refused)
    (shared / "stores").chmod(0o2770)
    assert as_user(OTHER, 0o002, partial(prepare, shared)) == (path, tokens, False)
    assert path.stat().st_uid == OTHER


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_lock_that_we_may_not_write_does_not_keep_us(shared: Path, mode: int) -> None:
    path, tokens, _ = as_user(ONE, 0o022, partial(prepare, shared))
    (shared / "locks" / path.name).chmod(mode)
    shutil.rmtree(path)
    assert as_user(OTHER, 0o022, partial(prepare, shared)) == (path, tokens, False)


def test_pruning_leaves_what_is_not_ours(shared: Path) -> None:
    path, tokens, _ = as_user(ONE, 0o022, partial(prepare, shared))
    left = shared / "stores" / "k.tmp-1-1"
    folder_of(left, 0o755, ONE)
    os.utime(left, (0, 0))
    not_allowed = {"removed": [], "in_use": [], "not_allowed": ["x", left.name]}

    (shared / "stores").chmod(0o3770)
    for keywords in ({"dry_run": True}, {}, {"max_size": "0B"}):
        assert as_user(OTHER, 0o022, partial(prune, shared, **keywords)) == not_allowed
    # As it was made before: nobody else may empty it, so that half of it would be left.
    (shared / "stores").chmod(0o2770)
    (path / "shard-00000").chmod(0o2755)
    assert as_user(OTHER, 0o022, partial(prune, shared)) == not_allowed
    assert as_user(OTHER, 0o022, partial(prepare, shared)) == (path, tokens, True)
    assert as_user(ONE, 0o022, partial(prune, shared))["removed"][0] == "x"


def test_pruning_by_another_spares_what_we_use(shared: Path) -> None:
    path, _, _ = as_user(ONE, 0o077, partial(prepare, shared))
    prepare(shared)  # by this process, which holds it
    try:
        assert as_user(OTHER, 0o077, partial(prune, shared))["in_use"] == ["x"]
    finally:
        os.close(_used.pop(path))
    assert as_user(OTHER, 0o077, partial(prune, shared))["removed"] == ["x"]


def test_a_cache_that_may_not_be_listed(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tokens, _ = as_user(ONE, 0o077, partial(prepare, shared))
    (shared / "stores").chmod(0o2730)
    assert as_user(OTHER, 0o077, partial(prepare, shared)) == (path, tokens, True)
    monkeypatch.setenv("NEXTFILL_CACHE_LIMIT", "1")
    assert as_user(OTHER, 0o077, partial(prepare, shared, "y"))[2] is False
    for command in (partial(prune, shared), partial(list_cache, cache_dir=str(shared))):
        refused = as_user(OTHER, 0o077, command)
        assert isinstance(refused, DataError)
        assert f"{shared / 'stores'} may not be listed" in str(refused)


def test_what_another_left_behind_does_not_stop_us(shared: Path) -> None:
    for folder, name in (("stores", "k.tmp-1-1"), ("inputs", ".1-1.tmp")):
        above = folder_of(shared / folder, 0o3770)
        left = folder_of(above / name, 0o700, ONE)
        os.utime(left, (0, 0))
    assert as_user(OTHER, 0o022, partial(prepare, shared))[2] is False
    assert isinstance(as_user(OTHER, 0o022, partial(write_live, ["one"], shared)), Path)


def test_a_disk_share_that_is_used_up_is_told(tmp_path: Path) -> None:
    used_up = pytest.raises(DataError, match="your share of the disk is used up; make room or name")
    with used_up, writing(tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
