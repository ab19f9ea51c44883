"""Settings of the model, its training, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt

from nextfill.config.options import STRICT, option

Schedule = Literal["linear", "cosine", "wsd"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model and tokenizer, and how a new one is shaped."""

    __pydantic_config__: ClassVar[Any] = STRICT
    shorthand: ClassVar[str] = "name"

    name: str = option(
        "builtin:base-causal",
        "Hub id, folder, run directory, builtin:NAME, or scratch:TYPE for random weights",
        flag="--model",
    )
    tokenizer: str | None = option(None, "Hub id or folder; default: the model's own")
    revision: str | None = option(None, "branch, tag or commit of the model on the Hub")
    config: dict[str, Any] = option(
        dict, "overrides of a scratch model's config: --set model.config.n_layer=6", flag=""
    )
    trust_remote_code: bool = option(False, "run code that comes with the model (unsafe)")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimizer, its schedule, and how long."""

    __pydantic_config__: ClassVar[Any] = STRICT

    epochs: Annotated[float, Gt(0)] = option(3.0, "passes over the training part")
    max_steps: Annotated[int, Ge(1)] | None = option(
        None, "exactly so many steps, instead of epochs"
    )
    batch_size: Annotated[int, Ge(1)] = option(8, "blocks per optimizer step, over all devices")
    micro_batch_size: Annotated[int, Ge(1)] | None = option(
        None, "blocks per forward pass; below batch_size, gradients accumulate"
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
    normalize_by: Literal["targets", "tokens"] = option(
        "targets", "the divisor of a step's loss; tokens is transformers.Trainer's for GPT-2"
    )
    eval_every: Annotated[int, Ge(1)] | None = option(None, "steps; default: each epoch")
    save_every: Annotated[int, Ge(1)] | None = option(None, "steps; default: each epoch")
    keep: Literal["last", "best"] = option(
        "last", "the weights that are saved: the last, or those with the best validation"
    )
    early_stopping: Annotated[int, Ge(1)] | None = option(
        None, "stop after so many validations in a row without a new best"
    )
    gradient_checkpointing: bool = option(
        False, "compute activations again on the way back: less memory, about a third slower"
    )
    sample_prompt: str | None = option(None, "text continued at each evaluation")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Training an adapter instead of all weights."""

    __pydantic_config__: ClassVar[Any] = STRICT

    rank: Annotated[int, Ge(1)] | None = option(
        None,
        "train adapters of this rank (LoRA) and leave the model's own weights as they are",
        flag="--lora-rank",
    )
    alpha: Annotated[float, Gt(0)] | None = option(
        None, "the adapter's scale is alpha / rank; default: twice the rank", flag="--lora-alpha"
    )
    dropout: Annotated[float, Ge(0), Lt(1)] = option(
        0.0, "dropout before the adapter", flag="--lora-dropout"
    )
    targets: str | None = option(
        None,
        "names of the layers, such as q_proj,v_proj; default: every linear layer but the head",
        flag="--lora-targets",
    )
    merge: bool = option(False, "save the model with its adapter merged in", flag="--lora-merge")


@dataclass(frozen=True, kw_only=True)
class ShareConfig:
    """Where a finished run's model is pushed on the Hugging Face Hub; never a token."""

    __pydantic_config__: ClassVar[Any] = STRICT
    shorthand: ClassVar[str] = "repo"

    repo: str | None = option(
        None, "push the model to this repository of the Hub, USER/NAME, at the end", flag="--share"
    )
    private: bool = option(False, "make a new repository private", flag="--share-private")
    adapter: bool = option(
        False, "push the adapter alone, not merged into its model", flag="--share-adapter"
    )
    license: str | None = option(
        None, "the license that the model's card states, such as apache-2.0", flag="--share-license"
    )
