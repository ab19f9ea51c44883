"""The place of this process among those that torchrun started, as its environment tells it.

PyTorch is not imported here: the command line asks before it says anything.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nextfill.core.errors import ConfigError
from nextfill.core.locks import launched_processes

LAUNCH = "NEXTFILL_LAUNCH"
"""Variable that our own launcher sets, which tells how a rank ended."""

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class LaunchedRank:
    """The place of a process among those of one training.

    Args:
        rank: Its number, from 0.
        world: Their number.
        local_rank: Its number on its machine.
        local_world: Those of its machine.
        address: The machine of the store that they meet at.
        port: The port of that store.
        launcher_has_store: Whether the launcher serves the store; else rank 0 does.
        restart: How often the launcher has started them again.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    address: str
    port: int
    launcher_has_store: bool = False
    restart: int = 0


def launched_rank(*, may_be_alone: bool = False) -> LaunchedRank | None:
    """Return the place of this process among several; None where it is the only one.

    Args:
        may_be_alone: Whether one of several works by itself where it cannot find the others.

    Raises:
        ConfigError: Where a launcher started several and does not tell how they find one another.
    """
    told = {name: os.environ.get(name, "").strip() for name in _NEEDED}
    numbers = [told[name] for name in _NEEDED if name != "MASTER_ADDR"]
    if all(number.isdecimal() for number in numbers) and told["MASTER_ADDR"]:
        world, rank = int(told["WORLD_SIZE"]), int(told["RANK"])
        if world < 2:
            return None
        return LaunchedRank(
            rank=rank,
            world=world,
            local_rank=_number("LOCAL_RANK", rank),
            local_world=_number("LOCAL_WORLD_SIZE", world),
            address=told["MASTER_ADDR"],
            port=int(told["MASTER_PORT"]),
            launcher_has_store=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            restart=_number("TORCHELASTIC_RESTART_COUNT", 0),
        )
    if not may_be_alone and (found := launched_processes()):
        name, size, launcher = found
        raise ConfigError(
            [
                f"{name}={size} says that {size} processes were started (by {launcher}), and "
                f"{_missing(told)}, by which they would find one another: each would train by "
                f"itself, in the same place. Of one machine --nproc starts several, of many "
                f"torchrun does; unset {name} where one process alone gets here."
            ]
        )
    return None


def launcher_name() -> str:
    """Return the name of the torchrun that started this process, which no other has had, or ""."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # started by a shell, or a scheduler
        return ""
    launcher, began = os.getppid(), ""
    with suppress(OSError):  # without /proc a number that is used again tells no better
        fields = Path(f"/proc/{launcher}/stat").read_text("utf-8").rpartition(")")[2].split()
        began = fields[19]  # clock ticks since the machine started
    return f"{platform.node()}-{launcher}-{began}"


def is_follower() -> bool:
    """Tell whether this process is one of several and not the first, which speaks for them."""
    try:
        place = launched_rank()
    except ConfigError:
        return False
    return place is not None and place.rank > 0


def _missing(told: dict[str, str]) -> str:
    absent = [name for name, value in told.items() if not value]
    return f"{', '.join(absent) or 'their numbers'} {'are' if len(absent) != 1 else 'is'} not there"


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "").strip()
    return int(value) if value.isdecimal() else default
