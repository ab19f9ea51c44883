"""The special tokens around documents, and the plan of the training blocks with them."""

from __future__ import annotations

from typing import Any

from nextfill.config import DEFAULT_BLOCK_SIZE, BlocksConfig
from nextfill.data.packing.plan import BlockPlan, Frame, plan_blocks
from nextfill.data.parts import Part
from nextfill.errors import DataError


def training_frame(tokenizer: Any, *, end_of_document: bool) -> Frame:
    """Return the special tokens around each training document.

    Args:
        tokenizer: A transformers tokenizer.
        end_of_document: Put a start token before and an end token after each document; otherwise
            only what the tokenizer's own call adds, as the public guide has it.

    Returns:
        The frame. The start token lets the first real token be predicted, too; where the
        tokenizer has none, its end token begins the document, as GPT-2's does in its own training.
    """
    if end_of_document:
        return Frame(_start(tokenizer), _first_id(tokenizer, "eos_token_id", "sep_token_id"))
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return Frame(tuple(whole[:at]), tuple(whole[at + len(bare) :]))


def evaluation_frame(tokenizer: Any) -> Frame:
    """Return the frame for scoring: a start token as context, and no end, which is not text."""
    return Frame(_start(tokenizer), ())


def _start(tokenizer: Any) -> tuple[int, ...]:
    return _first_id(tokenizer, "bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id")


def _first_id(tokenizer: Any, *names: str) -> tuple[int, ...]:
    ids = (getattr(tokenizer, name, None) for name in names)
    return next(((i,) for i in ids if i is not None), ())


def plan_training(part: Part, blocks: BlocksConfig, frame: Frame) -> BlockPlan:
    """Plan the training blocks of a part as the settings say."""
    plan = plan_blocks(
        part.store,
        part.documents,
        policy=blocks.packing,
        block_size=blocks.block_size or DEFAULT_BLOCK_SIZE,
        frame=frame,
        window_rows=blocks.window_rows,
    )
    if plan.num_blocks == 0:
        raise DataError("The training part has no text: give more data or a smaller --test-size.")
    return plan
