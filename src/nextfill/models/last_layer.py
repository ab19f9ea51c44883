"""The last layer of a model, computed at some positions of a batch once its attention is done.

Attention reads every position; what follows it in a layer is computed for each position by itself,
and of the last layer only the positions with a target are read. In a masked step, with a target at
15 positions of 100, a tenth of all products so falls away, on the way forward and back.

A layer ends in one of two ways. BERT's adds and norms what its attention answers, and the rest
goes on with these rows alone: they are *gathered*, and the layer's answer has no others. ModernBERT
adds the answer of a feed-forward network to all positions: the network is given the rows alone, and
its answer is *put back* among zeros, in rows that nobody reads. Which of them a model has, if any,
is tried with its own logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.models.expert_load import ExpertLoad
from nextfill.models.libraries import rescales

_GATHERED = ("attention.output", "attention.LayerNorm", "sa_layer_norm")
"""Modules that are given what a layer's attention answers, and the rest of the layer follows."""

_PUT_BACK = ("mlp", "feed_forward", "ffn")
"""Feed-forward networks whose answer is added to what they were given, or to more."""

_SHARE = 0.75
"""Share of the positions above which all are computed: taking rows has a cost of its own."""

_NOISE = 0.1
"""Standard deviation of what is added to a weight to try a part."""

_NUMBERS = 65_537
"""Numbers of this noise that are drawn: a prime, so that no two rows of a weight have the same."""


class LastLayer:
    """The part of a last layer that is computed at some positions alone.

    Args:
        module: That part, or the module that it begins with.
        layer: The layer.
        is_gathered: Whether the layer goes on with the rows, and has no others at its end.
    """

    def __init__(self, module: nn.Module, layer: nn.Module, *, is_gathered: bool) -> None:
        self._module = module
        self._layer = layer
        self._is_gathered = is_gathered
        self.has_taken_rows = False

    def is_worthwhile(self, rows: int, positions: int) -> bool:
        """Return whether to compute the rows alone, of which some are left out."""
        if not 0 < rows <= _SHARE * positions:
            return False
        # Activations that are made anew on the way back would be made without a hook.
        return not self._layer.training or not any(
            getattr(one, "gradient_checkpointing", False) for one in self._layer.modules()
        )

    def shaken_weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the layer's weights, by their names in a model, with noise added.

        Networks begin with zeros in places, which would hide how the positions hang together.
        """
        own = set(map(id, self._layer.parameters()))
        numbers = torch.randn(_NUMBERS, generator=torch.Generator().manual_seed(0))

        def shaken(weight: Tensor) -> Tensor:
            own_numbers = numbers.to(weight).repeat(-(-weight.numel() // _NUMBERS))
            noise = own_numbers[: weight.numel()].view(weight.shape)
            return torch.add(weight, noise, alpha=_NOISE)

        return {
            name: shaken(p)
            for name, p in model.named_parameters()
            if id(p) in own and p.is_floating_point()
        }

    @contextmanager
    def at(self, rows: Tensor, count: int, shape: tuple[int, int]) -> Iterator[list[bool]]:
        """Compute the part at rows of a flattened batch, of which the first are put back.

        Args:
            rows: ``[N] int64``.
            count: The number of the first of them that are put back, where any are.
            shape: That of the batch, ``(B, T)``.

        Yields:
            A list that has a member once the layer goes on with the rows alone. It stays empty
            where a model fills texts up to a length of its own, and all positions are computed.
        """
        gone_on: list[bool] = []

        def take(module: nn.Module, args: Any, named: Mapping[str, Any]) -> tuple[Any, Any]:
            return tuple(map(some, args)), {name: some(one) for name, one in named.items()}

        def some(given: Any) -> Any:
            if isinstance(given, Tensor) and given.ndim == 3 and given.shape[:2] == shape:
                gone_on.append(True)
                self.has_taken_rows = True
                return given.flatten(0, 1)[rows][None]
            return given

        def put_back(module: nn.Module, args: Any, answer: Any) -> Any:
            if not gone_on:
                return answer
            if not isinstance(answer, Tensor):  # a router's figures beside it
                raise TypeError(f"{type(module).__name__} answers with more than one tensor")
            gone_on.clear()
            whole = answer.new_zeros(shape[0] * shape[1], answer.shape[-1])
            return whole.index_copy(0, rows[:count], answer[0, :count]).view(*shape, -1)

        hooks = [self._module.register_forward_pre_hook(take, with_kwargs=True)]
        if not self._is_gathered:
            hooks.append(self._module.register_forward_hook(put_back))
        try:
            yield gone_on
        finally:
            for hook in hooks:
                hook.remove()


def parts_of_last_layer(body: nn.Module) -> Iterator[LastLayer]:
    """Yield parts of a body's last layer that may be computed at some positions alone, to try."""
    lists = [one for one in body.modules() if isinstance(one, nn.ModuleList) and len(one)]
    # A mixture's tokens are counted, and weighed against one another, all of them; RWKV divides
    # whatever weights it finds as it evaluates, and counts how often.
    if not lists or ExpertLoad(body).num_layers or any(map(rescales, body.modules())):
        return
    layer = max(lists, key=len)[-1]
    parts = dict(layer.named_modules())
    for names, is_gathered in ((_GATHERED, True), (_PUT_BACK, False)):
        for name in names:
            if name in parts:
                yield LastLayer(parts[name], layer, is_gathered=is_gathered)
