"""Processes that were started as ranks of one job, which Nextfill does not share out yet."""

from __future__ import annotations

import os

from nextfill.core.errors import ConfigError

SIZES = {
    "WORLD_SIZE": "torchrun, accelerate or deepspeed",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpiexec",
    # SLURM_NTASKS also stands in a batch script, which is one process, whatever was asked for.
    "SLURM_STEP_NUM_TASKS": "srun",
}
"""Variables that launchers set for the processes they start, and which launchers these are."""


def check_one_process(what: str) -> None:
    """Refuse to write where several processes were started to do the same."""
    for name, launcher in SIZES.items():
        size = os.environ.get(name, "").strip()
        if size.isdecimal() and int(size) > 1:
            raise ConfigError(
                [
                    f"{name}={size} says that {size} processes were started (by {launcher}): each "
                    f"of them would {what}, in the same place. Nextfill runs in one process: start "
                    f"it without a launcher, or unset {name} where one process alone gets here."
                ]
            )
