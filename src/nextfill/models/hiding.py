"""What a model's vocabulary has to do with masks: its mask token, and what may take its place."""

from __future__ import annotations

import numpy as np

from nextfill.config import MaskingConfig
from nextfill.errors import ModelError
from nextfill.models.loaded import LoadedModel
from nextfill.models.shape import embedding_rows
from nextfill.objectives.masked import Masking


def masking_of(loaded: LoadedModel, config: MaskingConfig) -> Masking:
    """Return what is hidden of a text for a model, and how.

    Args:
        loaded: The model and its tokenizer.
        config: The masking section.

    Raises:
        ModelError: If the tokenizer has no mask token.
        ConfigError: If the settings contradict one another.
    """
    tokenizer = loaded.tokenizer
    special = np.array(sorted(set(tokenizer.all_special_ids)), np.int64)
    ids = np.array(sorted(set(tokenizer.get_vocab().values())), np.int64)
    rows = embedding_rows(loaded.model)
    return Masking(
        rate=config.rate,
        unit=config.unit,
        mask_id=mask_id_of(loaded),
        special_ids=special,
        random_ids=ids[(ids < rows) & ~np.isin(ids, special)],
        mask_share=config.mask_share,
        random_share=config.random_share,
    )


def mask_id_of(loaded: LoadedModel) -> int:
    """Return the id of the mask token.

    Raises:
        ModelError: If the tokenizer has none.
    """
    mask = loaded.tokenizer.mask_token_id
    if mask is None:
        raise ModelError(
            f"The tokenizer of {loaded.name} has no mask token, which a masked model fills in: "
            "give the model's own tokenizer, or one with a mask token, with --tokenizer."
        )
    return int(mask)
