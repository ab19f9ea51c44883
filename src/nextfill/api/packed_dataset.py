"""Packed blocks as a map-style data set for transformers' Trainer.

Labels follow transformers' convention: the model shifts them, so the label at a position is its
token where the token before it, of the same document, predicts it, else -100. A document's first
token is never a target, nor is a token of its context, nor the first of a block in which a
document goes on; `nextfill.train` predicts that one from the end of the block before. A masked
model's labels are at the masked tokens themselves, and each epoch has its own masks.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from nextfill.api.dataset_part import check_part, read_part
from nextfill.api.infilling import command_infilling
from nextfill.api.masks import refuse_masks
from nextfill.api.verb import keyword_settings, request_at_level, request_of, resolve
from nextfill.config import BlocksConfig, PackConfig
from nextfill.config.problems.data_problems import share_problems
from nextfill.config.problems.training_problems import training_mask_problems
from nextfill.config.resolve import refuse, refuse_attention, refuse_infilling
from nextfill.config.shorthands import normal_form
from nextfill.core.amounts import amount
from nextfill.core.progress import Observer
from nextfill.data.packing.block_plan import BlockPlan, Frame
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.data.packing.targets import block_targets
from nextfill.data.parts import Part, refuse_contexts
from nextfill.data.special_tokens import block_frame, plan_training
from nextfill.data.store.store_cache import open_stores, store_paths
from nextfill.models.libraries import transformers_as_found
from nextfill.models.objective import objective_of
from nextfill.models.tokenizer import load_tokenizer, masking_of
from nextfill.objectives.batch import Batch
from nextfill.objectives.masked import Masking, word_starts_for
from nextfill.objectives.training_batches import TrainingBatches
from nextfill.terminal.log_level import shown_by_level
from nextfill.terminal.notebook import choose_observer

logger = logging.getLogger("nextfill")

Row = dict[str, Tensor]
"""``input_ids``, ``labels`` and ``position_ids`` of one block, each ``[T] int64``, no padding."""


class PackedDataset(Dataset[Row]):
    """The blocks of a token store, in the order of the data; `packed_dataset` makes one.

    Tokens are read through a memory map when a block is asked for. A copy for another process
    carries the paths and which documents are chosen, and plans the blocks anew; and where words
    begin, a byte a token, if masks are by words.

    Args:
        part: The documents.
        blocks: How they become blocks.
        frame: The special tokens around each.
        masking: Choice of the masked tokens; None for a causal model.
        seed: Keys the masks, with the epoch and the block.
        word_starts: Of each shard, whether a word begins at a token, where the masking wants it.
    """

    def __init__(
        self,
        part: Part,
        blocks: BlocksConfig,
        frame: Frame,
        masking: Masking | None = None,
        *,
        seed: int = 0,
        word_starts: Sequence[NDArray[np.bool_]] | None = None,
    ) -> None:
        self._part, self._blocks = part, blocks  # what a copy is made of
        joined = part.joined()
        # In shared memory, so that persistent workers see a change.
        self._epoch = torch.zeros(1, dtype=torch.long).share_memory_()  # type: ignore[no-untyped-call]
        self._batches = TrainingBatches(
            store=joined.store,
            plan=plan_training(joined, blocks, frame, beyond=False),
            pad_id=0,
            isolate=blocks.isolate,
            seed=seed,
            masking=masking,
            word_starts=word_starts,
        )

    @property
    def plan(self) -> BlockPlan:
        """The tokens of each block."""
        return self._batches.plan

    @property
    def isolate(self) -> bool:
        """Whether documents of a block are kept from seeing one another."""
        return self._blocks.isolate

    def set_epoch(self, epoch: int) -> None:
        """Switch to the masks of another epoch; transformers' Trainer does so at the start of each.

        Args:
            epoch: From 0. Where nobody sets it, as in an evaluation, the masks stay as they are.
        """
        self._epoch.fill_(epoch)

    def batch(self, numbers: NDArray[np.int64], epoch: int | None = None) -> Batch:
        """Return blocks as one batch.

        Args:
            numbers: The blocks, ``[B] int64``.
            epoch: That of the masks; default: the one of `set_epoch`.

        Returns:
            Ids, labels, positions and documents, ``[B, block_size] int64`` each.
        """
        return self._batches(numbers, int(self._epoch) if epoch is None else epoch)

    def __len__(self) -> int:
        return self.plan.num_blocks

    def __getitem__(self, index: SupportsIndex) -> Row:
        return self.__getitems__([operator.index(index)])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        """Return several blocks, read at once, as PyTorch's DataLoader asks for a batch."""
        numbers = np.asarray(indices, np.int64)
        if ((numbers < -len(self)) | (numbers >= len(self))).any():
            raise IndexError(f"found block {numbers.tolist()}; there are {len(self)}")
        batch = self.batch(np.where(numbers < 0, numbers + len(self), numbers))
        labels = batch.labels
        if self._batches.masking is None:  # ours stand where they are predicted
            labels = np.full_like(batch.labels, NO_TARGET)
            labels[:, 1:] = batch.labels[:, :-1]
        lengths = (batch.document_ids >= 0).sum(axis=1)
        columns = {
            "input_ids": batch.input_ids,
            "labels": labels,
            "position_ids": batch.position_ids,
        }
        return [
            {name: torch.from_numpy(values[at, :length]) for name, values in columns.items()}
            for at, length in enumerate(lengths.tolist())
        ]

    @property
    def num_targets(self) -> int:
        """Number of targets over all blocks; of a masked model, in this epoch."""
        if self._batches.masking is not None:
            every = np.array_split(np.arange(len(self)), len(self) // 256 + 1)
            return sum(self.batch(some).num_targets for some in every)
        isolate = self._blocks.isolate
        each = block_targets(self.plan, self._batches.store, isolate=isolate, beyond=False)
        return int(each.sum())

    def __repr__(self) -> str:
        plan = self.plan
        return (
            f"PackedDataset: {amount(len(self), 'block')} of {plan.block_size} tokens "
            f"({plan.policy}); {amount(plan.placed_tokens, 'token')}, "
            f"{amount(self.num_targets, 'target')}"
        )

    def __getstate__(self) -> dict[str, Any]:
        store, batches = self._part.store, self._batches
        chosen = np.zeros(store.num_documents, np.bool_)
        chosen[self._part.documents] = True
        return {
            "paths": store_paths(store),
            "chosen": np.packbits(chosen),
            "settings": (self._blocks, self.plan.frame, batches.masking),
            "keys": {"seed": batches.seed, "word_starts": batches.word_starts},
            "epoch": self._epoch,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        store = open_stores(state["paths"])
        chosen = np.unpackbits(state["chosen"], count=store.num_documents)
        part = Part(store, np.flatnonzero(chosen).astype(np.int64))
        self.__init__(part, *state["settings"], **state["keys"])  # type: ignore[misc]
        self._epoch = state["epoch"].share_memory_()  # a copy's own workers see changes, too


@keyword_settings(PackConfig)
@transformers_as_found()
def packed_dataset(
    *,
    part: Literal["all", "train", "held-out"] = "all",
    observer: Observer | None = None,
    quiet: bool | None = None,
    **keywords: Any,
) -> PackedDataset:
    """Tokenize data once and pack them into blocks, as a data set for transformers' Trainer.

    Args:
        part: All of the data; or the part that `nextfill.train` would train on, or the one that it
            would hold out, with the same ``test_size``, ``eval_data``, ``eval_split`` and ``seed``.
        observer: Receives progress, in place of the observer that ``quiet`` chooses.
        quiet: Whether to show no progress. Unless given, a notebook shows it and a script does not.
        **keywords: Settings named like the flags of ``nextfill prepare``: ``data``, ``tokenizer``
            (a name, or a live one), ``text_field``, ``block_size``, ``packing``, ... and with
            ``objective="masked"`` also those of masks: ``masking``, ``mask_rate``, ...

    Returns:
        A map-style data set of blocks without padding. Train on it with `nextfill.Collator`, which
        keeps packed documents apart; another collator lets them see one another.

    Raises:
        NextfillError: If the data, the tokenizer or a setting cannot be used.

    Example:
        >>> blocks = packed_dataset(data=["one text", "another"] * 9, model="builtin:base-causal",
        ...                         block_size=16)
        >>> sorted(blocks[0])
        ['input_ids', 'labels', 'position_ids']
    """
    observer = choose_observer(observer, quiet=quiet, shown=shown_by_level(keywords))
    request = request_of(PackConfig, keywords, observer)
    try:
        layer = normal_form(PackConfig, request.settings)
        checks = (
            partial(check_part, part, keywords),
            refuse_attention,
            refuse_infilling(PackConfig, layer),
            lambda config: refuse([*training_mask_problems(layer), *share_problems(config.data)]),
        )
        config = resolve(PackConfig, request, *checks)
        request = request_at_level(request, config.log_level)
        if not keywords.keys() & {"model", "tokenizer"}:
            logger.warning(
                "packed_dataset: the tokens are those of %s: name the model or the tokenizer that "
                "they are for, model=... or tokenizer=...",
                config.model.name,
            )
        tokenizer = load_tokenizer(config.model, request.live)
        objective = objective_of(config.model, config.objective, request.live)
        refuse_masks(PackConfig, request.settings, config.model, config.objective, request.live)
        infilling = command_infilling(config, tokenizer, objective, part)
        config = replace(config, objective=objective)
        found = read_part(part, config, tokenizer, request.observer, infilling)
        refuse_contexts(objective, found)
    finally:
        request.observer.on_end()
    frame = block_frame(tokenizer, config.blocks, objective)
    if objective != "masked":
        return PackedDataset(found, config.blocks, frame)
    masking = masking_of(tokenizer, config.masking, config.model.tokenizer or config.model.name)
    starts = word_starts_for(masking, found.store, tokenizer)
    return PackedDataset(found, config.blocks, frame, masking, seed=config.seed, word_starts=starts)
