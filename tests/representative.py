"""Matrices of which some cells are tried with every change, and all in the long trials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def often(cells: Iterable[Any], kept: Iterable[Any]) -> list[Any]:
    """Return all cells of a matrix, for `parametrize`; those that are not kept are trials.

    Args:
        cells: The whole matrix, all of which `make test-all` tries.
        kept: Those that `make test` tries: every odd one, and one of each plain sort.
    """
    cells, kept = list(cells), list(kept)
    assert all(cell in cells for cell in kept), "a cell is kept that is not there"
    return [cell if cell in kept else _trial(cell) for cell in cells]


def _trial(cell: Any) -> Any:
    values = cell if isinstance(cell, tuple) else (cell,)
    return pytest.param(*values, marks=pytest.mark.trial)
