"""The processes of a command on one machine, started by PyTorch's own elastic launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from nextfill.core.shell_command import shell_command
from nextfill.core.signals import SIGNALS
from nextfill.core.streams import print_error
from nextfill.training.distributed.rank_environment import LAUNCH

_END_S = 600
"""Seconds that ranks have to end a step and to save after a signal."""

_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def launch(command: str, words: Sequence[str], count: int, going_on: str) -> int:
    """Run a command of Nextfill in several processes of this machine until all have ended.

    The first speaks as one process would. A signal goes to all of them, and the error of one ends
    all.

    Args:
        command: ``train`` or ``evaluate``.
        words: The words after it.
        count: The number of processes.
        going_on: How to go on where one of them was ended from outside, as a sentence.

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
        (LAUNCH, "1"),
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
        elastic_launch(config, sys.executable)("-m", "nextfill", command, *words)
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        if first.exitcode > 0:
            return first.exitcode
        print_error(f"nextfill: {_killed(rank, count, -first.exitcode)} {going_on}")
        return 1
    except SignalException as stop:
        return 128 + int(stop.sigval)
    return 0


def _killed(rank: int, count: int, number: int) -> str:
    """Say that a rank was ended from outside."""
    known = {one.value: one.name for one in signal.Signals}
    return (
        f"Rank {rank} of {count} was ended by {known.get(number, number)}, by someone or because "
        "memory ran out."
    )


def resumption(out: str | None, count: int) -> str:
    """Return how a training goes on from its newest checkpoint, by as many processes."""
    again = "with --resume"
    if out is not None:
        again = f"with: {shell_command('train', '--out', Path(out), '--resume', '--nproc', count)}"
    return f"The run goes on from its newest checkpoint {again}"


def number_of_ranks(asked: object) -> int:
    """Return the number of processes that ``--nproc`` asks for; ``auto`` is one for each GPU."""
    if asked != "auto":
        return int(str(asked))
    import torch

    return max(1, torch.cuda.device_count() if torch.cuda.is_available() else 1)
