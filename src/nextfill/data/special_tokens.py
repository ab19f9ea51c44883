"""The special tokens around documents, and the plan of the training blocks with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nextfill.config import DEFAULT_BLOCK_SIZE, BlocksConfig, Objective, Packing
from nextfill.core.errors import DataError
from nextfill.data.packing.block_counts import BlockCounts, count_by_shard
from nextfill.data.packing.block_plan import BlockPlan, Frame, Ints, plan_blocks
from nextfill.data.packing.targets import with_targets
from nextfill.data.parts import Part


def training_frame(
    tokenizer: Any,
    *,
    end_of_document: bool,
    objective: Objective = "causal",
    packing: Packing = "best-fit",
) -> Frame:
    """Return the special tokens around each training document."""
    if objective == "masked":
        return replace(_call_frame(tokenizer), each_piece=packing != "concat")
    if end_of_document:
        return Frame(_start(tokenizer), _first_id(tokenizer, "eos_token_id", "sep_token_id"))
    return _call_frame(tokenizer)


def block_frame(tokenizer: Any, blocks: BlocksConfig, objective: Objective | None) -> Frame:
    """Return the special tokens around each document of the blocks that the settings ask for."""
    return training_frame(
        tokenizer,
        end_of_document=blocks.end_of_document,
        objective=objective or "causal",
        packing=blocks.packing,
    )


def _call_frame(tokenizer: Any) -> Frame:
    """Return the special tokens that a call of the tokenizer puts around a text."""
    # A letter that the vocabulary has; some, for proteins, say, lack most of them.
    letters = (
        letter for letter in "aA1 acgt" if tokenizer(letter, add_special_tokens=False)["input_ids"]
    )
    letter = next(letters, "a")
    bare = tokenizer(letter, add_special_tokens=False)["input_ids"]
    whole = tokenizer(letter)["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return Frame(tuple(whole[:at]), tuple(whole[at + len(bare) :]))


def evaluation_frame(
    tokenizer: Any, objective: Objective = "causal", *, start_token: bool = True
) -> Frame:
    """Return the frame for scoring.

    A causal model gets a start token as context, and no end, which is not text; a masked one gets
    its training frame around each piece of a document.
    """
    if objective == "masked":
        return training_frame(tokenizer, end_of_document=True, objective=objective)
    return Frame(_start(tokenizer) if start_token else (), ())


def _start(tokenizer: Any) -> tuple[int, ...]:
    return _first_id(tokenizer, "bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id")


def _first_id(tokenizer: Any, *names: str) -> tuple[int, ...]:
    ids = (getattr(tokenizer, name, None) for name in names)
    return next(((i,) for i in ids if i is not None), ())


def plan_training(
    part: Part,
    blocks: BlocksConfig,
    frame: Frame,
    *,
    may_be_empty: bool = False,
    beyond: bool = True,
) -> BlockPlan:
    """Plan the training blocks of a part as the settings say.

    Where documents have contexts, a block of context alone is left out; ``beyond`` tells whether
    the last position of a block predicts the first token of the next.
    """
    plan = _plan(part, part.documents, blocks, frame)
    has_text = plan.num_blocks > 0
    plan = with_targets(plan, part.store, isolate=blocks.isolate, beyond=beyond)
    if not may_be_empty:
        _check_blocks(has_text=has_text, has_targets=plan.num_blocks > 0)
    return plan


def count_blocks(part: Part, blocks: BlocksConfig, frame: Frame) -> BlockCounts:
    """Count the training blocks of a part, as `plan_training` plans them.

    Raises:
        DataError: There is nothing to learn.
    """
    has_text = False

    def plan(documents: Ints) -> BlockPlan:
        nonlocal has_text
        planned = _plan(part, documents, blocks, frame)
        has_text = has_text or planned.num_blocks > 0
        return with_targets(planned, part.store, isolate=blocks.isolate)

    at_once = blocks.window_rows is not None  # windows are counted on from shard to shard
    counts = count_by_shard(part.store, part.documents, plan, at_once=at_once)
    _check_blocks(has_text=has_text, has_targets=counts.num_blocks > 0)
    return counts


def _plan(part: Part, documents: Ints, blocks: BlocksConfig, frame: Frame) -> BlockPlan:
    return plan_blocks(
        part.store,
        documents,
        policy=blocks.packing,
        block_size=blocks.block_size or DEFAULT_BLOCK_SIZE,
        frame=frame,
        window_rows=blocks.window_rows,
    )


def _check_blocks(*, has_text: bool, has_targets: bool) -> None:
    if has_text and not has_targets:
        raise DataError("The training part has nothing to learn: every block is context alone.")
    if not has_text:
        raise DataError("The training part has no text: give more data or a smaller --test-size.")
