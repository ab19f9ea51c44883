"""The sum of gradients over ranks: by memory that they share, and by messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RANKS = Path(__file__).parents[2] / "gradient_ranks.py"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory of all ranks needs Linux")
@pytest.mark.parametrize("world", [2, 3])
def test_every_rank_has_the_sum_in_the_order_of_the_ranks(world, tmp_path):
    ended = subprocess.run(
        [sys.executable, RANKS, str(world), tmp_path],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
