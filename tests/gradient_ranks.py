"""Ranks that add up gradients, each of which knows the sum: `gradient_ranks.py WORLD FOLDER`.

A fresh process imports PyTorch once and forks, as one whose threads have computed cannot.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nextfill.training.distributed import gradient_sum, shared_memory

SHAPES = ((5, 7), (1,), (64,), (33, 3), (2, 2))
NO_ONE, FIRST_ALONE, LAST_ALONE = 1, 2, 4
"""Parameters that no rank, the first or the last alone has a gradient of."""


def gradient(rank: int, world: int, step: int, number: int, kind: torch.dtype) -> Tensor | None:
    """Return the gradient that a rank has of a parameter, None where it has none."""
    holders = {NO_ONE: [], FIRST_ALONE: [0], LAST_ALONE: [world - 1]}
    if rank not in holders.get(number, [*range(world)]):
        return None
    generator = torch.Generator().manual_seed(100 * (10 * step + rank) + number)
    found = torch.randn(SHAPES[number], generator=generator).to(kind)
    return found.t().contiguous().t() if found.dim() > 1 and step % 2 else found


def expected(world: int, step: int, number: int, kind: torch.dtype) -> Tensor | None:
    """Return the sum of the gradients in the order of the ranks."""
    of_all = [gradient(rank, world, step, number, kind) for rank in range(world)]
    present = [one for one in of_all if one is not None]
    return sum(present[1:], present[0]) if present else None


def add_up(rank: int, world: int, *, is_shared: bool, kind: torch.dtype) -> None:
    """Add up gradients of three steps, and compare."""
    kinds = [kind, kind, kind, torch.float64, kind]
    ones = [nn.Parameter(torch.zeros(s).to(k)) for s, k in zip(SHAPES, kinds, strict=True)]
    adder = gradient_sum.GradientSum()
    for step in range(3):
        for number, one in enumerate(ones):
            one.grad = gradient(rank, world, step, number, one.dtype)
        adder.add_up(nn.ParameterList(ones))
        assert (adder._shared is not None) == is_shared, (adder._shared, is_shared)
        for number, one in enumerate(ones):
            whole = expected(world, step, number, one.dtype)
            assert (one.grad is None) == (whole is None), (step, number)
            if whole is not None and (is_shared or world == 2):
                assert torch.equal(one.grad, whole), (step, number, one.grad - whole)
            elif whole is not None:  # in the order of gloo
                torch.testing.assert_close(one.grad, whole, rtol=2e-2, atol=2e-2)


def take_part(rank: int, world: int, folder: Path) -> None:
    """Be a rank: with memory of all, without, with small buckets and with one."""
    store = dist.FileStore(str(folder / "store"), world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    machine = shared_memory._machine
    for bucket_bytes in (100, 2**25):
        gradient_sum.BUCKET_BYTES = bucket_bytes
        for kind in (torch.float32, torch.bfloat16):
            shared_memory._machine = machine
            add_up(rank, world, is_shared=True, kind=kind)
            shared_memory._machine = lambda: (*machine(), str(rank == world - 1))
            add_up(rank, world, is_shared=False, kind=kind)
    dist.destroy_process_group()


def main() -> None:
    """Fork the ranks, and end with 1 where one has failed."""
    world, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    children = []
    for rank in range(world):
        if not (child := os.fork()):
            try:
                take_part(rank, world, folder)
                os._exit(0)
            except BaseException:  # noqa: BLE001 a forked process ends here whatever it met
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(int(any(statuses)))


if __name__ == "__main__":
    main()
