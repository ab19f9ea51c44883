"""Figures of targets by a decoder in parts, for rows of one document each in float32.

It answers as a `StepModule` does, for layouts that are recognised: with weights laid out ahead for
oneDNN, activations of about as many tokens at a time as stay in a cache, and logits of some rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.inference.static_cache import Parts, hidden_states
from nextfill.models.loss import Read, nats_of

_TOKENS, _LOGIT_ROWS = 1024, 256
"""Tokens whose states are computed at once, or one row, and rows of logits that exist at once."""


class DecoderScores(nn.Module):
    """Answers a batch with figures of its targets, as `StepModule` does.

    Args:
        model: Any causal model.
        parts: The same in parts, in float32.
    """

    gathers = True

    def __init__(self, model: nn.Module, parts: Parts) -> None:
        super().__init__()
        self.model = model
        self._parts = parts

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        position_ids: Tensor,
        document_ids: Tensor,
        read: Read = nats_of,
    ) -> Tensor:
        """Read figures off the logits of each target, row by row, ``[N, ...]``.

        Args:
            input_ids: ``[B, T] int64``, each row one document, padded at the right.
            labels: ``[B, T] int64``, -100 where a position has no target.
            position_ids: ``[B, T] int64``.
            document_ids: ``[B, T] int64``, -1 on padding, which no token before it sees.
            read: Reads figures off the targets' logits.
        """
        at_once = max(1, _TOKENS // input_ids.shape[1])
        figures = []
        for start in range(0, len(input_ids), at_once):
            some = slice(start, start + at_once)
            width = int((document_ids[some] >= 0).sum(dim=1).max())
            states = self._states(input_ids[some, :width], position_ids[some, :width])
            targets = labels[some, :width].flatten()
            rows = (targets != NO_TARGET).nonzero()[:, 0]
            if not len(rows):
                continue
            for few in rows.split(_LOGIT_ROWS):  # type: ignore[no-untyped-call]
                logits = self._parts.head(self._parts.last_norm(states[few]))
                figures.append(read(logits, targets[few]))
        return torch.cat(figures)

    def _states(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Return the states of all tokens, ``[B * T, width]``."""

        def keep(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            del layer  # each token of a text is here at once
            return keys, values

        states = hidden_states(self._parts, ids, positions, None, keep, is_causal=True)
        return states.flatten(0, 1)
