"""Products with a layer's weights in forms that a CPU reads quickly, for a few rows at a time.

A step of generation multiplies one row, or a few, with every weight of a model, and so takes the
time that reading them takes. A CPU reads half precision faster than float32, and 8 bits faster
still, but only from kernels made for few rows: oneDNN's of bfloat16 are no faster for one row than
float32's, where FBGEMM's of float16 are by several times.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nextfill.core.errors import ConfigError

Weights = Literal["fp32", "laid out", "half", "int8"]
"""Forms of weights: as they are; for many rows at a time; float16 or bfloat16 by the number of
rows; 8 bits a number."""

Product = Callable[[Tensor], Tensor]
"""From rows ``[rows, in] float32`` to ``[rows, out] float32``, the bias added."""

FEW_ROWS = 4
"""Rows up to which a product with float16 weights is faster than one with bfloat16."""

_SOME_ROWS, _MANY_ROWS = 16, 512
"""Rows that weights are laid out for; any number can be multiplied."""

_LARGEST_HALF = 65504.0


def packed_product(weight: Tensor, bias: Tensor | None, weights: Weights) -> Product:
    """Return the product with a layer's weights.

    Args:
        weight: ``[out, in] float32``, of any strides.
        bias: ``[out] float32``, or None.
        weights: The form to hold them in.

    Raises:
        ConfigError: For 8 bits, where this processor's PyTorch has no kernel for them.
    """
    if weights == "int8":
        return _Int8(weight, bias)
    if weights == "half":
        return _Half(weight, bias)
    if weights == "laid out":
        return many_row_product(weight, bias, torch.float32)
    if weight.is_contiguous():
        return lambda rows: functional.linear(rows, weight, bias)
    columns = weight.t()  # as a Conv1D has it, which needs no copy
    if bias is None:
        return lambda rows: rows @ columns
    return lambda rows: torch.addmm(bias, rows, columns)


def many_row_product(weight: Tensor, bias: Tensor | None, kind: torch.dtype) -> Product:
    """Return the product with a layer's weights that a CPU is quickest at with hundreds of rows.

    The weights are a copy, laid out ahead as oneDNN multiplies them: 1.15 times as fast as
    PyTorch's own product in float32, and in bfloat16, where that lays them out anew at each call,
    1.05 to 1.5 times.

    Args:
        weight: ``[out, in] float32``, of any strides.
        bias: ``[out] float32``, or None.
        kind: float32 or bfloat16, that of the weights, the sums and the result; the rows are cast.
    """
    laid_out = _reordered(weight.to(kind), _MANY_ROWS)
    bias = None if bias is None else bias.to(kind)
    return lambda rows: _product_of_layout(rows.to(kind), laid_out, bias)


def has_int8() -> bool:
    """Return whether PyTorch has products in 8 bits for this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines


class _Half:
    """A product in half precision: float16 weights for few rows, bfloat16 for many.

    float16 has three bits more than bfloat16, and its rows stay float32, but its range ends at
    65,504: weights beyond it are bfloat16 always.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight = weight
        self._bias = bias
        in_range = bool(weight.abs().max() <= _LARGEST_HALF)
        self._few_rows = FEW_ROWS if in_range and has_int8() else 0
        self._float16: torch.ScriptObject | None = None
        self._bfloat16: tuple[Tensor, Tensor | None] | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        if rows.shape[0] <= self._few_rows:
            if self._float16 is None:
                pack = torch.ops.quantized.linear_prepack_fp16
                self._float16 = pack(self._weight.contiguous(), self._bias)
            product: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, self._float16)
            return product
        if self._bfloat16 is None:
            bias = None if self._bias is None else self._bias.bfloat16()
            self._bfloat16 = _reordered(self._weight.bfloat16(), _SOME_ROWS), bias
        weight, bias = self._bfloat16
        return _product_of_layout(rows.bfloat16(), weight, bias).float()


def _reordered(weight: Tensor, rows: int) -> Tensor:
    weight = weight.contiguous()
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return weight
    reordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return reordered


def _product_of_layout(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not weight.is_mkldnn:
        return functional.linear(rows, weight, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class _Int8:
    """A product with weights of 8 bits, and rows that are rounded to 8 bits as they come.

    Each row of the weights has a scale of its own, by its largest number.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        if not has_int8():
            raise ConfigError(
                ["--weights int8: PyTorch has no products in 8 bits for this processor: give full."]
            )
        scale = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).double()
        zeros = torch.zeros(len(scale), dtype=torch.int64)
        before = torch.backends.quantized.engine
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch on its own move to another library
            numbers = torch.quantize_per_channel(weight.contiguous(), scale, zeros, 0, torch.qint8)
            torch.backends.quantized.engine = "fbgemm"
            try:
                self._packed = torch.ops.quantized.linear_prepack(numbers, bias)
            finally:
                torch.backends.quantized.engine = before
        # Processors without VNNI add pairs in 16 bits, which 8 bits of both would overflow.
        self._reduce_range = not torch.cpu._is_vnni_supported()

    def __call__(self, rows: Tensor) -> Tensor:
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self._packed, self._reduce_range)
        return product
