"""The infilling of commands that read a tokenizer and no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextfill.config import DEFAULT_BLOCK_SIZE, BlockSettings, LookConfig, Objective
from nextfill.core.errors import ConfigError, DataError
from nextfill.data.infilling import Infilled, Infilling, infilling_of
from nextfill.data.parts import Part
from nextfill.data.special_tokens import training_frame

if TYPE_CHECKING:
    from nextfill.api.look_result import Look


def command_infilling(
    config: BlockSettings, tokenizer: Any, objective: Objective | None, part: str = "train"
) -> Infilling | None:
    """Return the infilling that a command's settings ask for, of the training part alone."""
    name, rate = config.model.tokenizer or config.model.name, config.infilling.rate
    if rate and part != "train":
        raise ConfigError(
            [f"--fim-rate {rate:g} cuts what is trained on: give part='train', or leave it out."]
        )
    return infilling_of(config.infilling, tokenizer, objective, name=name, seed=config.seed)


def infilled_look(
    look: Look,
    part: Part,
    config: LookConfig,
    tokenizer: Any,
    fill: Callable[[Infilling], tuple[Infilled, bool]],
) -> tuple[Look, Part]:
    """Return a look with the counts of infilling, and its documents as they are trained on."""
    infilling = command_infilling(config, tokenizer, look.objective)
    if infilling is None:
        return look, part.joined()
    try:
        cut, _ = fill(infilling)
    except DataError as error:
        return replace(look, problem=str(error)), part
    frame = training_frame(tokenizer, end_of_document=config.blocks.end_of_document)
    room = (config.blocks.block_size or DEFAULT_BLOCK_SIZE) - len(frame)
    counts = cut.counts(part.documents, part.store, room=room)
    return replace(look, infilling=counts), Part(cut.store, part.documents)
