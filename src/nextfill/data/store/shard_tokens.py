"""The tokens of a store's shards, some of which are copies of what lies at an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.store.cache_entries import entries
from nextfill.data.store.store_copy import StoreCopy, Tokens, copy_of


class ShardTokens(Sequence[Tokens]):
    """The ids of each shard, memory-mapped, ``[tokens]``; those of a copy when they are asked for.

    Args:
        folders: The folder of each shard.
        counts: The number of tokens of each.
        dtype: Their type.
    """

    def __init__(
        self, folders: Sequence[Path], counts: Sequence[int], dtype: np.dtype[np.unsignedinteger]
    ) -> None:
        stores = {folder.parent: copy_of(folder.parent) for folder in folders}
        self._copies = [stores[folder.parent] for folder in folders]
        self._numbers = [int(folder.name.removeprefix("shard-")) for folder in folders]
        self._whole: dict[int, Tokens] = {}
        for shard, (folder, count, copy) in enumerate(
            zip(folders, counts, self._copies, strict=True)
        ):
            if count == 0:  # an empty file cannot be mapped
                self._whole[shard] = np.empty(0, dtype)
            elif copy is None:
                # A plain array over the map: np.memmap's own indexing is several times slower.
                file = folder / "tokens.bin"
                self._whole[shard] = np.asarray(np.memmap(file, dtype, mode="r"))

    def __len__(self) -> int:
        return len(self._copies)

    @overload
    def __getitem__(self, shard: int) -> Tokens: ...
    @overload
    def __getitem__(self, shard: slice) -> Sequence[Tokens]: ...
    def __getitem__(self, shard: int | slice) -> Tokens | Sequence[Tokens]:
        if isinstance(shard, slice):
            return [self[one] for one in range(len(self))[shard]]
        if (whole := self._whole.get(shard)) is not None:
            return whole
        if not -len(self) <= shard < len(self):
            raise IndexError(shard)
        shard %= len(self)
        copy = self._copies[shard]
        return self._whole[shard] if copy is None else copy.tokens(self._numbers[shard])

    def __iter__(self) -> Iterator[Tokens]:
        return (self[shard] for shard in range(len(self)))

    def mapped(self, shard: int) -> Tokens | None:
        """Return the ids of a shard that is in use already, without fetching it."""
        copy = self._copies[shard]
        return self._whole.get(shard) if copy is None else copy.mapped(self._numbers[shard])

    @property
    def has_copies(self) -> bool:
        """Whether some of the shards are copies."""
        return any(self._copies)

    def expect(self, wanted: Sequence[int], ahead: Sequence[int]) -> None:
        """Tell which shards are read now, and which ones after that, in their order."""
        for copy, (now, then) in self._by_copy(wanted, ahead).items():
            copy.expect(now, then)

    def check_room(self, most_shards: int, limit_flag: str) -> None:
        """Refuse a cache without room for the shards that are read at once.

        Args:
            most_shards: How many are.
            limit_flag: The setting that gives the cache more room.

        Raises:
            DataError: With the room that is needed.
        """
        copies = list(dict.fromkeys(copy for copy in self._copies if copy is not None))
        if not copies:
            return
        sizes = sorted((size for copy in copies for size in copy.sizes()), reverse=True)
        needed = sum(sizes[:most_shards])
        limit, folder = copies[0].limit_bytes, copies[0].place.folder
        given = sum(one.size_bytes for one in entries(folder) if one.kind == "input")
        room = limit - given - sum(copy.fixed_bytes for copy in copies)
        if needed > room:
            number = amount(min(most_shards, len(sizes)), "shard")
            raise DataError(
                f"The cache {folder} has room for {max(0, room) / 1e6:,.1f} MB of tokens, and the "
                f"{number} that are shuffled together have {needed / 1e6:,.1f} MB. Give it more: "
                f"{limit_flag} {(limit + needed - room) // 10**6 + 1}MB"
            )

    def _by_copy(
        self, wanted: Sequence[int], ahead: Sequence[int]
    ) -> Mapping[StoreCopy, tuple[list[int], list[int]]]:
        found: dict[StoreCopy, tuple[list[int], list[int]]] = {
            copy: ([], []) for copy in self._copies if copy is not None
        }
        for at, shards in enumerate((wanted, ahead)):
            for shard in shards:
                if (copy := self._copies[shard]) is not None:
                    found[copy][at].append(self._numbers[shard])
        return found


def open_shard_file(folder: Path, name: str) -> BinaryIO:
    """Open a file of a shard, fetched where it is that of a copy and not here."""
    copy = copy_of(folder.parent)
    if copy is None:
        return (folder / name).open("rb")
    return copy.open(int(folder.name.removeprefix("shard-")), name)
