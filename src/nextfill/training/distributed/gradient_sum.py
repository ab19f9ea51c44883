"""The gradients of all ranks added up, in flat buckets, once all micro-batches of a step are done.

A step has one sum however many micro-batches it has. Beside each gradient goes a number that says
whether a rank has one: a parameter that no rank has a gradient of keeps none, so that the optimizer
leaves it alone as in one process. Every rank ends with the same bits, since a bucket is added up at
one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET_BYTES = 2**25
"""Bytes of a bucket at least: large enough that messages are few, small beside the gradients."""

_ALIGNED = 16
"""Numbers to which a gradient's place is rounded up, so that the optimizer reads whole vectors."""


def sum_gradients(model: nn.Module) -> None:
    """Give every rank the sum of all ranks' gradients of the trained parameters."""
    trained = [one for one in model.parameters() if one.requires_grad]
    waiting: list[tuple[list[nn.Parameter], Tensor, dist.Work | None]] = []
    for of_rank in _buckets(trained):
        sent = _flattened(of_rank)
        waiting.append((of_rank, sent, dist.all_reduce(sent, async_op=True)))
    for bucket, flat, work in waiting:
        if work is not None:
            work.wait()
        _spread(bucket, flat)


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
        end += -(-one.numel() // _ALIGNED) * _ALIGNED
    return places, end


def _flattened(bucket: Sequence[nn.Parameter]) -> Tensor:
    """Move the gradients of a bucket into one tensor, and behind them who has one."""
    places, end = _places(bucket)
    flat = torch.zeros(end + len(bucket), dtype=bucket[0].dtype, device=bucket[0].device)
    for number, (one, start) in enumerate(zip(bucket, places, strict=True)):
        if one.grad is not None:
            flat[start : start + one.numel()].copy_(one.grad.reshape(-1))
            flat[end + number] = 1
            one.grad = None  # so that no more than a bucket is there twice
    return flat


def _spread(bucket: Sequence[nn.Parameter], flat: Tensor) -> None:
    """Give each parameter its part of a sum as its gradient, without a copy."""
    places, end = _places(bucket)
    holders = flat[end:].tolist()
    for one, start, count in zip(bucket, places, holders, strict=True):
        one.grad = flat[start : start + one.numel()].view_as(one) if count else None
