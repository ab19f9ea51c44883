"""A linear layer whose weight is held in 4 bits, by bitsandbytes.

Imported only where such a layer is made, for bitsandbytes need not be installed.
"""

from __future__ import annotations

from typing import Any

import bitsandbytes
import torch
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class Nf4Linear(Linear4bit):
    """A linear layer in 4 bits that computes in the type that is asked for, on every machine.

    bitsandbytes' own keeps the type of the first row that it sees, and on processors with bfloat16
    turns to it to evaluate whatever that is, which writes its weight anew: a figure of float32
    would be one of bfloat16, by 0.4% of the largest output.

    Args:
        layer: The layer to take the place of, whose bias it shares.
        block_size: Numbers that share a scale.
    """

    def __init__(self, layer: Any, block_size: int) -> None:
        weight, is_conv1d = layer.weight.detach(), isinstance(layer, Conv1D)
        if is_conv1d:
            weight = weight.T
        outputs, inputs = weight.shape
        bias = layer.bias
        super().__init__(inputs, outputs, bias is not None, device="meta")
        self.is_conv1d = is_conv1d
        self.bias = bias
        self.train(layer.training)
        whole = Params4bit(
            weight.contiguous(),
            requires_grad=False,
            blocksize=block_size,
            compress_statistics=True,  # the scales are held in 8 bits
            quant_type="nf4",
        )
        # On the processor, wherever the model goes, so that its numbers are the same everywhere.
        self.weight = whole.to("cpu")
        self.quant_state = self.weight.quant_state

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, in the type of autocast or else that of the inputs."""
        device = x.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        bias = None if self.bias is None else self.bias.to(kind)
        state = self.weight.quant_state
        outputs: Tensor = bitsandbytes.matmul_4bit(
            x.to(kind), self.weight, quant_state=state, bias=bias
        )
        return outputs

    def dense_weight(self) -> Tensor:
        """Return the weight as it is computed with, outputs by inputs, in float32."""
        state = self.weight.quant_state
        weight: Tensor = bitsandbytes.functional.dequantize_4bit(self.weight.data, state)
        return weight

    def dense(self) -> nn.Module:
        """Return a layer of the class that it took the place of, with the same weight."""
        weight = self.dense_weight()
        outputs, inputs = weight.shape
        whole: nn.Module
        if self.is_conv1d:
            whole = Conv1D(outputs, inputs)
            whole.weight = nn.Parameter(weight.T.contiguous(), requires_grad=False)
        else:
            whole = nn.Linear(inputs, outputs, self.bias is not None, device="meta")
            whole.weight = nn.Parameter(weight, requires_grad=False)
        if self.bias is not None:
            whole.bias = self.bias
        return whole.train(self.training)
