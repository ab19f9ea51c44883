"""The infilling of a run: the tokens that its tokenizer keeps on record, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

from nextfill.config import TrainConfig
from nextfill.core.amounts import amount, part_of, verb
from nextfill.data.infilling import Infilling, infilling_of
from nextfill.data.infilling_tokens import record_infilling_tokens
from nextfill.models.loaded_model import LoadedModel


def set_up_infilling(
    config: TrainConfig, loaded: LoadedModel
) -> tuple[LoadedModel, Infilling | None]:
    """Return the infilling of a run, and its model with a tokenizer that says the tokens of it."""
    infilling = infilling_of(
        config.infilling,
        loaded.tokenizer,
        loaded.objective,
        name=loaded.name,
        seed=config.seed,
        can_add=True,
    )
    if infilling is None:
        return loaded, None
    tokenizer = deepcopy(loaded.tokenizer)  # a live one is the user's
    record_infilling_tokens(tokenizer, infilling.tokens)
    return replace(loaded, tokenizer=tokenizer), infilling


def infilling_note(counts: Mapping[str, int], block_size: int) -> str:
    """Tell what became of the training documents, from their counts in the ledger."""
    documents = sum(counts[key] for key in ("documents", "as_they_are", "too_short"))
    text = (
        f"infilling: {part_of(counts['documents'], documents, 'document')} with the middle last, "
        f"{counts['prefix_first']:,} with the prefix first and {counts['suffix_first']:,} with "
        "the suffix; held-out text stays as it is, so that figures can be compared"
    )
    if short := counts["too_short"]:
        text += f"; {amount(short, 'document')} {verb(short, 'is', 'are')} too short to cut"
    if long := counts["longer_than_a_block"]:
        text += (
            f"; {long:,} of those {verb(long, 'is', 'are')} longer than a block of {block_size} "
            "tokens, so that a middle may be parted from what is before it: a larger --block-size "
            "keeps more of them whole"
        )
    return text
