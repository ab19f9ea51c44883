"""Mixtures of sources: how many blocks of each an epoch has, and the order in which they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextfill.core.amounts import amount
from nextfill.core.errors import DataError
from nextfill.data.packing.order import block_order, philox

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Mixture:
    """The number of blocks that an epoch takes of each source.

    A source whose blocks are more than an epoch takes goes on in the next epoch where it stopped;
    one whose blocks are fewer begins again, in another order and with other masks. A *draw* is a
    block in one of its passes: ``pass * blocks + block``.

    Args:
        source: The source of each block, from 0, ``[blocks] int64``.
        per_epoch: Blocks that an epoch takes of each source, ``[sources] int64``.
    """

    source: Ints
    per_epoch: Ints

    @property
    def num_draws(self) -> int:
        """Blocks of an epoch."""
        return int(self.per_epoch.sum())

    @property
    def num_blocks(self) -> Ints:
        """Blocks of each source, ``[sources] int64``."""
        return np.bincount(self.source, minlength=len(self.per_epoch)).astype(np.int64)

    def labels(self, seed: int, epoch: int) -> Ints:
        """Return the source of each place in an epoch, ``[draws] int64``."""
        labels = np.repeat(np.arange(len(self.per_epoch)), self.per_epoch)
        key = philox("order.mixture", seed, epoch).random_raw(len(labels))
        return labels[np.argsort(key, kind="stable")]

    def draws(self, shard: Ints, seed: int, epoch: int) -> Ints:
        """Return the draws of an epoch in their order, ``[draws] int64``.

        Args:
            shard: The shard of each block, ``[blocks] int64``.
            seed: Keys the order.
            epoch: From 0.

        Example:
            >>> mixture = Mixture(np.array([0, 0, 0, 1]), np.array([2, 2]))
            >>> draws = mixture.draws(np.array([0, 0, 0, 1]), seed=0, epoch=0)
            >>> sorted((draws % 4).tolist())[-2:]
            [3, 3]
        """
        labels = self.labels(seed, epoch)
        taken = np.empty(len(labels), np.int64)
        for number, count in enumerate(self.per_epoch.tolist()):
            own = np.flatnonzero(self.source == number)
            first, end = epoch * count, (epoch + 1) * count
            passes = range(first // len(own), -(-end // len(own)))
            orders = [own[block_order(shard[own], seed, one)] for one in passes]
            drawn = [
                order + one * len(self.source) for one, order in zip(passes, orders, strict=True)
            ]
            begin = first - passes.start * len(own)
            taken[labels == number] = np.concatenate(drawn)[begin : begin + count]
        return taken

    def taken(self, seed: int, blocks: int) -> Ints:
        """Count the blocks of each source among the first that a run takes, ``[sources] int64``."""
        epochs, rest = divmod(blocks, self.num_draws)
        last = self.labels(seed, epochs)[:rest]
        return epochs * self.per_epoch + np.bincount(last, minlength=len(self.per_epoch))


def by_weight(source: Ints, weights: Sequence[float | None], names: Sequence[str]) -> Mixture:
    """Return a mixture of as many blocks as there are, by each source's share of them.

    Args:
        source: The source of each block, ``[blocks] int64``.
        weights: Shares by source. Those without one take what the others leave, by their size; if
            all have one, they are set against their sum.
        names: The sources, for messages.

    Raises:
        DataError: A source has no block, or its share is less than one.

    Source:
        The largest-remainder method, so that the counts add up and each is within a block of its
        share.

    Example:
        >>> by_weight(np.array([0] * 6 + [1] * 4), [None, 0.25], ["a", "b"]).per_epoch.tolist()
        [8, 2]
    """
    blocks = _blocks(source, names)
    open_ = np.array([one is None for one in weights])
    shares = np.array([one or 0.0 for one in weights], np.float64)
    if open_.any():
        left = 1.0 - shares.sum()
        shares[open_] = left * blocks[open_] / blocks[open_].sum()
    exact = shares / shares.sum() * len(source)
    counts = np.floor(exact).astype(np.int64)
    missing = len(source) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    for name, share, count in zip(names, shares.tolist(), counts.tolist(), strict=True):
        if count == 0:
            raise DataError(
                f"{name}: its weight, {share:g}, is less than one of the "
                f"{amount(len(source), 'training block')} of an epoch: give it more, or leave it "
                "out."
            )
    return Mixture(source, counts)


def by_repeats(source: Ints, repeats: Sequence[float | None], names: Sequence[str]) -> Mixture:
    """Return a mixture of each source's blocks so many times; once without a number.

    Args:
        source: The source of each block, ``[blocks] int64``.
        repeats: Times that an epoch takes each source; below 1 it takes that share of it.
        names: The sources, for messages.

    Raises:
        DataError: A source has no block.

    Example:
        >>> by_repeats(np.array([0, 0, 1]), [None, 2], ["a", "b"]).per_epoch.tolist()
        [2, 2]
    """
    blocks = _blocks(source, names)
    times = np.array([1.0 if one is None else one for one in repeats], np.float64)
    per_epoch = np.maximum(1, np.rint(blocks * times)).astype(np.int64)
    return Mixture(source, per_epoch)


def on_top(own: Mixture, source: Ints, share: float, names: Sequence[str]) -> Mixture:
    """Return a mixture with one more source, the last, on top of those of another mixture.

    Args:
        own: The others.
        source: The source of each block, of the last one, too, ``[blocks] int64``.
        share: Share of all blocks that the last one has.
        names: The sources, for messages.

    Raises:
        DataError: A source has no block.
    """
    _blocks(source, names)
    more = max(1, round(own.num_draws * share / (1 - share)))
    return Mixture(source, np.array([*own.per_epoch.tolist(), more], np.int64))


def _blocks(source: Ints, names: Sequence[str]) -> Ints:
    blocks = np.bincount(source, minlength=len(names)).astype(np.int64)
    for name, number in zip(names, blocks.tolist(), strict=True):
        if number == 0:
            raise DataError(
                f"{name} fills no block among {amount(len(source), 'training block')}, and its "
                "share cannot be taken: give it more text, or leave it out."
            )
    return blocks
