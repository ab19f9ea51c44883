"""Two ranks of this machine."""

from __future__ import annotations

import os

import torch

from nextfill.cli.main import main


def ranks_in_forks(words, meeting, change):
    """Run a command as two ranks, each a fork of this process that changes something first."""
    pids = []
    for rank in range(2):
        pids.append(os.fork())
        if not pids[-1]:
            status = 1
            try:
                torch.set_num_threads(1)
                os.environ.update(meeting, RANK=str(rank))
                change(rank)
                status = main([str(word) for word in words])
            finally:
                os._exit(status)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
