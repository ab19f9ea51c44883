"""The nats of targets straight from the hidden states before a plain head.

The logits of a step are its largest matrix: 206 MB in float32 for eight blocks of 128 tokens and
GPT-2's vocabulary, 1.6 GB for blocks of 1,024, and several more of the size on the way back. Here
they exist for some rows at a time, in one buffer, in the type of the products. The softmax is in
float32 over a few rows that stay in the cache, and the gradient of the logits takes their place; so
both products with it are made on the way forward, and the way back only multiplies them.

Both matrices are as wide as a multiple of 64, which the products want: 50,257 columns take 1.1 to
1.5 times as long as 50,304.

A GPU takes larger pieces, by the memory that is free, and no parts of them: it has no cache to stay
in, and the host waits for none of its figures.

A head is plain where the model's logits are the answer of one `nn.Linear` and nothing else, which
is tried: caps, scales and adapters are found by what they do to the logits.

Source: Hsu et al. 2024, Liger Kernel (arXiv:2410.10989), section 3.2, for the gradient on the way
forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nextfill.models.libraries import is_watched

_BUFFER = 1 << 26
"""Logits that exist at once: 1,334 rows of GPT-2's vocabulary, 134 MB in bfloat16."""

_BYTES, _SHARE = 6, 16
"""Bytes of a logit in a piece and in its softmax, and the part of a GPU's memory for them."""

_DEVICES = ("cpu", "cuda", "meta")

_IN_CACHE = 1 << 20
"""Logits of a softmax, and weights that change their type, at once: 4 MB."""

_FEW = 1 << 18
"""Logits up to which they are made whole: 1 MB, which pieces save neither time nor memory of."""

WIDTH, HEIGHT = 64, 32
"""What the columns and the rows of a product are filled up to a multiple of."""


class PlainHead:
    """A linear layer whose answer is a model's logits, and which can be left out."""

    def __init__(self, linear: nn.Linear) -> None:
        self._linear = linear

    @property
    def in_use(self) -> bool:
        """Whether the layer is still one that nobody listens to, in float32 on a CPU or GPU."""
        weight = self._linear.weight
        is_ours = weight.device.type in _DEVICES and weight.dtype == torch.float32
        return is_ours and not is_watched(self._linear)

    @contextmanager
    def left_out(self, answer: Tensor | None = None) -> Iterator[list[Tensor]]:
        """Have the layer give an answer, or what it is given, and yield what it was given."""
        given: list[Tensor] = []

        def forward(hidden: Tensor) -> Tensor:
            given.append(hidden)
            return hidden if answer is None else answer

        vars(self._linear)["forward"] = forward  # as an assignment would
        try:
            yield given
        finally:
            del vars(self._linear)["forward"]

    @property
    def vocabulary(self) -> int:
        """The number of logits of a row."""
        return self._linear.out_features

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the whole logits, ``[..., V]``, of what the layer is given, ``[..., H]``."""
        return functional.linear(hidden, self._linear.weight, self._linear.bias)

    def nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the nats of targets, ``[N] float32``.

        Args:
            hidden: What the head is given, ``[N, H]``.
            targets: Ids, ``[N] int64``.
        """
        device = "cpu" if hidden.device.type == "meta" else hidden.device.type
        in_bf16 = torch.is_autocast_enabled(device)
        kind = torch.get_autocast_dtype(device) if in_bf16 else hidden.dtype
        weight, bias = self._linear.weight, self._linear.bias
        return head_nats(hidden.to(kind), weight, bias, targets)


def plain_head(model: nn.Module) -> PlainHead | None:
    """Return the layer that a model names as its last, None where it is no plain one."""
    linear = getattr(model, "get_output_embeddings", lambda: None)()
    if type(linear) is not nn.Linear:
        return None
    head = PlainHead(linear)
    return head if head.in_use else None


def is_worthwhile(rows: int, vocabulary: int) -> bool:
    """Return whether there are enough logits for pieces of them to be of use."""
    return rows * vocabulary > _FEW


def head_nats(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Return the nats of each target under the softmax of a linear layer, ``[N] float32``.

    Args:
        hidden: ``[N, H]``, in the type of the products.
        weight: ``[V, H] float32``.
        bias: ``[V] float32`` or None.
        targets: ``[N] int64``.

    Example:
        >>> hidden, weight = torch.eye(2), torch.zeros(4, 2)
        >>> nats = head_nats(hidden, weight, None, torch.tensor([0, 3]))
        >>> [round(one, 4) for one in nats.exp().tolist()]
        [4.0, 4.0]
    """
    nats: Tensor = _HeadNats.apply(hidden, weight, bias, targets)  # type: ignore[no-untyped-call]
    return nats


class _Gradients(NamedTuple):
    """The gradients of a sum of nats; None of what is not asked for."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


class _HeadNats(torch.autograd.Function):
    """The nats of targets, with the gradients of their sum made on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
    ) -> Tensor:
        ctx.save_for_backward(hidden, weight, bias, targets)
        nats, ctx.found = _nats_and_gradients(
            hidden, weight, bias, targets, ctx.needs_input_grad[:3], None
        )
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        found, ctx.found = ctx.found, None
        factor = gradients[0]
        # Those of a sum are one number in memory, for which the host has not to look at all.
        is_one = gradients.stride() == (0,) or (
            gradients.device.type == "cpu" and bool((gradients == factor).all())
        )
        if found is None or not is_one:
            # Weights of the targets' own, or a second time: what was found is of no use.
            hidden, weight, bias, targets = ctx.saved_tensors
            _, found = _nats_and_gradients(
                hidden, weight, bias, targets, ctx.needs_input_grad[:3], gradients
            )
            factor = torch.ones_like(factor)
        of_hidden = found.hidden if found.hidden is None else found.hidden.mul_(factor)
        of_bias = found.bias if found.bias is None else found.bias.mul_(factor)
        of_weight = None if found.weight is None else _scaled(found.weight, factor)
        return of_hidden, of_weight, of_bias, None


def _nats_and_gradients(  # noqa: PLR0917 - as they are saved
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    wanted: tuple[bool, ...],
    factors: Tensor | None,
) -> tuple[Tensor, _Gradients]:
    """Return the nats, and gradients of their sum, each times its factor if there are any."""
    device = hidden.device
    kind = "cpu" if device.type == "meta" else device.type
    with torch.no_grad(), torch.autocast(kind, enabled=False):
        (rows, width), columns = hidden.shape, len(weight)
        table = _filled_up(weight, -(-columns // WIDTH) * WIDTH, hidden.dtype)
        at_once = _rows_at_once(rows, len(table), _buffer(device))
        logits = hidden.new_empty(at_once, len(table))
        nats = torch.empty(rows, device=device)
        of_hidden = hidden.new_empty(rows, width) if wanted[0] else None
        of_bias = torch.zeros(columns, device=device) if wanted[2] else None
        of_weight: Tensor | None = None
        for start in range(0, rows, at_once):
            end = min(rows, start + at_once)
            some = _filled_up(hidden[start:end], -(-(end - start) // HEIGHT) * HEIGHT)
            mine = logits[: len(some)]
            torch.mm(some, table.t(), out=mine)
            nats[start:end] = _softmax_in_place(
                mine[: end - start, :columns],
                bias,
                targets[start:end],
                None if factors is None else factors[start:end],
                of_bias,
                is_learnt=any(wanted),
            )
            if of_hidden is not None:
                of_hidden[start:end] = torch.mm(mine, table)[: end - start]
            if wanted[1]:
                of_weight = _sum_of_products(of_weight, mine, some, is_last=end == rows)
        of_weight = None if of_weight is None else of_weight[:columns]
        return nats, _Gradients(of_hidden, of_weight, of_bias)


def _buffer(device: torch.device) -> int:
    """Return how many logits exist at once on a device."""
    return _of_gpu(device) if device.type == "cuda" else _BUFFER


@cache
def _of_gpu(device: torch.device) -> int:
    """Return the logits of a piece by the memory that is free at the first step."""
    free, _ = torch.cuda.mem_get_info(device)
    return max(_BUFFER, free // _SHARE // _BYTES)


def _rows_at_once(rows: int, columns: int, buffer: int = _BUFFER) -> int:
    """Return how many rows of logits exist at once: parts of about one size, filled up."""
    most = max(HEIGHT, buffer // columns // HEIGHT * HEIGHT)
    part = -(-rows // -(-rows // most))
    return -(-part // HEIGHT) * HEIGHT


def _filled_up(matrix: Tensor, rows: int, kind: torch.dtype | None = None) -> Tensor:
    """Return a matrix of a type with rows of zeros behind, itself where it is that already."""
    kind = kind or matrix.dtype
    if len(matrix) == rows and matrix.dtype == kind:
        return matrix
    filled = matrix.new_empty(rows, matrix.shape[1], dtype=kind)
    filled[: len(matrix)] = matrix
    filled[len(matrix) :] = 0
    return filled


def _softmax_in_place(
    logits: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    factors: Tensor | None,
    of_bias: Tensor | None,
    *,
    is_learnt: bool,
) -> Tensor:
    """Return the nats of targets, and put the gradient of the logits in the place of these."""
    size = _rows_of_parts(logits)
    scratch = logits.new_empty(min(size, len(logits)), logits.shape[1], dtype=torch.float32)
    found = []
    for start in range(0, len(logits), size):
        some, ids = logits[start : start + size], targets[start : start + size, None]
        shares = scratch[: len(some)].copy_(some)
        if bias is not None:
            shares.add_(bias)
        of_target, top = shares.gather(1, ids), shares.amax(dim=1, keepdim=True)
        torch.softmax(shares, dim=1, out=shares)
        # By the likeliest token, whose share is none that float32 rounds to nothing.
        found.append(top - shares.amax(dim=1, keepdim=True).log() - of_target)
        if is_learnt:
            shares.scatter_add_(1, ids, shares.new_full(ids.shape, -1.0))
            if factors is not None:
                shares.mul_(factors[start : start + size, None])
            if of_bias is not None:
                of_bias.add_(shares.sum(dim=0))
            some.copy_(shares)
    return torch.cat(found).squeeze(1)


def _sum_of_products(
    total: Tensor | None, of_logits: Tensor, hidden: Tensor, *, is_last: bool
) -> Tensor:
    """Add a part of the gradient of the weights, in float32 where there are several parts."""
    if total is None:
        product = torch.mm(of_logits.t(), hidden)
        return product if is_last else product.float()
    if total.dtype == hidden.dtype:
        return total.addmm_(of_logits.t(), hidden)
    product = torch.mm(of_logits.t(), hidden)
    for into, part in zip(_parts(total), _parts(product), strict=True):
        into.add_(part)
    return total


def _scaled(matrix: Tensor, factor: Tensor) -> Tensor:
    """Return a matrix times a factor in float32, and itself changed where it is that already."""
    if matrix.dtype == torch.float32:
        return matrix.mul_(factor)
    scaled = matrix.new_empty(matrix.shape, dtype=torch.float32)
    for into, part in zip(_parts(scaled), _parts(matrix), strict=True):
        into.copy_(part).mul_(factor)
    return scaled


def _rows_of_parts(matrix: Tensor) -> int:
    """Return how many rows of a matrix stay in a CPU's cache; on a GPU all are one part."""
    is_cached = matrix.device.type == "cpu"
    return max(1, _IN_CACHE // matrix.shape[1] if is_cached else len(matrix))


def _parts(matrix: Tensor) -> tuple[Tensor, ...]:
    parts: tuple[Tensor, ...] = matrix.split(_rows_of_parts(matrix))  # type: ignore[no-untyped-call]
    return parts
