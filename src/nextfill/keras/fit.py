"""Training by Keras' own `fit`, from the batches of a run, into the run's events and checkpoints.

The run's PyTorch model is the one that is evaluated, sampled and saved: before each of these it is
given the weights that Keras has. Checkpoints are those of the PyTorch engine, moments of AdamW too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from nextfill.data.packing.order import philox
from nextfill.keras.models import LanguageModel
from nextfill.objectives.batch import Batch

SEEDS = "seed_generator_state"


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of some steps, in order, as `fit` takes them.

    Args:
        make: Makes the batch of a step, counted from the first of a run.
        first: The step of the first batch.
        stop: The step after the last.
    """

    def __init__(self, make: Callable[[int], Batch], first: int, stop: int) -> None:
        super().__init__()
        self._make, self._first, self._stop = make, first, stop

    def __len__(self) -> int:
        return self._stop - self._first

    def __getitem__(self, index: int) -> tuple[dict[str, Any], Any, Any]:
        return arrays(self._make(self._first + index))


def arrays(batch: Batch) -> tuple[dict[str, Any], Any, Any]:
    """Return a batch as Keras takes it: inputs, labels ``[B, T] int32``, weights of 1 and 0."""
    inputs = {
        "input_ids": batch.input_ids.astype(np.int32),
        "position_ids": batch.position_ids.astype(np.int32),
        "document_ids": batch.document_ids.astype(np.int32),
    }
    has_target = batch.labels >= 0
    labels = np.where(has_target, batch.labels, 0).astype(np.int32)
    return inputs, labels, has_target.astype(np.float32)


def loss() -> Any:
    """Return the loss of transformers: the mean of the nats over all targets of a batch."""
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )


class StepNats(keras.metrics.Metric):  # type: ignore[misc]
    """The nats of the last batch alone, where Keras' own loss is a mean over the epoch so far."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(name="nats", **keywords)
        self.nats = self.add_weight(shape=(), initializer="zeros", dtype="float32", name="nats")

    def update_state(self, labels: Any, logits: Any, sample_weight: Any = None) -> None:
        """Replace the nats by those of a batch."""
        logits = ops.cast(logits, "float32")
        nats = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        self.nats.assign(ops.sum(nats * ops.cast(sample_weight, "float32")))

    def result(self) -> Any:
        """Return the nats."""
        return ops.convert_to_tensor(self.nats)


def set_seeds(model: LanguageModel, seed: int, step: int) -> None:
    """Make the dropout of the next step a function of its place in the run."""
    places = [one for one in model.non_trainable_variables if SEEDS in one.path]
    draws = philox("dropout", seed, step, 0).random_raw(max(1, len(places)))
    for place, draw in zip(places, draws.tolist(), strict=False):
        place.assign(np.array([draw & 0x7FFFFFFF, draw >> 33], "uint32"))
