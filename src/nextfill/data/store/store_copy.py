"""The local copy of a token store at an address: shards fetched when needed, and ahead of that.

A copy is a store's folder in the cache that has ``meta.json`` and the rows of all documents, and of
the tokens those shards that the cache has room for. Each file is compared with its checksum when it
comes. Shards that are behind the reading make room for those that are ahead of it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from nextfill.core.background import Background, BackgroundCall
from nextfill.core.checksums import file_checksum
from nextfill.core.errors import DataError
from nextfill.core.shared_cache import UNREADABLE, write_for_group
from nextfill.data.store.cache_entries import entries
from nextfill.data.store.cache_place import LIMIT_FLAG, CachePlace
from nextfill.data.store.eviction import keep_within_limit, limit_bytes
from nextfill.data.store.store_address import StoreAddress
from nextfill.data.store.store_integrity import ADDRESS, FETCHED, read_meta, shard_name

logger = logging.getLogger("nextfill")

Tokens = NDArray[np.unsignedinteger]

T = TypeVar("T")

TOKENS = FETCHED[0]

_TRIES = 3
"""Times that a file is looked for which another process may remove to make room."""


class _OtherBytesError(Exception):
    """A file came with other bytes than were expected, and is not put in its place."""


def write_address(folder: Path, address: StoreAddress) -> None:
    """Write down where a store gets what it lacks."""
    with write_for_group(folder / ADDRESS, durable=True) as beside:
        beside.write_text(json.dumps({"address": address.address}) + "\n", encoding="utf-8")


def recorded_address(folder: Path) -> StoreAddress | None:
    """Return where a store gets what it lacks; None for one that is no copy."""
    try:
        return StoreAddress(str(json.loads((folder / ADDRESS).read_bytes())["address"]))
    except (*UNREADABLE, KeyError, TypeError):
        return None


def fetch_file(address: StoreAddress, name: str, file: Path, expected: Mapping[str, Any]) -> None:
    """Fetch a file below an address to its place, once it holds what is expected.

    Raises:
        DataError: It cannot be fetched, or holds other bytes, a second time as well.
    """
    found: Mapping[str, Any] = {}
    for _ in range(2):
        try:
            with suppress(_OtherBytesError), write_for_group(file) as beside:
                address.fetch(name, beside)
                found = file_checksum(beside)
                if found != expected:
                    raise _OtherBytesError
        except OSError as error:
            raise DataError(
                f"tokens cannot be written to {file.parent}: {error.strerror or error}; make room "
                "or name another folder with --cache-dir"
            ) from error
        if found == expected:
            return
    raise DataError(
        f"{address.name}/{name} holds other bytes than were written ({found['bytes']:,} of them, "
        f"{expected['bytes']:,} expected). Remove {name.partition('/')[0]} there, and prepare the "
        "data again."
    )


class StoreCopy:
    """The shards of one copy that are here, for all readers of this process.

    Args:
        path: The folder of the copy.
        address: Where it gets what it lacks.
        place: The cache that it is in, with its limit.
    """

    def __init__(self, path: Path, address: StoreAddress, place: CachePlace) -> None:
        self.path, self.address, self.place = path, address, place
        meta = read_meta(path)
        self._shards: Sequence[Mapping[str, Any]] = meta["shards"]
        self._dtype = np.dtype(meta["dtype"])
        self._maps: OrderedDict[int, Tokens] = OrderedDict()  # the last used at the end
        self._wanted: frozenset[int] = frozenset()
        self._ahead: list[int] = []
        self._is_told = False
        self._is_over = False  # which is told once
        self._lock = threading.RLock()  # of what is above
        self._fetching = threading.Lock()  # of the files that are here
        self._background = Background()
        self._call: BackgroundCall[None] | None = None

    def tokens(self, shard: int) -> Tokens:
        """Return the mapped ids of a shard, ``[tokens]``, fetched where they are not here."""
        with self._lock:
            if (found := self._maps.get(shard)) is not None:
                self._maps.move_to_end(shard)
                return found
        mapped = self._when_here(shard, TOKENS, self._mapped)
        with self._lock:
            mapped = self._maps.setdefault(shard, mapped)
            if not self._is_told:  # from the first to the last
                self._wanted, self._ahead = frozenset([shard]), [shard + 1]
        self._fetch_ahead()
        return mapped

    def mapped(self, shard: int) -> Tokens | None:
        """Return the ids of a shard that is in use already."""
        return self._maps.get(shard)

    def _mapped(self, file: Path) -> Tokens:
        # A plain array over the map: np.memmap's own indexing is several times slower.
        return np.asarray(np.memmap(file, self._dtype, mode="r"))

    def open(self, shard: int, name: str) -> BinaryIO:
        """Open a file of a shard, fetched where it is not here."""
        return self._when_here(shard, name, lambda file: file.open("rb"))

    def _when_here(self, shard: int, name: str, use: Callable[[Path], T]) -> T:
        """Use a file, before another thread can make room by removing it."""
        file = self.path / shard_name(shard) / name
        for _ in range(_TRIES - 1):
            with suppress(FileNotFoundError), self._fetching:
                self._bring(shard, name, needed=True)
                return use(file)
        with self._fetching:
            self._bring(shard, name, needed=True)
            return use(file)

    def expect(self, wanted: Iterable[int], ahead: Iterable[int]) -> None:
        """Tell which shards are read now, and which ones after that, in their order."""
        with self._lock:
            self._is_told = True
            self._wanted, self._ahead = frozenset(wanted), list(ahead)
        self._fetch_ahead()

    @property
    def fixed_bytes(self) -> int:
        """The bytes of what is here as long as the copy is: all but tokens and columns."""
        size = 0
        for file in self.path.rglob("*"):
            with suppress(FileNotFoundError):  # another process has just put it in its place
                is_counted = file.name not in FETCHED and file.is_file()
                size += file.stat().st_size if is_counted else 0
        return size

    def sizes(self) -> list[int]:
        """Return the bytes of tokens of each shard."""
        return [self._size(shard, TOKENS) for shard in range(len(self._shards))]

    @property
    def limit_bytes(self) -> int:
        """The most bytes of the cache."""
        own = self.place.limit_bytes
        return limit_bytes(self.place.folder) if own is None else own

    def _size(self, shard: int, name: str) -> int:
        return int(self._shards[shard]["files"].get(name, {"bytes": 0})["bytes"])

    def _here(self, name: str) -> list[int]:
        """Return the shards that have a file here."""
        shards = range(len(self._shards))
        return [shard for shard in shards if (self.path / shard_name(shard) / name).exists()]

    def _fetch_ahead(self) -> None:
        """Begin to fetch the shards to come, as far as there is room."""
        with self._lock:
            is_under_way = self._call is not None and not self._call.is_done
            missing = [one for one in self._ahead if one < len(self._shards)]
            missing = [one for one in missing if not self._is_here(one)]
            if missing and not is_under_way:
                self._call = self._background.begin(self._fetch_those_ahead)
                self._background.end_after()  # nobody ends a copy

    def _is_here(self, shard: int) -> bool:
        return (self.path / shard_name(shard) / TOKENS).exists()

    def _fetch_those_ahead(self) -> None:
        """Fetch the shards to come; an error is told to the reader that needs one of them."""
        while True:
            with self._lock:
                ahead = [one for one in self._ahead if one < len(self._shards)]
            shard = next((one for one in ahead if not self._is_here(one)), None)
            try:
                if shard is None:
                    return
                with self._fetching:
                    if not self._bring(shard, TOKENS, needed=False):
                        return
            except DataError as error:
                logger.debug("not fetched ahead: %s", error)
                return

    def _bring(self, shard: int, name: str, *, needed: bool) -> bool:
        """Fetch a file unless it is here; return False where there is no room for it yet."""
        file = self.path / shard_name(shard) / name
        if file.exists():
            return True
        expected = self._shards[shard]["files"][name]
        if not self._make_room(shard, int(expected["bytes"]), needed=needed):
            return False
        fetch_file(self.address, f"{self.path.name}/{shard_name(shard)}/{name}", file, expected)
        return True

    def _make_room(self, shard: int, size: int, *, needed: bool) -> bool:
        """Remove what is behind the reading, and other stores that are not in use."""
        keep_within_limit(self.place, spared=self.path, room_bytes=size)
        over = (
            sum(entry.size_bytes for entry in entries(self.place.folder)) + size - self.limit_bytes
        )
        for one in self._removable(shard, needed=needed):
            if over <= 0:
                break
            over -= self._drop(one)
        if needed and over > 0 and not self._is_over:
            self._is_over = True
            logger.warning(
                "the cache is over its limit of %.1f MB by the tokens that are read: give %s %sMB, "
                "or name another folder with --cache-dir",
                *(self.limit_bytes / 1e6, LIMIT_FLAG, (self.limit_bytes + over) // 10**6 + 1),
            )
        return over <= 0 or needed

    def _removable(self, shard: int, *, needed: bool) -> list[int]:
        """Return the shards that may go for another one, those that are missed least first."""
        with self._lock:
            here = dict.fromkeys([*self._here(TOKENS), *self._here(FETCHED[1])])
            used = [one for one in self._maps if one in here]
            by_use = [*(one for one in here if one not in self._maps), *used]
            behind = [one for one in by_use if one not in self._wanted and one not in self._ahead]
            later = [one for one in reversed(self._ahead) if one in here]
            if not needed:
                place = self._ahead.index(shard) if shard in self._ahead else len(self._ahead)
                return behind + [one for one in later if self._ahead.index(one) > place]
            return [one for one in dict.fromkeys([*behind, *later, *by_use]) if one != shard]

    def _drop(self, shard: int) -> int:
        """Remove the files of a shard that can be fetched again; return their bytes."""
        with self._lock:
            self._maps.pop(shard, None)
        freed = 0
        for name in FETCHED:
            file = self.path / shard_name(shard) / name
            with suppress(FileNotFoundError):
                freed += file.stat().st_size
                file.unlink()
        return freed


_copies: dict[Path, StoreCopy] = {}
"""The copies that this process reads, by their folders."""

os.register_at_fork(after_in_child=_copies.clear)  # a child has none of the threads


def copy_of(path: Path, place: CachePlace | None = None) -> StoreCopy | None:
    """Return the copy at a store's folder, None for a store that is whole by itself.

    Args:
        path: The folder.
        place: The cache with its limit, as the settings say; None for the environment's.
    """
    known = _copies.get(path)
    address = recorded_address(path)
    if address is None:
        _copies.pop(path, None)
        return None
    if known is None or known.address != address:
        known = _copies[path] = StoreCopy(path, address, place or CachePlace(path.parent.parent))
    elif place is not None:
        known.place = place
    return known


def forget_copy(path: Path) -> None:
    """Forget what is mapped of a copy whose files are to be others."""
    _copies.pop(path, None)
