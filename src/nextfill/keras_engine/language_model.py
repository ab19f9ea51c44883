"""Language models of transformers' kinds in plain Keras, each layer named as transformers names it.

Every model is functional: three inputs, ``[B, T] int32`` each (``input_ids``, ``position_ids``,
which restart with each document, and ``document_ids``, -1 on padding), and logits out,
``[B, T, V]``. Documents packed into one row do not see one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import Any

import keras
from keras import ops
from torch.utils.data import Dataset

from nextfill.config.foreign.foreign_names import OF_A_KERAS_MODEL
from nextfill.core.errors import ConfigError, ModelError
from nextfill.keras_engine.decoders import gpt2, llama
from nextfill.keras_engine.encoders import BERT, DISTILBERT, ROBERTA, encoder
from nextfill.keras_engine.modernbert import modernbert
from nextfill.keras_engine.named_layers import ACTIVATIONS, TokenEmbedding

INPUTS = ("input_ids", "position_ids", "document_ids")

KINDS: Mapping[str, Callable[[Any, tuple[Any, Any, Any]], Any]] = {
    "gpt2": gpt2,
    "bert": lambda config, inputs: encoder(config, inputs, BERT),
    "roberta": lambda config, inputs: encoder(config, inputs, ROBERTA),
    "distilbert": lambda config, inputs: encoder(config, inputs, DISTILBERT),
    "modernbert": modernbert,
    "llama": llama,
    "qwen2": llama,
    "qwen3": llama,
}
"""Makers of models by transformers' type."""

MASKED = ("bert", "roberta", "distilbert", "modernbert")
"""The types of masked models."""

STATIC_ROTATIONS = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on the text's length."""


@keras.saving.register_keras_serializable("nextfill")
class LanguageModel(keras.Model):
    """A model of transformers in Keras, with the configuration that it was made by.

    Args:
        config: The configuration of transformers.
        precision: ``fp32``, or ``bf16`` or ``fp16`` where its layers compute in 16 bits.
        tokenizer: The tokenizer that it was loaded with, None if it was made of a live model.
        generation_config: How transformers is to continue a text by it, None for its defaults.
    """

    config: Any
    precision: str
    tokenizer: Any
    generation_config: Any

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of transformers that it is made of again."""
        return {
            "transformers": self.config.to_dict(),
            "precision": self.precision,
            "padding_id": self.tokens.padding_id,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> LanguageModel:
        """Return the model of `get_config`, with random weights."""
        from transformers import AutoConfig

        settings = dict(config["transformers"])
        made = AutoConfig.for_model(settings.pop("model_type"), **settings)
        model = build_model(made, config["precision"])
        model.tokens.padding_id = config["padding_id"]
        return model

    @property
    def tokens(self) -> TokenEmbedding:
        """The embedding of its tokens."""
        return next(one for one in self.layers if isinstance(one, TokenEmbedding))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss that it was compiled with, or else that of transformers' own models."""
        if self.loss is None and y is not None:
            return mean_nats()(y, y_pred, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def __getattr__(self, name: str) -> Any:
        if name in OF_A_KERAS_MODEL:
            raise AttributeError(f"A Keras model has no {name}: {OF_A_KERAS_MODEL[name]}.")
        if name == "config":
            raise ModelError(
                "This Keras model has no configuration, as keras.models.clone_model copies none. "
                "Make the copy from the first model, and give it the weights: "
                "copy = nextfill.keras.LanguageModel.from_config(model.get_config())"
            )
        # On PyTorch a layer is a module, which looks among its parameters; elsewhere the error is
        # to be that of the first search.
        search: Any = getattr(super(), "__getattr__", super().__getattribute__)
        return search(name)

    def fit(self, x: Any = None, *others: Any, **keywords: Any) -> Any:
        """Train as Keras does; blocks without `nextfill.keras.dataset`, and texts, are refused."""
        _check_batches("fit", x)
        _check_batches("fit", keywords.get("validation_data"), "validation_data=")
        rows = getattr(getattr(self, "optimizer", None), "rows", None)
        is_other = rows is not None and len(rows) != len(self.trainable_variables)
        if is_other and keras.backend.backend() == "jax":  # which would lose the weights, too
            problem = (
                "fit: layers were frozen after the optimizer was made, which JAX does not take. "
                "Type: model.compile(optimizer=nextfill.keras.adamw(model, num_steps))"
            )
            raise ConfigError([problem])
        return super().fit(x, *others, **keywords)

    def evaluate(self, x: Any = None, *others: Any, **keywords: Any) -> Any:
        """Return the loss, and metrics, as Keras does; what `fit` refuses is refused."""
        _check_batches("evaluate", x)
        return super().evaluate(x, *others, **keywords)

    def predict(self, x: Any, *others: Any, **keywords: Any) -> Any:
        """Return logits as Keras does; what `fit` refuses is refused."""
        _check_batches("predict", x)
        return super().predict(x, *others, **keywords)

    def stand_in(self) -> Any:
        """Return a model of transformers, for scoring and decoding, that has this one compute."""
        from nextfill.keras_engine.transformers_models import computed_by

        return computed_by(self)


def _check_batches(method: str, given: Any, keyword: str = "") -> None:
    """Refuse blocks that are no batches yet, and texts, of which Keras makes nothing."""
    is_blocks = isinstance(given, Dataset) and hasattr(given, "plan")
    texts = given[:1] if isinstance(given, list | tuple) else [given]
    is_text = any(isinstance(one, str | PathLike) for one in texts)
    if not (is_blocks or is_text or isinstance(given, Dataset) or hasattr(given, "column_names")):
        return
    blocks = "blocks" if is_blocks else "nextfill.packed_dataset(data=..., model=...)"
    call = f"model.{method}({keyword}nextfill.keras.dataset({blocks}))"
    found = "a text" if is_text else f"a {type(given).__name__}"
    raise ConfigError([f"{method}: found {found}; expected batches for Keras. Type: {call}"])


def mean_nats() -> Any:
    """Return the loss of transformers: the mean of the nats over all targets of a batch."""
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )


_ACTIVATION_SETTINGS = (
    "activation_function",
    "hidden_act",
    "activation",
    "hidden_activation",
    "classifier_activation",
)


POLICIES = {"fp32": "float32", "bf16": "mixed_bfloat16", "fp16": "mixed_float16"}
"""Keras' policies by precision."""


def chosen_precision() -> str:
    """Return the precision by the policy that was set for Keras; refuse weights in 16 bits."""
    name = keras.config.dtype_policy().name
    found = next((one for one, policy in POLICIES.items() if policy == name), None)
    if found is None:
        problem = (
            f"Keras' dtype policy: found {name!r}; expected one with float32 weights, "
            f"{', '.join(POLICIES.values())}. Type: keras.config.set_dtype_policy('float32')"
        )
        raise ConfigError([problem])
    return found


def build_model(config: Any, precision: str = "fp32", tokenizer: Any = None) -> LanguageModel:
    """Return a model with random weights by a configuration of transformers.

    Weights are float32; with ``bf16`` or ``fp16`` layers compute in 16 bits, and logits come in
    float32.
    """
    if problem := config_problem(config):
        raise ModelError(f"A {config.model_type} model in Keras: {problem}.")
    inputs = tuple(keras.Input((None,), dtype="int32", name=name) for name in INPUTS)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        logits = ops.cast(KINDS[config.model_type](config, inputs), "float32")
    finally:
        keras.config.set_dtype_policy(before)
    model = LanguageModel(dict(zip(INPUTS, inputs, strict=True)), logits, name=config.model_type)
    object.__setattr__(model, "config", config)  # which Keras would turn into a layer's state
    object.__setattr__(model, "tokenizer", tokenizer)
    object.__setattr__(model, "generation_config", None)
    model.precision = precision
    return model


def config_problem(config: Any) -> str | None:
    """Describe the first setting of a configuration that these models do not hold exactly."""
    return next(_problems(config), None)


def _problems(config: Any) -> Iterator[str]:
    kind = config.model_type
    if kind not in KINDS:
        yield f"found the type {kind}; there are {', '.join(KINDS)}"
    for name in _ACTIVATION_SETTINGS:
        value = getattr(config, name, None)
        if value is not None and value not in ACTIVATIONS:
            yield f"{name} is {value!r}; there are {', '.join(ACTIVATIONS)}"
    for name in ("is_decoder", "add_cross_attention", "use_bidirectional_attention"):
        if getattr(config, name, False):
            yield f"{name} is set"
    if kind in MASKED and not config.tie_word_embeddings:
        yield "tie_word_embeddings is false, and its head has weights of its own"
    layer_types = getattr(config, "layer_types", None) or ()
    if kind == "modernbert":
        if "full_attention" not in layer_types:
            yield "all its layers look at a window only (layer_types)"
    elif any("sliding" in one for one in layer_types):
        yield "some layers look at a window only (layer_types)"
    yield from _rotation_problems(config)
    if kind == "roberta" and config.pad_token_id is None:
        yield "pad_token_id is not given, after which its positions begin"


def _rotation_problems(config: Any) -> Iterator[str]:
    rotations = getattr(config, "rope_parameters", None) or {}
    for one in [rotations, *rotations.values()]:
        rope = one.get("rope_type", "default") if isinstance(one, Mapping) else "default"
        if rope not in STATIC_ROTATIONS:
            yield f"rope_type is {rope!r}; there are {', '.join(STATIC_ROTATIONS)}"
        share = one.get("partial_rotary_factor") if isinstance(one, Mapping) else None
        if rope != "default" and share not in (None, 1):  # which the default leaves unheeded
            yield f"partial_rotary_factor is {share}; expected 1, a rotation of whole heads"
