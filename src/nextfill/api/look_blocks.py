"""Blocks that the data of a look become, and the first of them token by token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextfill.api.look_result import ExampleBlock, Look
from nextfill.config import LookConfig, Objective
from nextfill.data.parts import Part

if TYPE_CHECKING:
    from nextfill.data.packing.block_plan import BlockPlan


def with_blocks(look: Look, part: Part, config: LookConfig, tokenizer: Any) -> Look:
    """Return a look with the number of blocks, and the first of them."""
    from nextfill.data.special_tokens import block_frame, plan_training

    objective = look.objective
    frame = block_frame(tokenizer, config.blocks, objective)
    plan = plan_training(part, config.blocks, frame)
    example = _first_block(part, plan, config, tokenizer, objective)
    return replace(look, num_blocks=plan.num_blocks, example=example)


def _first_block(
    part: Part, plan: BlockPlan, config: LookConfig, tokenizer: Any, objective: Objective
) -> ExampleBlock:
    import numpy as np

    from nextfill.data.packing.block_reader import NO_TARGET
    from nextfill.models.tokenizer import masking_of
    from nextfill.objectives.masked import word_starts_for
    from nextfill.objectives.training_batches import TrainingBatches
    from nextfill.tokenizers.token_text import token_text

    masking, starts = None, None
    if objective == "masked":
        name = config.model.tokenizer or config.model.name
        masking = masking_of(tokenizer, config.masking, name)
        starts = word_starts_for(masking, part.store, tokenizer)
    batches = TrainingBatches(
        store=part.store,
        plan=plan,
        pad_id=0,
        isolate=config.blocks.isolate,
        seed=config.seed,
        masking=masking,
        word_starts=starts,
    )
    batch = batches(np.zeros(1, np.int64))
    length = batch.num_tokens
    ids, labels = batch.input_ids[0, :length].tolist(), batch.labels[0, :length].tolist()
    tokens = [token_text(tokenizer, one) for one in ids]
    hidden = [
        (token_text(tokenizer, label), token)
        for token, label in zip(tokens, labels, strict=True)
        if masking is not None and label != NO_TARGET
    ]
    in_context = None if part.store.contexts is None else length - batch.num_targets
    return ExampleBlock(tokens, int(batch.document_ids[0].max()) + 1, hidden, in_context)
