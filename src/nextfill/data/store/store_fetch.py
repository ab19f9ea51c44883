"""Stores of the cache and those at an address: which are there, and the beginning of a copy."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

from nextfill.core.locks import MACHINE, hold_folder
from nextfill.core.shared_cache import make_folder, open_to_group
from nextfill.data.store.cache_place import CachePlace
from nextfill.data.store.store_address import StoreAddress
from nextfill.data.store.store_copy import fetch_file, recorded_address, write_address
from nextfill.data.store.store_integrity import FETCHED, DamagedStoreError, files_of, read_meta
from nextfill.data.store.store_upload import META, upload_store

logger = logging.getLogger("nextfill")


def is_kept(path: Path, place: CachePlace) -> bool:
    """Check that a store of the cache is at the address, where there is one."""
    if place.store is None:
        return True
    there = place.store.read(f"{path.name}/{META}")
    return recorded_address(path) == place.store and there == (path / META).read_bytes()


def keep_at_address(path: Path, place: CachePlace) -> None:
    """Upload a store of the cache to the address, where there is one and it is not there.

    Raises:
        DamagedStoreError: It is a copy that lacks tokens, and they are no more at the address.
    """
    if place.store is None or is_kept(path, place):
        return
    if place.store.read(f"{path.name}/{META}") == (path / META).read_bytes():
        write_address(path, place.store)
        return
    here = all((path / name).is_file() for name, _ in files_of(read_meta(path)))
    if recorded_address(path) == place.store and not here:
        raise DamagedStoreError(path, f"it lacks tokens, and is not at {place.store.name} any more")
    upload_store(path, place.store)


def fetch_store(path: Path, address: StoreAddress) -> bool:
    """Begin the copy of a store at an address; return False where none is there, or a damaged one.

    Args:
        path: The folder of the copy, whose name is the store's key.
        address: Where the store is.

    Raises:
        DataError: The address cannot be read, or this disk cannot be written.
    """
    content = address.read(f"{path.name}/{META}")
    if content is None:
        return False
    folder = path.with_name(f"{path.name}.tmp-{os.getpid()}-{time.monotonic_ns()}-{MACHINE}")
    make_folder(folder)
    held = hold_folder(folder)
    try:
        (folder / META).write_bytes(content)
        open_to_group(folder / META)
        try:
            meta = read_meta(folder)
        except DamagedStoreError as error:
            logger.warning(
                "the token store %s at %s is damaged: %s; it is made again",
                *(path.name, address.name, error.damage),
            )
            return False
        for name, expected in files_of(meta):
            if name.endswith(FETCHED):
                continue
            make_folder((folder / name).parent)
            fetch_file(address, f"{path.name}/{name}", folder / name, expected)
        write_address(folder, address)
        folder.rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
    return True
