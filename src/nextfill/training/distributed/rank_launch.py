"""The processes of a training on one machine, started by PyTorch's own elastic launcher."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from nextfill.core.signals import SIGNALS

_END_S = 600
"""Seconds that ranks have to end a step and to save after a signal."""

_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def launch(words: Sequence[str], count: int) -> int:
    """Run ``nextfill train`` in several processes of this machine until all have ended.

    The first speaks as one process would. A signal goes to all of them, and the error of one ends
    all.

    Args:
        words: The words of the command after ``train``.
        count: The number of processes.

    Returns:
        The exit status: that of the rank that ended first with an error.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # ours are the words
    threads = str(max(1, (os.cpu_count() or 1) // count))
    for name, value in (
        ("OMP_NUM_THREADS", threads),
        ("GLOO_SOCKET_IFNAME", _LOOPBACK),
        ("TORCH_CPP_LOG_LEVEL", "FATAL"),
    ):
        os.environ.setdefault(name, value)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",  # a free port
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.1,
        shutdown_timeout=_END_S,
        signals_to_handle=",".join(one.name for one in SIGNALS),
    )
    try:
        elastic_launch(config, sys.executable)("-m", "nextfill", "train", *words)
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        return first.exitcode if first.exitcode > 0 else 1
    except SignalException as stop:
        return 128 + int(stop.sigval)
    return 0


def number_of_ranks(asked: object) -> int:
    """Return the number of processes that ``--nproc`` asks for; ``auto`` is one for each GPU."""
    if asked != "auto":
        return int(str(asked))
    import torch

    return max(1, torch.cuda.device_count() if torch.cuda.is_available() else 1)
