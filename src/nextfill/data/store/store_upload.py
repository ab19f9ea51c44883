"""The upload of a token store to an address, shard by shard while it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nextfill.core.background import Background, BackgroundCall
from nextfill.data.store.cache_entries import entries
from nextfill.data.store.cache_place import CachePlace
from nextfill.data.store.eviction import keep_within_limit, limit_bytes
from nextfill.data.store.store_address import StoreAddress
from nextfill.data.store.store_copy import copy_of, write_address
from nextfill.data.store.store_integrity import FETCHED, check_file, files_of, read_meta

META = "meta.json"


class StoreUpload:
    """The upload of one store, a shard of it beside the writing of the next.

    What is at the address already makes room for what is not, so that a store may be larger than
    the cache.

    Args:
        address: Where stores lie.
        key: The name of the store there.
        place: The cache, with its limit.
    """

    def __init__(self, address: StoreAddress, key: str, place: CachePlace) -> None:
        self._address, self._key, self._place = address, key, place
        self._background = Background()
        self._call: BackgroundCall[None] | None = None
        self._there: list[Path] = []  # folders of shards that are at the address

    def begin(self, folder: Path) -> None:
        """Make a folder to write to a copy, once it is seen that the address can be written."""
        self._address.check_writable()
        write_address(folder, self._address)

    def add_shard(self, folder: Path, described: Mapping[str, Any]) -> None:
        """Upload a shard that is written, once it is seen that the disk holds it."""
        self._wait()
        for name, expected in described["files"].items():
            check_file(folder.parent, f"{folder.name}/{name}", expected, fresh=True)

        def put() -> None:
            for name in described["files"]:
                self._address.put(folder / name, f"{self._key}/{folder.name}/{name}")
            self._there.append(folder)

        self._call = self._background.begin(put)

    def finish(self, folder: Path) -> None:
        """Upload ``meta.json``, by which the store is whole at the address."""
        self._wait()
        self._address.put(folder / META, f"{self._key}/{META}")

    def close(self) -> None:
        """End the thread."""
        self._background.leave()

    def _wait(self) -> None:
        """Wait for the shard before, and make room where the cache is over its limit."""
        if self._call is not None:
            self._call.result()
            self._call = None
            self._remove_behind()

    def _remove_behind(self) -> None:
        """Remove tokens that are at the address, the oldest first, as far as the limit asks."""
        folder = self._there[0].parent
        keep_within_limit(self._place, spared=folder)
        own = self._place.limit_bytes
        most = limit_bytes(self._place.folder) if own is None else own
        over = sum(entry.size_bytes for entry in entries(self._place.folder)) - most
        while over > 0 and self._there:
            shard = self._there.pop(0)
            for file in (shard / name for name in FETCHED):
                if file.exists():
                    over -= file.stat().st_size
                    file.unlink()


def upload_store(path: Path, address: StoreAddress) -> None:
    """Upload a store of the cache, and make it a copy of that at the address.

    A store that lacks tokens is a copy of one at another address, where they are.
    """
    address.check_writable()
    copy = copy_of(path)
    for name, _ in files_of(read_meta(path)):
        shard, _, file = name.partition("/")
        if copy is not None:
            copy.open(int(shard.removeprefix("shard-")), file).close()
        address.put(path / name, f"{path.name}/{name}")
    address.put(path / META, f"{path.name}/{META}")
    write_address(path, address)
