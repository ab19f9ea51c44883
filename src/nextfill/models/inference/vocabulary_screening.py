"""The likeliest tokens of one row, from a copy of a vocabulary's weights in 8 bits.

A step for one text reads all weights of a model once, and nearly half of DistilGPT2's are those of
its vocabulary. Which of 50,257 tokens may be among the likeliest 50 is told by weights of 8 bits
and a bound on what their rounding can change; the logits of these few hundred are computed with the
weights as they are. Nothing is lost: every token that is left out is proved to be less likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nextfill.models.inference.matrix_products import has_int8

_BLOCK = 256
"""Tokens whose weights of one input share a scale."""

_GROUP = 64
"""Tokens that share a bound, of which the best alone counts as one that is surely likely."""

_SHARE = 8
"""At most this share of the vocabulary, 1 / 8, is worth computing anew."""

_LEAST_WEIGHTS = 2**23
"""Weights from which on it pays: fewer are read from a cache as quickly."""

_ROUNDING = 1e-4
"""More than the rounding in a float32 sum of some thousand products, as a share of their sizes."""


@dataclass(frozen=True)
class Candidates:
    """The tokens of a row that may be the likeliest, and their logits.

    Args:
        ids: ``[1, n] int64``, ascending.
        logits: ``[1, n] float32``.
    """

    ids: Tensor
    logits: Tensor


class VocabularyScreen:
    """Finds the tokens of a row that may be among the likeliest, with their logits.

    The copy holds, of each block of tokens, one row for each input, rounded with a scale and an
    offset of its own, as `embedding_bag` reads it: the sum of these rows weighted by the inputs is
    the product, at the speed of memory, and what is multiplied is not rounded.

    Args:
        weight: The head's, ``[V, width] float32``, without a bias; it is not copied.

    Source:
        The bound is Cauchy's and Schwarz's: ``|x . e| <= |x * d| |e / d|`` for the errors ``e`` of
        a token's weights, with ``d`` the usual size of an input's errors.
    """

    def __init__(self, weight: Tensor) -> None:
        width = weight.shape[1]
        self._weight = weight
        blocks = [weight[first : first + _BLOCK] for first in range(0, len(weight), _BLOCK)]
        tables = [_packed(block) for block in blocks]
        self._table = torch.cat(tables)
        self._rows = torch.arange(len(self._table), dtype=torch.int32)
        self._bags = torch.arange(0, len(self._table), width, dtype=torch.int32)
        numbers = self._table[:, _BLOCK:].view(torch.float32).view(len(blocks), width, 2)
        scales, offsets = numbers.unbind(2)
        errors = scales.square().mean(dim=0).sqrt().clamp(min=1e-30)
        # Infinite where the last group is filled up: all of it are candidates, and none is sure.
        bounds = torch.full((len(blocks), _BLOCK), torch.inf)
        for own, block, table in zip(bounds, blocks, tables, strict=True):
            rounded = torch.ops.quantized.embedding_bag_byte_unpack(table).t()[: len(block)]
            own[: len(block)] = (block - rounded).div_(errors).norm(dim=1)
        bounds = bounds.view(-1, _GROUP).amax(dim=1)
        largest = torch.maximum(offsets.abs(), (offsets + 255 * scales).abs())
        rounding = _ROUNDING * largest.norm(dim=1).max()
        self._squares = torch.stack([errors, rounding.expand(width)]).square()
        self._bounds = torch.stack([bounds, torch.ones(len(bounds))], dim=1)

    def __call__(self, row: Tensor, count: int) -> Candidates | None:
        """Return the tokens that may be among the likeliest, and all that are as likely as these.

        Args:
            row: What the head is applied to, ``[1, width] float32``.
            count: How many of the likeliest are asked for.

        Returns:
            None where there are so many that all logits are as quickly computed, or none at all
            can be told, as of numbers that are none.
        """
        vocabulary, groups = len(self._weight), len(self._bounds)
        if count > groups:
            return None
        near = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
            *(self._table, self._rows, self._bags, False, 0, False),
            row.expand(len(self._bags), -1).reshape(-1),
        ).view(groups, _GROUP)
        bounds = torch.mv(self._bounds, torch.mv(self._squares, row[0].square()).sqrt_())
        least = (near.amax(dim=1) - bounds).topk(count).values[-1]
        may_be = near >= (least - bounds)[:, None]
        ids = may_be.view(-1)[:vocabulary].nonzero()[:, 0]
        if not count <= len(ids) <= vocabulary // _SHARE:
            return None
        logits = torch.mv(self._weight.index_select(0, ids), row[0])
        return Candidates(ids[None], logits[None])


def _packed(block: Tensor) -> Tensor:
    """Return weights of a block of tokens or fewer, filled up, ``[inputs, bytes] uint8``."""
    missing = _BLOCK - len(block)
    if missing:
        block = torch.cat([block, block[:1].expand(missing, -1)])
    packed: Tensor = torch.ops.quantized.embedding_bag_byte_prepack(block.t().contiguous())
    return packed


def vocabulary_screen(weight: Tensor, bias: Tensor | None) -> VocabularyScreen | None:
    """Return the screen of a head's weights, or None where it is of no use.

    Args:
        weight: ``[V, width] float32``.
        bias: ``[V] float32``, or None.
    """
    if bias is not None or weight.numel() < _LEAST_WEIGHTS or not has_int8():
        return None
    if not weight.is_contiguous() or not bool(weight.isfinite().all()):
        return None
    return VocabularyScreen(weight.detach())
