"""The choice between a whole model on each rank and a share of it, where the user leaves it open.

Weights, gradients and AdamW's two moments are 16 bytes for each trained parameter in float32, and
4 for each other one. What they leave of a device's memory is for activations. On a CPU the whole
model is always chosen: shares were measured to take more memory there (docs/ranks.md).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from nextfill.config.problems.rank_problems import share_problems
from nextfill.training.distributed.ranks import ManyRanks
from nextfill.training.setup import Setup

logger = logging.getLogger("nextfill")

MOST_OF_MEMORY = 0.6
"""Share of a device's memory up to which a whole model's state is held on each."""

_TRAINED_BYTES, _FROZEN_BYTES = 16, 4


def choose_shares(setup: Setup, ranks: ManyRanks) -> None:
    """Have ranks hold shares of a model whose state would fill a device, and say what was chosen.

    Nothing is done where the user has chosen.
    """
    if not ranks.chooses:
        return
    device = setup.loaded.device
    own = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None
    trained = setup.loaded.num_trained
    frozen = setup.loaded.num_parameters - trained
    needed = _TRAINED_BYTES * trained + _FROZEN_BYTES * frozen
    reasons = [*share_problems(setup.config)]
    if setup.module.expert_load.num_layers:
        reasons.append("a mixture of experts cannot be divided")
    ranks.has_shares, words = shares_of(needed, ranks.gather(own), reasons)
    if ranks.is_first:
        logger.info("%d ranks: %s", ranks.world, words)


def shares_of(
    needed: int, memories: Sequence[int | None], reasons: Sequence[str]
) -> tuple[bool, str]:
    """Return whether each rank is to hold a share, and the choice in words.

    Args:
        needed: Bytes of a whole model's weights, gradients and moments.
        memories: Memory of each rank's device in bytes, None for a CPU.
        reasons: What keeps the model from being divided.

    Example:
        >>> shares_of(16_000_000_000, [24_000_000_000] * 2, [])[0]
        True
        >>> shares_of(16_000_000_000, [80_000_000_000] * 2, [])
        (False, 'the whole model on each (--parallel ddp), 16.0 of 80.0 GB')
    """
    known = [one for one in memories if one is not None]
    if len(known) < len(memories):
        return False, f"the whole model on each (--parallel ddp), {needed / 1e9:.1f} GB"
    room = min(known)
    of_room = f"{needed / 1e9:.1f} of {room / 1e9:.1f} GB"
    if needed <= MOST_OF_MEMORY * room:
        return False, f"the whole model on each (--parallel ddp), {of_room}"
    if reasons:
        return False, f"the whole model on each, {of_room}, though that is much: {reasons[0]}"
    return True, f"a share of the model on each (--parallel fsdp), for whole it takes {of_room}"
