"""What a vocabulary has to do with masks: its mask token, and what may take a token's place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nextfill.config import MaskingConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.objectives.masked import Masking


def masking_of(tokenizer: Any, config: MaskingConfig, name: str) -> Masking:
    """Return what is hidden of a text for a model, and how."""
    special = np.array(sorted(set(tokenizer.all_special_ids)), np.int64)
    ids = np.array(sorted(set(tokenizer.get_vocab().values())), np.int64)
    masking = Masking(
        rate=config.rate,
        unit=config.unit,
        mask_id=mask_id_of(tokenizer, name),
        special_ids=special,
        random_ids=ids[~np.isin(ids, special)],
        mask_share=config.mask_share,
        random_share=config.random_share,
    )
    if config.rate_start is not None:
        try:
            replace(masking, rate=config.rate_start)
        except ConfigError as error:
            told = [one.replace("--mask-rate", "--mask-rate-start") for one in error.problems]
            raise ConfigError(told) from error
    return masking


def mask_id_of(tokenizer: Any, name: str) -> int:
    """Return the id of the mask token."""
    mask = tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            f"The tokenizer of {name} has no mask token, which a masked model fills in: give the "
            "model's own tokenizer, or one with a mask token, with --tokenizer."
        )
    return int(mask)
