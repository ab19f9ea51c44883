"""Settings of training: the optimizer, its schedule, how long, and the stages of a longer run.

Annotations are values here, not text, which ``--help`` would have to compile (9 ms).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from nextfill.config.bounds import Ge, Gt, Le, Lt
from nextfill.config.options import Section, option

Schedule = Literal["linear", "cosine", "wsd", "constant", "inverse_sqrt"]

KerasBackend = Literal["tensorflow", "jax", "torch"]

OptimizerKind = Literal["adamw", "adamw-unfused", "sgd", "adafactor"]


@dataclass(frozen=True, kw_only=True, repr=False)
class PlannedStage(Section):
    """An earlier stage of a run that was given other steps later, as it was planned.

    Args:
        end: Its last step; the next stage goes on from there.
        num_steps: Steps that it was to end with.
        schedule_start: The step from which its schedule counts; None for the first.
    """

    end: Annotated[int, Ge(1)]
    num_steps: Annotated[int, Ge(1)]
    learning_rate: Annotated[float, Gt(0)]
    schedule: Schedule
    warmup_steps: Annotated[float, Ge(0)] = 0.0
    schedule_start: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainingConfig(Section):
    """The optimizer, its schedule, and how long."""

    epochs: Annotated[float, Gt(0)] = option(3.0, "passes over the training part")
    max_steps: Annotated[int, Ge(1)] | None = option(
        None, "exactly so many steps, instead of epochs"
    )
    batch_size: Annotated[int, Ge(1)] = option(8, "blocks per optimizer step, over all devices")
    micro_batch_size: Annotated[int, Ge(1)] | None = option(
        None, "blocks per forward pass; below batch_size, gradients accumulate"
    )
    least_steps: Annotated[int, Ge(1)] | None = option(
        None, "steps of an epoch at least: of few blocks batches are halved until it has them"
    )
    optimizer: OptimizerKind = option(
        "adamw", "adamw is fused; sgd has beta1 as its momentum; adafactor keeps the least memory"
    )
    learning_rate: Annotated[float, Gt(0)] = option(
        5e-5, "peak learning rate; of an adapter (--lora-rank) 5e-4, unless given"
    )
    weight_decay: Annotated[float, Ge(0)] = option(0.01, "AdamW's, none on biases and norms")
    beta1: Annotated[float, Ge(0), Lt(1)] = option(0.9, "AdamW's first moment decay")
    beta2: Annotated[float, Ge(0), Lt(1)] = option(0.999, "AdamW's second moment decay")
    epsilon: Annotated[float, Gt(0)] = option(1e-8, "AdamW's epsilon")
    max_grad_norm: Annotated[float, Ge(0)] = option(1.0, "gradient clipping norm; 0 for none")
    schedule: Schedule = option("linear", "learning rate after the warm-up")
    warmup_steps: Annotated[float, Ge(0)] = option(
        0.0, "warm-up: steps, or below 1 a share of all steps"
    )
    dropout: Annotated[float, Ge(0), Lt(1)] | None = option(
        None, "dropout everywhere in the model; default: as the model's config says"
    )
    train_only: list[str] = option(
        list,
        "parameters to train: embeddings, norms, biases, layers:0-3, or a pattern of names; may be "
        "given again",
        hint='From Python, and in a recipe, give a list: train_only = ["embeddings"]',
    )
    freeze: list[str] = option(
        list,
        "parameters to leave as they are, named like those of --train-only; may be given again",
        hint='From Python, and in a recipe, give a list: freeze = ["layers:0-3"]',
    )
    layer_rate_decay: Annotated[float, Gt(0), Le(1)] = option(
        1.0, "factor from each layer's learning rate to that of the layer below it"
    )
    ema_decay: Annotated[float, Gt(0), Lt(1)] | None = option(
        None, "evaluate and save a moving average of the weights, of which a step leaves this share"
    )
    normalize_by: Literal["targets", "tokens"] = option(
        "targets", "the divisor of a step's loss; tokens is transformers.Trainer's for GPT-2"
    )
    eval_every: Annotated[int, Ge(1)] | None = option(
        None, "steps; default: each epoch", hint="It is a number of steps, and no share"
    )
    save_every: Annotated[int, Ge(1)] | None = option(
        None, "steps; default: each epoch", hint="It is a number of steps, and no share"
    )
    keep_checkpoints: Annotated[int, Ge(1)] = option(
        2, "the newest checkpoints that stay; the best step's weights do so, too"
    )
    keep: Literal["last", "best"] = option(
        "last", "the weights that are saved: the last, or those with the best validation"
    )
    early_stopping: Annotated[int, Ge(1)] | None = option(
        None, "stop after so many validations in a row without a new best"
    )
    compile: bool = option(
        False, "compile the model's layers for its training steps; needs a C++ compiler on a CPU"
    )
    gradient_checkpointing: bool = option(
        False, "compute activations again on the way back: less memory, about a third slower"
    )
    sample_prompt: str | None = option(None, "text continued at each evaluation")
    backend: Literal["torch", "keras"] = option("torch", "what takes the steps")
    keras_backend: KerasBackend | None = option(
        None, "what Keras computes with; default: KERAS_BACKEND, or the first that is installed"
    )
    schedule_start: Annotated[int, Ge(1)] | None = option(
        None, "the step from which the schedule counts: that of --rewarm", flag=""
    )
    stages: list[PlannedStage] | None = option(
        None, "earlier stages of a run that was given other steps with --resume", flag=""
    )
