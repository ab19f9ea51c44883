"""The ranks that train together, as the rest of the training sees them.

The first rank takes every decision, writes everything and speaks; it tells the others what comes
next (`Command`), and they take part. So a stop, a best step or an error is decided at one place.
A rank takes whole micro-batches, whose dropout is drawn by their numbers in the step, so that each
computes what one process would; only the order in which their gradients are added is another.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nextfill.core.errors import RunError
from nextfill.objectives.batch import Batch
from nextfill.training.distributed.gradient_sum import GradientSum

FIRST = 0
"""The rank that decides, writes and speaks."""


class Kind(enum.IntEnum):
    """What the first rank has the others take part in."""

    STEP = 1
    SCORE = 2
    AVERAGE = 3
    OWN_WEIGHTS = 4
    SHARD = 5
    GATHER = 6
    END = 7
    SAVE = 8
    SAVED = 9


_WITH_OBJECTS = (Kind.SCORE, Kind.END, Kind.SAVE)


class Command(NamedTuple):
    """What comes next.

    Args:
        kind: What it is.
        number: Of a step its number, from 0; of the gathering of shares, 1 for moments, too.
        checksum: Of a step that of its batch.
        about: Further objects.
    """

    kind: Kind
    number: int = 0
    checksum: int = 0
    about: Any = None


class LostRankError(RuntimeError):
    """Another rank does not answer: it ended, by an error of its own or from outside."""


class Ranks:
    """One process alone, for which nothing here does anything.

    Attributes:
        rank: The number of this process.
        world: The number of all.
        run: The directory of the run, once it is known.
        has_shares: Whether each is to hold a share of the model while steps are taken.
        chooses: Whether that is chosen by the model's size.
    """

    rank, world = FIRST, 1
    run: str | None = None
    has_shares = False
    chooses = False

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that decides, writes and speaks."""
        return self.rank == FIRST

    def takes(self, number: int) -> bool:
        """Tell whether a micro-batch, by its number in the step, is this rank's to compute."""
        return number % self.world == self.rank

    def takes_of(self, numbers: list[int]) -> list[tuple[int, bool]]:
        """Return this rank's micro-batches among some, and whether each counts."""
        return [(number, True) for number in numbers if self.takes(number)]

    def before_pass(self, module: nn.Module, *, is_last: bool) -> None:
        """Make ready for a pass forward and back, the last of a step or one before."""

    def whole_norm(self, norm: Tensor) -> Tensor:
        """Return the norm of the gradients as a whole, ``[]``."""
        return norm

    def command(self, command: Command) -> None:
        """Tell the other ranks what comes next."""

    def begin_step(self, step: int, batch: Batch) -> None:
        """Have the other ranks take a step, of the same batch."""

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the gradients of all ranks."""

    def sum_figures(self, figures: Tensor) -> Tensor:
        """Return the sum of all ranks' figures, ``[N] float64``."""
        return figures

    def gather(self, objects: Any) -> list[Any]:
        """Return the objects of all ranks, in their order, on each of them."""
        return [objects]

    def share(self, value: Any) -> Any:
        """Return the first rank's object."""
        return value

    def share_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Write the first rank's tensors over those of the others, in order."""


ALONE = Ranks()


class ManyRanks(Ranks):
    """Several processes of one group.

    Args:
        rank: The number of this one.
        world: The number of all.

    Attributes:
        processes: The process of each, by its number on its own machine.
    """

    processes: Sequence[int] = ()

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._gradient_sum = GradientSum()

    def command(self, command: Command) -> None:
        """Tell the other ranks what comes next."""
        with together():
            head = torch.tensor([command.kind, command.number, command.checksum])
            dist.broadcast(head, FIRST)
            if command.kind in _WITH_OBJECTS:
                dist.broadcast_object_list([command.about], FIRST)

    def next_command(self) -> Command:
        """Wait for what the first rank says comes next."""
        with together():
            head = torch.zeros(3, dtype=torch.int64)
            dist.broadcast(head, FIRST)
            kind, number, checksum = head.tolist()
            about = [None]
            if kind in _WITH_OBJECTS:
                dist.broadcast_object_list(about, FIRST)
        return Command(Kind(kind), number, checksum, about[0])

    def begin_step(self, step: int, batch: Batch) -> None:
        """Have the other ranks take a step, of the same batch."""
        if self.is_first:
            self.command(Command(Kind.STEP, step, batch_checksum(batch)))

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up the gradients of all ranks."""
        with together():
            self._gradient_sum.add_up(model)

    def sum_figures(self, figures: Tensor) -> Tensor:
        """Return the sum of all ranks' figures, ``[N] float64``."""
        with together():
            dist.all_reduce(figures)
        return figures

    def gather(self, objects: Any) -> list[Any]:
        """Return the objects of all ranks, in their order, on each of them."""
        found: list[Any] = [None] * self.world
        with together():
            dist.all_gather_object(found, objects)
        return found

    def share(self, value: Any) -> Any:
        """Return the first rank's object."""
        shared = [value if self.is_first else None]
        with together():
            dist.broadcast_object_list(shared, FIRST)
        return shared[0]

    def share_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Write the first rank's tensors over those of the others, in order."""
        with together(), torch.no_grad():
            for one in tensors:
                whole = one.detach().contiguous()
                dist.broadcast(whole, FIRST)
                if whole.data_ptr() != one.data_ptr():
                    one.copy_(whole)


def batch_checksum(batch: Batch) -> int:
    """Return a checksum of everything in a batch, by which ranks see that theirs is the same."""
    found = 0
    for part in (batch.input_ids, batch.labels, batch.position_ids, batch.document_ids):
        found = zlib.crc32(part.tobytes(), found)
    return found


def check_batch(ranks: Ranks, command: Command, batch: Batch) -> None:
    """Refuse a step whose batch is another than that of the first rank."""
    if batch_checksum(batch) != command.checksum:
        raise RunError(
            f"Rank {ranks.rank} has another batch at step {command.number + 1} than rank 0: the "
            "ranks see different data. Give all machines the same files and versions."
        )


def differences(all_ranks: Sequence[Mapping[str, str]]) -> dict[int, list[str]]:
    """Return what differs from the first rank's by rank, of findings by name.

    Example:
        >>> differences([{"data": "a", "model": "m"}, {"data": "b", "model": "m"}])
        {1: ['data']}
    """
    first = all_ranks[0]
    found = {
        rank: sorted(name for name in {*first, *one} if first.get(name) != one.get(name))
        for rank, one in enumerate(all_ranks)
    }
    return {rank: names for rank, names in found.items() if names}


def refuse_differences(all_ranks: Sequence[Mapping[str, str]]) -> None:
    """Refuse ranks that have found other things than the first, naming what differs."""
    if found := differences(all_ranks):
        told = "; ".join(f"rank {rank} in {', '.join(names)}" for rank, names in found.items())
        raise RunError(
            f"The ranks see different things, beside rank 0: {told}. Give all machines the same "
            "files and versions of packages."
        )


@contextmanager
def together() -> Iterator[None]:
    """Tell the end of another rank, which ends whatever all of them take part in."""
    try:
        yield
    except RuntimeError as error:  # gloo's own, and the errors of torch.distributed are such
        raise LostRankError(str(error)) from error
