"""Training by Keras' own `fit`, from the batches of a run, into the run's events and checkpoints.

The run's PyTorch model is the one that is evaluated, sampled and saved: before each of these it is
given the weights that Keras has. Checkpoints are those of the PyTorch engine, moments of AdamW too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from numpy.typing import NDArray
from torch import nn

from nextfill.core.amounts import amount
from nextfill.core.errors import ConfigError, ModelError
from nextfill.data.packing.order import philox
from nextfill.keras_engine.adamw import AdamW, load_moments, make_optimizer, save_moments
from nextfill.keras_engine.language_model import LanguageModel, config_problem, mean_nats
from nextfill.keras_engine.transformers_models import as_keras
from nextfill.keras_engine.weight_conversion import save_weights
from nextfill.objectives.batch import Batch
from nextfill.training.engine import Engine, FinishStep, OptimizerState, StepState
from nextfill.training.gradients import divisor_of, dropout_seed
from nextfill.training.loop import (
    batch_of,
    check_finite,
    learning_rate_of,
)
from nextfill.training.setup import Setup

SEEDS = "seed_generator_state"

_SUM = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


class Batches(keras.utils.PyDataset):
    """The batches of some steps, in order, as `fit` takes them.

    Weights are such that the sum of the weighted nats is the loss of the step.

    Args:
        setup: The run.
        steps: The steps, counted from the first of the run.
        numbers_of: Gives the numbers of a step's blocks.

    Attributes:
        counts: Targets, tokens and divisor of each step that was made and not yet taken.
    """

    def __init__(
        self, setup: Setup, steps: range, numbers_of: Callable[[int], NDArray[np.int64]]
    ) -> None:
        super().__init__()
        self._setup, self._steps, self._numbers_of = setup, steps, numbers_of
        self.counts: dict[int, tuple[int, int, int]] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], Any, Any]:
        step = self._steps[index]
        batch = batch_of(self._setup, step, self._numbers_of(step))
        divisor = divisor_of(self._setup, batch)
        self.counts[step] = batch.num_targets, batch.num_tokens, divisor
        inputs, labels, weights = arrays(batch, isolate=self._setup.config.blocks.isolate)
        return inputs, labels, weights / np.float32(divisor)


def arrays(batch: Batch, *, isolate: bool) -> tuple[dict[str, Any], Any, Any]:
    """Return a batch as Keras takes it: inputs, labels ``[B, T] int32``, weights of 1 and 0.

    Documents that are not isolated are one to the model, which keeps apart those of two numbers.
    """
    documents = batch.document_ids if isolate else np.minimum(batch.document_ids, 0)
    inputs = {
        "input_ids": batch.input_ids.astype(np.int32),
        "position_ids": batch.position_ids.astype(np.int32),
        "document_ids": documents.astype(np.int32),
    }
    has_target = batch.labels >= 0
    labels = np.where(has_target, batch.labels, 0).astype(np.int32)
    return inputs, labels, has_target.astype(np.float32)


def loss(*compared: object) -> Any:
    """Return the loss of transformers: the mean of the nats over all targets of a batch.

    A model that is compiled without a loss has this one.
    """
    if compared:  # `compile` was given this function, and calls it with labels and logits
        raise ConfigError(
            ["nextfill.keras.loss makes the loss: give compile(loss=nextfill.keras.loss())."]
        )
    return mean_nats()


class StepNats(keras.metrics.Metric):
    """The nats of the last batch alone, where Keras' own loss is a mean over the epoch so far."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(name="nats", **keywords)
        self.nats = self.add_weight(shape=(), initializer="zeros", dtype="float32", name="nats")

    def update_state(self, labels: Any, logits: Any, sample_weight: Any = None) -> None:
        """Replace the nats by those of a batch."""
        logits = ops.cast(logits, "float32")
        nats = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        has_target = ops.cast(ops.greater(sample_weight, 0), "float32")
        self.nats.assign(ops.sum(nats * has_target))

    def result(self) -> Any:
        """Return the nats."""
        return ops.convert_to_tensor(self.nats)


def check_model(torch_model: nn.Module) -> None:
    """Refuse a model that these do not hold exactly."""
    config: Any = torch_model.config
    if problem := config_problem(config):
        raise ModelError(
            f"A {config.model_type} model in Keras: {problem}. Leave --backend keras out."
        )
    frozen = [name for name, one in torch_model.named_parameters() if not one.requires_grad]
    if frozen:
        raise ModelError(
            f"{amount(len(frozen), 'parameter')} of the live model cannot change, such as "
            f"{frozen[0]}, and --backend keras trains whole models. Leave --backend keras out."
        )


def fit_steps(
    setup: Setup,
    state: OptimizerState,
    steps: range,
    numbers_of: Callable[[int], NDArray[np.int64]],
    finish_step: FinishStep,
) -> None:
    """Take steps with Keras, by `fit`, until the last, or until one is enough.

    Source:
        The engine of `nextfill.training.loop`, of which it takes the moments and the weights, and
        to which it gives them before anything is saved.
    """
    torch_model = setup.loaded.model
    model = as_keras(torch_model, setup.config.precision)
    adamw = _optimizer(setup, model)
    load_moments(adamw, model, torch_model, state.optimizer.state, steps.start)
    model.compile(optimizer=adamw, loss=_SUM, weighted_metrics=[StepNats()])
    callback = _EachStep(setup, (state.optimizer, adamw), steps.start, finish_step)
    for part in _parts_at_hand(setup, steps, numbers_of):
        batches = Batches(setup, part, numbers_of)
        callback.counts = batches.counts
        model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[callback])
        if model.stop_training:
            break


def _parts_at_hand(
    setup: Setup, steps: range, numbers_of: Callable[[int], NDArray[np.int64]]
) -> Iterator[range]:
    """Yield the steps in parts whose blocks are at hand, as `fit` makes its batches ahead."""
    first = steps.start
    while first < steps.stop:
        numbers_of(first)  # waits for them
        end = next((one for one in range(first, steps.stop) if not setup.feed.covers(one)), None)
        part = range(first, steps.stop if end is None else end)
        yield part
        first = part.stop


KERAS = Engine(fit_steps, check_model)


def _optimizer(setup: Setup, model: LanguageModel) -> AdamW:
    training = setup.config.training
    return make_optimizer(
        model,
        [learning_rate_of(setup, step) for step in range(setup.num_steps)],
        weight_decay=training.weight_decay,
        betas=(training.beta1, training.beta2),
        epsilon=training.epsilon,
        max_norm=training.max_grad_norm,
    )


class _EachStep(keras.callbacks.Callback):
    """The end of each step: its event, and the weights and moments where they are to be saved."""

    def __init__(
        self,
        setup: Setup,
        optimizers: tuple[torch.optim.Optimizer, AdamW],
        step: int,
        finish_step: FinishStep,
    ) -> None:
        super().__init__()
        self._setup = setup
        self._optimizer, self._adamw = optimizers
        self._step, self._finish_step = step, finish_step
        self.counts: dict[int, tuple[int, int, int]] = {}
        self._started = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Make dropout a function of the place in the run."""
        self._started = time.perf_counter()
        set_seeds(self.model, self._setup.config.seed, self._step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the event of a step, and end the training after the last."""
        synchronize(self.model)
        setup, step = self._setup, self._step
        num_targets, num_tokens, divisor = self.counts.pop(step)
        nats, norm = float(logs["nats"]), float(ops.convert_to_numpy(self._adamw.gradient_norm))
        loss = nats / divisor
        check_finite(setup, step, loss, norm)
        event = {
            **setup.feed.place(step),
            "loss": loss,
            "nats": nats,
            "targets": num_targets,
            "learning_rate": learning_rate_of(setup, step),
            "grad_norm": norm,
        }
        self._step += 1
        timing = {"tokens": num_tokens, "elapsed_s": time.perf_counter() - self._started}
        if not self._finish_step(lambda: (event, timing), self.state):
            self.model.stop_training = True

    @property
    def state(self) -> StepState:
        """What brings the run's model and optimizer up to date."""
        return StepState(bring_weights=self.update, bring_all=self.update)

    def update(self) -> None:
        """Give the run's model and optimizer the weights and the moments."""
        save_weights(self.model, self._setup.loaded.model)
        save_moments(self._adamw, self.model, self._setup.loaded.model, self._optimizer.state)


def synchronize(model: LanguageModel) -> None:
    """Have a model's variables hold the values of the last step, which JAX keeps apart in `fit`."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def set_seeds(model: LanguageModel, seed: int, step: int) -> None:
    """Make the dropout of the next step a function of its place in the run."""
    torch.manual_seed(dropout_seed(seed, step, 0))  # Keras' dropout on PyTorch heeds no other
    places = [one for one in model.non_trainable_variables if SEEDS in one.path]
    draws = philox("dropout", seed, step, 0).random_raw(max(1, len(places)))
    for place, draw in zip(places, draws.tolist(), strict=False):
        place.assign(np.array([draw & 0x7FFFFFFF, draw >> 33], "uint32"))
