"""Checkpoints that each rank writes its share of while further steps are taken.

A rank copies its share, which is all that steps wait for; a thread writes it, flushes it to the
disk and takes its checksum. The first rank's thread waits for the marks of all, gives the folder
its name, and then removes an older checkpoint. Until then the one before is the newest. A kill at
any moment leaves a hidden folder, which the next start removes.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedTooLongError
from pathlib import Path
from typing import Self

from torch import Tensor

from nextfill.core.errors import RunError
from nextfill.runs.directory import RunDirectory
from nextfill.training.checkpoint import Cursor, begin_shares, publish_shares
from nextfill.training.checkpoint_shares import missing_marks, write_index, write_share
from nextfill.training.distributed.ranks import Command, Kind, Ranks
from nextfill.training.distributed.sharded_steps import ShardedTraining

_LOOK_S = 0.02
"""Seconds between two looks for the marks of other ranks."""

_SEEN_S = 60.0
"""Seconds within which the first rank has to see what the others have written."""


class ShareWriter:
    """One rank's part in the checkpoints of shares.

    Args:
        ranks: All ranks.
        sharded: What holds this one's share.
    """

    def __init__(self, ranks: Ranks, sharded: ShardedTraining) -> None:
        self._ranks, self._sharded = ranks, sharded
        self._threads = ThreadPoolExecutor(1, "nextfill-checkpoint")
        self._writing: Future[None] | None = None
        self._is_ending = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for no other rank any more."""
        self._is_ending.set()
        self._threads.shutdown()

    def save(self, run: RunDirectory, place: Cursor, when_whole: Callable[[], None]) -> None:
        """Have all ranks begin to write a checkpoint; of the first rank."""
        self.finish()
        folder = begin_shares(run, place)
        write_index(folder, self._sharded.whole_shapes(), self._ranks.world)
        self._ranks.command(Command(Kind.SAVE, about=str(folder.resolve())))

        def publish() -> None:
            while missing_marks(folder, self._ranks.world):
                if self._is_ending.wait(_LOOK_S):
                    return
            publish_shares(run, folder, place, self._ranks.world)
            when_whole()

        self.begin(folder, publish)

    def begin(self, folder: Path, publish: Callable[[], None] = lambda: None) -> None:
        """Copy this rank's share, and begin to write it."""
        share = self._sharded.own_share()
        self._writing = self._threads.submit(self._write, folder, share, publish)

    def _write(
        self, folder: Path, share: Mapping[str, Tensor], publish: Callable[[], None]
    ) -> None:
        write_share(folder, self._ranks.rank, self._ranks.world, share)
        publish()

    def check(self) -> None:
        """Raise the error that ended the writing, if one has."""
        if self._writing is not None and self._writing.done():
            self._writing.result()

    def finish(self) -> None:
        """Wait until the checkpoint in hand is whole, and raise what kept it from that."""
        if self._writing is None:
            return
        self.check()
        self._ranks.command(Command(Kind.SAVED))
        if told := [one for one in self._ranks.gather(None) if one is not None]:
            raise RunError(told[0])
        try:
            self._writing.result(_SEEN_S)
        except WaitedTooLongError as error:
            raise RunError(
                f"Rank 0 does not see within {_SEEN_S:.0f} s what the other ranks have written of "
                "a checkpoint: give an --out that is the same folder on all machines."
            ) from error
        self._writing = None

    def take_part(self, command: Command) -> None:
        """Do what the first rank says of shares; of any other rank."""
        if command.kind is Kind.SAVED:
            self._tell_end()
            return
        self.check()
        if command.kind is Kind.STEP:
            self._sharded.before_step()
        elif command.kind is Kind.GATHER:
            self._sharded.bring_up_to_date(moments=bool(command.number))
        elif command.kind is Kind.SAVE:
            self.begin(Path(command.about))

    def _tell_end(self) -> None:
        """Wait until this rank's share is written, and tell the first."""
        told = None
        try:
            if self._writing is not None:
                self._writing.result()
        except RunError as error:
            told = f"rank {self._ranks.rank} of {self._ranks.world}: {error}"
        self._writing = None
        self._ranks.gather(told)


def see_same_folder(ranks: Ranks) -> bool:
    """Tell whether all ranks see the folder of the run, in which each would write its share."""
    probe = None
    if ranks.is_first and ranks.run is not None:
        probe = Path(ranks.run).resolve() / f".seen-{secrets.token_hex(8)}.tmp"
        probe.touch()
    path = ranks.share(None if probe is None else str(probe))
    seen = ranks.gather(path is not None and Path(path).is_file())
    if probe is not None:
        probe.unlink()
    return all(seen)
