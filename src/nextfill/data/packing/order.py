"""Random streams that depend on their keys alone, and the order of the blocks of an epoch.

Only the raw 64-bit output of Philox is used: NumPy promises that stream for ever, and promises
nothing of the kind for ``Generator.permutation`` and its like.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

WINDOW_SHARDS = 8
"""Shards whose blocks are permuted together."""


def philox(domain: str, *key: int) -> np.random.Philox:
    """Make a bit generator for one purpose and one key; draw ``random_raw(n)``, ``[n] uint64``.

    Different purposes (``domain``) never share a stream. The key's integers, such as seed, epoch
    and block, have up to 128 bits.

    Source:
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

    Example:
        >>> int(philox("order", 0, 1).random_raw()) == int(philox("order", 0, 1).random_raw())
        True
        >>> int(philox("order", 0, 1).random_raw()) == int(philox("split", 0, 1).random_raw())
        False
    """
    message = domain.encode() + b"\0" + b"".join(k.to_bytes(16, "little", signed=True) for k in key)
    digest = hashlib.blake2b(message, digest_size=16, person=b"nextfill").digest()
    return np.random.Philox(key=np.frombuffer(digest, "<u8").astype(np.uint64))


def block_order(
    shard: NDArray[np.int64],
    seed: int,
    epoch: int,
    window_shards: int = WINDOW_SHARDS,
    portion: int = 0,
) -> NDArray[np.int64]:
    """Permute block numbers for an epoch, given each block's shard, ``[blocks] int64`` both.

    Shards are permuted, then the blocks within each window of shards, so that a reader touches
    few shards at a time and a stream larger than the disk follows the same rule. Each portion of a
    stream has an order of its own; that of the first is the order of a store that it fills alone.

    Example:
        >>> block_order(np.array([0, 0, 1, 1]), seed=0, epoch=0, window_shards=1).tolist()
        [1, 0, 2, 3]
    """
    key = (seed, epoch, portion) if portion else (seed, epoch)
    present, position = np.unique(shard, return_inverse=True)
    shuffled = np.argsort(philox("order.shards", *key).random_raw(len(present)), kind="stable")
    window = np.empty(len(present), np.int64)
    window[shuffled] = np.arange(len(present)) // window_shards
    within = philox("order.blocks", *key).random_raw(len(shard))
    return np.lexsort((within, window[position])).astype(np.int64)
