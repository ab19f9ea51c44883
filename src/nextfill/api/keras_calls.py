"""The calls of the guides' Keras half: a data set, an optimizer, and a callback for each epoch."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from nextfill.api.keras_arguments import check_callback, evaluation_settings, whole_number
from nextfill.api.packed_dataset import PackedDataset
from nextfill.config import TrainConfig
from nextfill.config.command_line.python_messages import keyword_errors
from nextfill.config.foreign.foreign_keywords import answers_keywords
from nextfill.config.layers import build, keyword_assignments
from nextfill.core.atomic_write import write_file
from nextfill.core.errors import ConfigError, NextfillError
from nextfill.core.json_text import to_json
from nextfill.core.paths import user_path
from nextfill.data.packing.order import block_order
from nextfill.hub.account import check_access
from nextfill.keras_engine.adamw import AdamW, make_optimizer
from nextfill.keras_engine.fit import arrays, set_seeds, synchronize
from nextfill.keras_engine.language_model import LanguageModel
from nextfill.keras_engine.transformers_models import write_model
from nextfill.training import schedule as schedules

logger = logging.getLogger("nextfill")

if TYPE_CHECKING:
    from nextfill.config import Schedule


class BlockDataset(keras.utils.PyDataset):
    """Batches of blocks for `fit` and `evaluate`: inputs, labels, and weights of 1 and 0.

    Each epoch has an order, and masks, of its own; `dataset` makes one.
    """

    def __init__(
        self, blocks: PackedDataset, batch_size: int, *, shuffle: bool, seed: int, epoch: int = 0
    ) -> None:
        super().__init__()
        self._blocks, self._batch_size = blocks, batch_size
        self._shuffle, self.seed, self._epoch = shuffle, seed, epoch
        self._masks = epoch  # not those of the blocks, which others may read in an epoch of theirs
        self._order = self._next_order()

    def _next_order(self) -> np.ndarray[Any, Any]:
        plan = self._blocks.plan
        if self._shuffle:
            self._masks = self._epoch
            return block_order(plan.shard, self.seed, self._epoch)
        return np.arange(plan.num_blocks)

    def __len__(self) -> int:
        return math.ceil(len(self._blocks) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], Any, Any]:
        first = index * self._batch_size
        numbers = self._order[first : first + self._batch_size]
        return arrays(self._blocks.batch(numbers, self._masks), isolate=self._blocks.isolate)

    def on_epoch_end(self) -> None:
        """Go on to the order and the masks of the next epoch."""
        self.go_to_epoch(self._epoch + 1)

    def go_to_epoch(self, epoch: int) -> None:
        """Take the order and the masks of an epoch, counted from 0."""
        self._epoch = epoch
        self._order = self._next_order()


@answers_keywords("nextfill.keras.dataset")
def dataset(
    blocks: PackedDataset,
    *,
    batch_size: int = 8,
    shuffle: bool = True,
    seed: int = 0,
    initial_epoch: int = 0,
) -> BlockDataset:
    """Make batches for Keras, in the place of ``prepare_tf_dataset``.

    Args:
        blocks: Blocks of `nextfill.packed_dataset`.
        batch_size: Blocks of a batch.
        shuffle: Whether each epoch has an order, and masks, of its own, those of ``nextfill
            train``. Without it, for an evaluation, both stay as they are.
        seed: Keys the order.
        initial_epoch: The first epoch, as `fit` takes it when a training goes on.

    Returns:
        A `keras.utils.PyDataset`: of each batch the inputs ``input_ids``, ``position_ids`` and
        ``document_ids``, the labels and their weights, all ``[B, T]``.

    Example:
        >>> import nextfill
        >>> blocks = nextfill.packed_dataset(data=["one text", "another"] * 9, block_size=16,
        ...                                  model="builtin:base-causal")
        >>> inputs, labels, weights = dataset(blocks, batch_size=2)[0]
        >>> labels.shape
        (2, 16)
    """
    if not isinstance(blocks, PackedDataset):
        raise ConfigError(
            [
                f"blocks: found a {type(blocks).__name__}; expected those of "
                "nextfill.packed_dataset(data=..., model=...)."
            ]
        )
    batch_size = whole_number("batch_size", batch_size, 1, "8")
    seed = whole_number("seed", seed, 0, "0")
    initial_epoch = whole_number("initial_epoch", initial_epoch, 0, "0")
    return BlockDataset(blocks, batch_size, shuffle=shuffle, seed=seed, epoch=initial_epoch)


@answers_keywords("nextfill.keras.adamw")
def adamw(
    model: LanguageModel,
    num_steps: int,
    *,
    learning_rate: float = 2e-5,
    weight_decay: float = 0.01,
    warmup_steps: float = 0.0,
    schedule: Schedule = "linear",
    max_grad_norm: float = 0.0,
) -> AdamW:
    """Make an AdamW without decay of biases and norms, in the place of ``create_optimizer``.

    Args:
        model: The model that it is to train.
        num_steps: Steps of the whole training.
        learning_rate: Peak of the rate.
        weight_decay: Decay of all weights but biases and norms.
        warmup_steps: Steps of warm-up, or below 1 a share of all steps.
        schedule: The rate after the warm-up; ``linear`` is ``create_optimizer``'s polynomial decay.
        max_grad_norm: Norm to which gradients are clipped; 0 for none.

    Returns:
        An optimizer for ``model.compile``.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
    """
    if not isinstance(model, LanguageModel):
        raise ConfigError(
            [
                f"model: found {model!r:.60}; expected a model of "
                "nextfill.keras.from_transformers: adamw(model, num_steps, learning_rate=...)."
            ]
        )
    num_steps = whole_number("num_steps", num_steps, 1, "epochs * len(train_set)")
    settings = {
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warmup_steps": warmup_steps,
        "schedule": schedule,
        "max_grad_norm": max_grad_norm,
    }
    with keyword_errors(TrainConfig):
        layer, problems = keyword_assignments(TrainConfig, settings)
        training = build(TrainConfig, [layer], problems).training
    first = schedules.warmup_steps(training.warmup_steps, num_steps)
    rates = [
        schedules.learning_rate_at(
            step,
            peak=training.learning_rate,
            num_steps=num_steps,
            warmup=first,
            schedule=training.schedule,
        )
        for step in range(num_steps)
    ]
    decay, norm = training.weight_decay, training.max_grad_norm
    return make_optimizer(model, rates, weight_decay=decay, max_norm=norm)


class Callback(keras.callbacks.Callback):
    """Evaluates, writes and saves at the end of each epoch, in the place of ``PushToHubCallback``.

    Args:
        out: A folder, new or of an earlier training that goes on: gets ``events.jsonl``, a line an
            epoch, and ``model/``, which transformers and Nextfill read, whole at any moment. An
            epoch that is trained again has its line, and those after it, written anew.
        tokenizer: Saved beside the model; default: the one that it was loaded with.
        evaluation: A file of text, or settings of `nextfill.evaluate`, such as
            ``{"data": "held-out.txt"}``; without any the model is not evaluated.
        dataset: The blocks that `fit` takes. Their order and masks, and the dropout, are then those
            of the epoch that it is in, so that a training which `keras.callbacks.BackupAndRestore`
            brought back goes on as if it had not been stopped. Give `fit` that one after this
            one, so that an epoch counts as done when its model is saved.
        share: ``USER/NAME``: push the model to the Hub at the end of each epoch. `fit` does not
            begin without leave to; a push that fails later is told, noted in the events, and ends
            nothing.
    """

    @answers_keywords("nextfill.keras.Callback")
    def __init__(
        self,
        out: str | Path,
        tokenizer: Any = None,
        *,
        evaluation: Mapping[str, Any] | str | PathLike[str] | None = None,
        dataset: BlockDataset | None = None,
        share: str | None = None,
    ) -> None:
        super().__init__()
        check_callback(out, tokenizer, dataset, share)
        self.dataset = dataset
        self.out, self.tokenizer, self.share = user_path(str(out), "out"), tokenizer, share
        self.evaluation = evaluation_settings(evaluation)
        self.events: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the folder, and see that there is leave to push to the Hub."""
        self.out.mkdir(parents=True, exist_ok=True)
        if self.share is not None:
            check_access(self.share, private=False)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take the blocks and the dropout of the epoch."""
        if self.dataset is not None:
            self.dataset.go_to_epoch(epoch)
            set_seeds(self.model, self.dataset.seed, epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save the model, evaluate it, write the epoch's line, and push."""
        from nextfill.api.inference import evaluate
        from nextfill.api.share import share

        synchronize(self.model)
        folder = self.out / "model"
        write_model(self.model, folder, self.tokenizer)
        event: dict[str, Any] = {"event": "epoch", "epoch": epoch + 1}
        event |= {key: float(value) for key, value in (logs or {}).items()}
        if self.evaluation is not None:
            found = evaluate(
                self.model, tokenizer=self.tokenizer or self.model.tokenizer, **self.evaluation
            )
            event |= {
                "perplexity": found.perplexity,
                "nats": found.nats,
                "targets": found.targets,
                "documents": found.documents,
            }
        if self.share is not None:
            try:
                event["shared"] = share(folder, self.share).url
            except NextfillError as error:
                event["not shared"] = str(error)
                logger.warning("epoch %d is not shared: %s", epoch + 1, error)
        self.events.append(event)
        events = self.out / "events.jsonl"
        before = _epochs_before(epoch + 1, events)
        with write_file(events, owned=True) as beside:
            beside.write_text("".join([*before, to_json(event) + "\n"]), encoding="utf-8")


def _epochs_before(epoch: int, events: Path) -> list[str]:
    """Return the lines of the epochs before one, of a training that came to it again."""
    if not events.is_file():
        return []
    lines = events.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] < epoch]
