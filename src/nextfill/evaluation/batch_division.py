"""How the batches of an evaluation are divided among processes: here one reads them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Reading = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""Of the targets of some rows the row and the place in its document, ``[N] int64``, and what was
read there, ``[N, C] float32``."""


class BatchDivision:
    """One process alone, which reads every batch.

    Several read whole batches each, the same ones that one alone would make, so that a number does
    not depend on how many they are.

    Attributes:
        world: The number of processes.
    """

    world = 1

    def check(self, findings: Callable[[], Mapping[str, str]]) -> None:
        """Refuse processes that are about to score something else than the first, by checksums."""

    def takes(self, costs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which batches this process reads.

        Args:
            costs: Positions of each batch, padding included, ``[B] int64``.

        Returns:
            One truth for each, ``[B] bool``.
        """
        return np.ones(len(costs), np.bool_)

    def join(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """Return the readings of all processes."""
        return readings


WHOLE = BatchDivision()
"""All batches by this process."""
