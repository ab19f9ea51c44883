"""The gradients of all ranks added up, in flat buckets, once all micro-batches of a step are done.

A step has one sum however many micro-batches it has. Beside each gradient goes a number that says
whether a rank has one: a parameter that no rank has a gradient of keeps none, so that the optimizer
leaves it alone as in one process. Every rank ends with the same bits, since a bucket, or a part of
it, is added up at one place.

Ranks of one machine that compute on its CPU write into memory that all of them map. Each adds up
its part of a bucket over all ranks, in their order, and takes the whole. Others send buckets by the
backend of PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nextfill.training.distributed.shared_memory import shared_memory

BUCKET_BYTES = 2**25
"""Bytes of a bucket at least: large enough that messages are few, small beside the gradients."""

PAGE_BYTES = 4096
"""Bytes to which each rank's place in shared memory is rounded up."""

_ALIGNED = 16
"""Numbers to which a gradient's place is rounded up, so that the optimizer reads whole vectors."""


class GradientSum:
    """Adds up gradients, by memory that the ranks share where they can."""

    def __init__(self) -> None:
        self._shared: Tensor | None = None
        self._asked_bytes = 0

    def add_up(self, model: nn.Module) -> None:
        """Give every rank the sum of all ranks' gradients of the trained parameters."""
        buckets = list(_buckets([one for one in model.parameters() if one.requires_grad]))
        shared = self._memory_of(buckets)
        if shared is not None:
            for bucket in buckets:
                _sum_in_memory(bucket, shared)
            return
        waiting: list[tuple[list[nn.Parameter], Tensor, dist.Work | None]] = []
        for bucket in buckets:
            sent = _flattened(bucket)
            waiting.append((bucket, sent, dist.all_reduce(sent, async_op=True)))
        for bucket, flat, work in waiting:
            if work is not None:
                work.wait()
            _spread(bucket, flat)

    def _memory_of(self, buckets: Sequence[Sequence[nn.Parameter]]) -> Tensor | None:
        """Return memory for a bucket of each rank and their sum, None where they share none."""
        if any(one.device.type != "cpu" for bucket in buckets for one in bucket):
            return None
        sizes = [_size(bucket) * bucket[0].element_size() for bucket in buckets]
        largest = -(-max(sizes, default=0) // PAGE_BYTES) * PAGE_BYTES
        needed = largest * (dist.get_world_size() + 1)
        if needed > self._asked_bytes:
            self._shared, self._asked_bytes = shared_memory(needed), needed
        return self._shared


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield parameters of one type and device some at a time, in an order that all ranks have."""
    kinds = dict.fromkeys((one.dtype, one.device) for one in parameters)
    for kind in kinds:
        bucket: list[nn.Parameter] = []
        size = 0
        for one in parameters:
            if (one.dtype, one.device) != kind:
                continue
            bucket.append(one)
            size += one.numel() * one.element_size()
            if size >= BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
        if bucket:
            yield bucket


def _places(bucket: Sequence[nn.Parameter]) -> tuple[list[int], int]:
    """Return where each gradient begins, and where the numbers behind them all do."""
    places, end = [], 0
    for one in bucket:
        places.append(end)
        end += _rounded(one.numel())
    return places, end


def _rounded(count: int) -> int:
    return -(-count // _ALIGNED) * _ALIGNED


def _size(bucket: Sequence[nn.Parameter]) -> int:
    """Return the count of numbers of a flat bucket."""
    _, end = _places(bucket)
    return end + _rounded(len(bucket))


def _write(bucket: Sequence[nn.Parameter], flat: Tensor) -> None:
    """Write the gradients of a bucket into one tensor, and behind them who has one."""
    places, end = _places(bucket)
    flat[end:].zero_()
    for number, (one, start) in enumerate(zip(bucket, places, strict=True)):
        place = flat[start : start + one.numel()]
        if one.grad is None:
            place.zero_()
        else:
            place.view_as(one).copy_(one.grad)
            flat[end + number] = 1


def _sum_in_memory(bucket: Sequence[nn.Parameter], shared: Tensor) -> None:
    """Add up a bucket in the memory of all ranks, and copy the sum to its gradients.

    Each rank has a place in it, and the sum one, at which no other bucket has anything else: a rank
    may write its next bucket while another still reads the sum of this one.
    """
    rank, world, size = dist.get_rank(), dist.get_world_size(), _size(bucket)
    kind = bucket[0].dtype
    parts = shared.view(world + 1, -1)[:, : size * kind.itemsize].view(kind)
    _write(bucket, parts[rank])
    _meet()
    most = _rounded(-(-size // world))
    own = parts[:, rank * most : (rank + 1) * most]
    torch.add(own[0], own[1], out=own[world])
    for other in own[2:world]:
        own[world].add_(other)
    _meet()
    places, end = _places(bucket)
    for one, start, count in zip(bucket, places, parts[world, end:].tolist(), strict=False):
        if count:
            if one.grad is None:
                one.grad = torch.empty_like(one)
            one.grad.copy_(parts[world, start : start + one.numel()].view_as(one))


def _meet() -> None:
    """Wait until all ranks are here."""
    dist.all_reduce(torch.zeros(1))


def _flattened(bucket: Sequence[nn.Parameter]) -> Tensor:
    """Move the gradients of a bucket into one tensor, and behind them who has one."""
    flat = torch.empty(_size(bucket), dtype=bucket[0].dtype, device=bucket[0].device)
    _write(bucket, flat)
    for one in bucket:
        one.grad = None
    return flat


def _spread(bucket: Sequence[nn.Parameter], flat: Tensor) -> None:
    """Give each parameter its part of a sum as its gradient, without a copy."""
    places, end = _places(bucket)
    for one, start, count in zip(bucket, places, flat[end:].tolist(), strict=False):
        one.grad = flat[start : start + one.numel()].view_as(one) if count else None
