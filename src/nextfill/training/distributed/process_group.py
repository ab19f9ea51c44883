"""The group of the ranks: how they find one another, and how the error of one ends all.

The first rank with an error writes it into the store that all have met at, and it alone speaks.
The others, whose next common operation fails because that one is gone, find it there and end with
its status and without a word. A rank that is killed leaves nothing there, which is told, too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from nextfill.core.errors import ConfigError, Interrupted, NextfillError, OtherRankError, RunError
from nextfill.core.signals import deaf, exit_status
from nextfill.core.streams import print_error
from nextfill.training.distributed.heartbeat import (
    BEAT_S,
    SILENCE_S,
    Heartbeat,
    beating,
    store_connection,
)
from nextfill.training.distributed.rank_environment import LAUNCH, LaunchedRank
from nextfill.training.distributed.rank_task import ENDED, TRAINING, Task
from nextfill.training.distributed.ranks import FIRST, LostRankError, ManyRanks
from nextfill.training.distributed.rendezvous import agreed_name

JOIN = timedelta(seconds=50)
"""Time within which the store has to answer."""

MEET = timedelta(minutes=5)
"""Time within which all ranks have to be there: each has imported PyTorch first."""

PATIENCE = timedelta(minutes=30)
"""Time of one common operation, within which the first rank saves, samples and reports alone."""

_GRACE_S = 3.0
"""Seconds that another rank leaves the first to tell an error that they have in common."""

_LOST_S = 2.0
"""Seconds that a rank looks for the error of one that is gone."""

_BEFORE_END_S = 1.0
"""Seconds that a silent rank waits before its end, so that the one that speaks is not cut off."""

_STAY_S = 3 * BEAT_S
"""Seconds that the rank which serves the store stays after an error, for others to read of it."""

_FAILURE, _RUN, _LEFT = "failure", "run", "left"


@dataclass(frozen=True)
class Failure:
    """The error that ended a rank: its status and message."""

    status: int
    message: str


class Meeting:
    """The store that the ranks meet at.

    Args:
        place: This process's place among them.
        task: What they are to do.
    """

    def __init__(self, place: LaunchedRank, task: Task = TRAINING) -> None:
        self._place, self.task = place, task
        self.serves = place.rank == 0 and not place.launcher_has_store
        silent = _not_met(place, "no answer", serves=self.serves)
        try:
            with _within(JOIN, silent):  # what listens there may be no store, and never answers
                store = TCPStore(
                    *(place.address, place.port),
                    is_master=self.serves,
                    timeout=JOIN,
                    wait_for_workers=False,
                )
        except RuntimeError as error:
            raise RunError(_not_met(place, str(error), serves=self.serves)) from error
        self._job = PrefixStore("nextfill", store)
        with _within(MEET, _absent(place, task)):
            name = agreed_name(self._job, place.rank, place.world)
        self.start = PrefixStore(f"nextfill/{name}", store)
        self.connect = store_connection(place.address, place.port, f"nextfill/{name}")

    def tell(self, failure: Failure) -> bool:
        """Write the error of this rank; False where another has told one before."""
        told = json.dumps([self._place.rank, failure.status, failure.message])
        try:
            return self.start.compare_set(_FAILURE, "", told).decode() == told
        except RuntimeError:  # its server is gone, and with it whoever could have spoken
            return True

    def told(self, wait_s: float) -> Failure | None:
        """Return the error that a rank has told, after waiting for one for a while."""
        deadline = time.monotonic() + wait_s
        try:
            while not self.start.check([_FAILURE]):
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.05)
            _, status, message = json.loads(self.start.get(_FAILURE))
            return Failure(status, message)
        except RuntimeError:
            return None

    def leave(self) -> None:
        """Leave after an error: the rank that serves the store stays until the others have left."""
        deadline = time.monotonic() + _STAY_S
        with suppress(RuntimeError):  # its server is gone
            left = self.start.add(_LEFT, 1)
            while self.serves and left < self._place.world and time.monotonic() < deadline:
                time.sleep(0.05)
                left = self.start.add(_LEFT, 0)

    @property
    def run(self) -> str | None:
        """The directory of the run that these ranks began before they were started again."""
        return self._job.get(_RUN).decode() if self._job.check([_RUN]) else None

    @run.setter
    def run(self, path: str) -> None:
        self._job.set(_RUN, path)


def _absent(place: LaunchedRank, task: Task) -> str:
    """Say which rank has waited for the others in vain."""
    return (
        f"Rank {place.rank} has waited {MEET.total_seconds():.0f} s for the other ranks of "
        f"{place.world}: start all of them, and see that their machines reach one another."
        f"{task.alone}"
    )


def _not_met(place: LaunchedRank, error: str, *, serves: bool) -> str:
    """Say why ranks did not meet."""
    where = f"{place.address}:{place.port}"
    lines = error.strip().splitlines() or ["no answer"]
    if serves:
        return (
            f"Rank 0 cannot serve the ranks' store at {where} (MASTER_ADDR, MASTER_PORT): "
            f"{lines[0]}. The port may be in use: give another one, or have torchrun choose: "
            "torchrun --standalone"
        )
    return (
        f"Rank {place.rank} finds no store of the ranks at {where} (MASTER_ADDR, MASTER_PORT) "
        f"within {JOIN.total_seconds():.0f} s: {lines[0]}. Start all ranks, and see that the "
        "port can be reached."
    )


@contextmanager
def _within(time_limit: timedelta, message: str) -> Iterator[None]:
    """End the process with a message where a call of PyTorch does not come back in time."""

    def end() -> None:
        print_error(f"nextfill: {message}")
        os._exit(2)  # the thread that waits hears nothing

    timer = threading.Timer(time_limit.total_seconds() + _GRACE_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def joined_ranks(place: LaunchedRank, task: Task = TRAINING) -> Iterator[tuple[ManyRanks, Meeting]]:
    """Join the ranks of one training, or of another task, and have the error of one end all."""
    meeting = Meeting(place, task)
    ranks = ManyRanks(place.rank, place.world)
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        if place.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(place.local_rank)
    try:
        try:
            with _within(MEET, _absent(place, task)):
                dist.init_process_group(
                    backend,
                    store=meeting.start,
                    rank=place.rank,
                    world_size=place.world,
                    timeout=PATIENCE,
                )
                ranks.processes = ranks.gather(os.getpid())  # all are here
        except RuntimeError as error:
            raise LostRankError(str(error)) from error
        on_lost, on_beat = partial(_end_lost, meeting, ranks), partial(_end_told, place)
        with beating(Heartbeat(meeting.connect, place.rank, place.world, on_lost, on_beat)):
            yield ranks, meeting
    except BaseException as error:
        with deaf():  # to the launcher, which ends all ranks as soon as one has ended
            settled = _settled(error, meeting, ranks)
            is_told = isinstance(error, NextfillError) and not isinstance(error, OtherRankError)
            if settled is error and is_told and meeting.serves and task.only_gathers:
                with suppress(LostRankError):  # the store ends with this process
                    ranks.gather((ENDED, str(error)))
            meeting.leave()
        if settled is error:
            raise
        raise settled from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _settled(error: BaseException, meeting: Meeting, ranks: ManyRanks) -> BaseException:
    """Return the error that a rank ends with: its own if it is the first to tell one."""
    if isinstance(error, OtherRankError):
        return error
    told, is_lost = None, isinstance(error, LostRankError)
    if is_lost:
        told = meeting.told(_LOST_S)
        error = RunError(_lost(meeting.task, ranks.run))
    elif ranks.rank:
        told = meeting.told(_GRACE_S)
    mine = Failure(_status(error), str(error))
    is_ended = isinstance(error, KeyboardInterrupt) and _any_gone(ranks.processes)
    if told is None and (is_lost or is_ended) and LAUNCH in os.environ:
        return OtherRankError(str(error), 2)  # the launcher has seen how that one ended
    if told is None and meeting.tell(mine):
        if ranks.rank and isinstance(error, NextfillError) and not is_lost:
            return RunError(f"rank {ranks.rank} of {ranks.world}: {error}")
        return error
    told = told or meeting.told(0) or mine
    if ranks.is_first and not told.message:  # another was interrupted, of which this one tells
        return error
    time.sleep(_BEFORE_END_S)
    return OtherRankError(told.message, told.status)


def _any_gone(processes: Sequence[int]) -> bool:
    """Tell whether a process of this machine has ended."""
    for process in processes:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's, by now
            return True
    return False


def _status(error: BaseException) -> int:
    """Return the status that a command ends with for an error."""
    if isinstance(error, NextfillError):
        return 2
    return exit_status() if isinstance(error, KeyboardInterrupt | Interrupted) else 1


def _end_told(place: LaunchedRank, store: PrefixStore) -> None:
    """End this process, whose main thread waits for rank 0, once that has told its error.

    Where rank 0 serves the store it stays for the others to read there, and so its connections
    stay, by whose end they would hear of it.
    """
    if place.rank == FIRST or place.launcher_has_store or not store.check([_FAILURE]):
        return
    rank, status, _ = json.loads(store.get(_FAILURE))
    if rank == FIRST:
        store.add(_LEFT, 1)
        os._exit(status)


def _end_lost(meeting: Meeting, ranks: ManyRanks, silent: list[int]) -> None:
    """End this process, whose main thread waits for what a silent rank never sends."""
    numbers = ", ".join(map(str, silent))
    whose = f"Rank {numbers}" if len(silent) == 1 else f"Ranks {numbers}"
    message = (
        f"{whose if silent else 'The store of the ranks'} cannot be reached, and has been silent "
        f"for {SILENCE_S:.0f} s: the machine may be off, or its network. "
        f"{meeting.task.going_on(ranks.run)}"
    )
    is_first: list[bool] = []
    telling = threading.Thread(
        target=lambda: is_first.append(meeting.tell(Failure(2, message))), daemon=True
    )
    telling.start()  # its connection, too, may be one that never answers
    telling.join(_LOST_S)
    if is_first != [False]:
        print_error(f"nextfill: {message}")
    os._exit(2)


def _lost(task: Task, run: str | None) -> str:
    return (
        f"Another rank of this {task.name} is gone: it was killed, ran out of memory, or its "
        f"machine cannot be reached. {task.going_on(run)}"
    )


def check_gpus(place: LaunchedRank) -> None:
    """Refuse more ranks on a machine than it has GPUs to compute on."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < count < place.local_world:
        raise ConfigError(
            [
                f"{place.local_world} ranks on a machine of {count} GPUs: each computes on one of "
                f"its own. Start {count}, or compute on the CPU: --device cpu"
            ]
        )
