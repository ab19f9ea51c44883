"""Load a model and its tokenizer, or make new ones; never a random layer where weights were meant.

Only safetensors are read. Weights come in float32, whatever the checkpoint's type, because these
are the master weights that training updates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nextfill.config import DEFAULT_BLOCK_SIZE, ModelConfig
from nextfill.errors import ConfigError, ModelError, nearest
from nextfill.models.location import model_folder
from nextfill.models.shape import embedding_rows, max_positions
from nextfill.models.tokenizer import SCRATCH, load_tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer, and what was noticed on loading.

    Args:
        model: A transformers causal model in float32.
        tokenizer: Its tokenizer.
        name: As the user wrote it.
        revision: The commit on the Hub it was read at, else None.
        unexpected: Names of weights in the checkpoint that the model has no place for.
    """

    model: nn.Module
    tokenizer: Any
    name: str
    revision: str | None = None
    unexpected: tuple[str, ...] = ()

    @property
    def num_parameters(self) -> int:
        """Parameters of the model, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device

    @property
    def pad_id(self) -> int:
        """Fills short rows; never a target, so any id will do where there is no pad token."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    @property
    def max_positions(self) -> int | None:
        """The longest input the model's positions allow, or None where nothing bounds it."""
        return max_positions(self.model)


def load_model(config: ModelConfig, *, seed: int = 0, dropout: float | None = None) -> LoadedModel:
    """Load a causal model and its tokenizer as the settings say.

    Args:
        config: The model section.
        seed: Seeds the random weights of a scratch model.
        dropout: Set wherever the model has dropout; None leaves it as its config says.

    Returns:
        The model in float32 and evaluation mode, and its tokenizer.

    Raises:
        ModelError: If weights are missing or do not fit, are not safetensors, or the vocabulary is
            larger than the embedding.
        ConfigError: If a scratch model's type or an override of its config is not known.
    """
    tokenizer = load_tokenizer(config)
    if config.name.startswith(SCRATCH):
        loaded = LoadedModel(
            _from_scratch(config, tokenizer, seed, dropout), tokenizer, config.name
        )
    else:
        if config.config:
            raise ConfigError(
                ["[model.config] shapes a scratch model; a trained one keeps its shape."]
            )
        loaded = _from_checkpoint(config, tokenizer, dropout)
    check_vocabulary(loaded)
    loaded.model.eval()
    return loaded


def _from_checkpoint(config: ModelConfig, tokenizer: Any, dropout: float | None) -> LoadedModel:
    from transformers import AutoConfig, AutoModelForCausalLM

    folder, revision = model_folder(config.name, config.revision, kind="model")
    _check_weight_files(config.name, folder)
    try:
        shape = AutoConfig.from_pretrained(folder, trust_remote_code=config.trust_remote_code)
        _set_dropout(shape, dropout)
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=shape,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are listed, and refused below
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The model {config.name} cannot be loaded: {error}") from error
    missing = sorted(info["missing_keys"])
    mismatched = sorted(str(item[0]) for item in info["mismatched_keys"])
    if missing or mismatched:
        raise ModelError(
            f"{config.name} lacks weights that a {type(model).__name__} needs, and they would be "
            f"random: {_some(missing, 'missing')}{_some(mismatched, 'of another shape')}"
            "Give a checkpoint of a causal language model."
        )
    unexpected = tuple(sorted(info["unexpected_keys"]))
    return LoadedModel(model, tokenizer, config.name, revision, unexpected)


def _some(names: list[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what} ({shown}). "


def _check_weight_files(name: str, folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".h5"))
        found = f"found {', '.join(others)}" if others else "found no weights at all"
        raise ModelError(
            f"{name} has no .safetensors weights ({found} in {folder}). Pickled weights can run "
            "code and are not read: convert them with transformers' save_pretrained."
        )
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                metadata = opened.metadata() or {}
        except SafetensorError as error:
            raise ModelError(f"{file} is damaged: {error}.") from error
        if metadata.get("format") == "tf":
            raise ModelError(
                f"{file} was saved by TensorFlow (its metadata says format: tf); PyTorch would "
                "read it as random weights. Give a checkpoint saved by PyTorch."
            )


def _from_scratch(
    config: ModelConfig, tokenizer: Any, seed: int, dropout: float | None
) -> nn.Module:
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.name.removeprefix(SCRATCH)
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        hint = nearest(kind, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
        raise ConfigError([f"--model {config.name}: there is no causal model type '{kind}'.{hint}"])
    known = set(CONFIG_MAPPING[kind]().to_dict())
    known |= set(getattr(CONFIG_MAPPING[kind], "attribute_map", {}))
    unknown = [key for key in config.config if key not in known]
    if unknown:
        raise ConfigError(
            [
                f"model.config.{key}: a {kind} config has no such field.{nearest(key, known)}"
                for key in unknown
            ]
        )
    defaults: Mapping[str, Any] = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    try:
        shape = AutoConfig.for_model(kind, **{**defaults, **config.config})
        _set_dropout(shape, dropout)
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(shape).float()  # type: ignore[no-any-return]
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError([f"[model.config] does not make a {kind}: {error}"]) from error


def _set_dropout(shape: Any, dropout: float | None) -> None:
    if dropout is None:
        return
    for key, value in shape.to_dict().items():
        if "drop" in key and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(shape, key, dropout)


def check_vocabulary(loaded: LoadedModel) -> None:
    """Refuse a tokenizer that makes ids the model's embedding has no row for.

    Raises:
        ModelError: With both sizes, and what to do.
    """
    rows = embedding_rows(loaded.model)
    highest = max(loaded.tokenizer.get_vocab().values())
    if highest >= rows:
        raise ModelError(
            f"The tokenizer makes ids up to {highest}, but the embedding of {loaded.name} has "
            f"{rows} rows: give the model's own tokenizer with --tokenizer, or a model with at "
            f"least {highest + 1} rows."
        )


def fitting_block_size(block_size: int | None, loaded: LoadedModel) -> int:
    """Return the block size to use, refusing one longer than the model's positions.

    Args:
        block_size: What the user gave; None for the default, or the model's positions where those
            are fewer.
        loaded: The model.

    Returns:
        Tokens per row.

    Raises:
        ConfigError: With both numbers and what to type.
    """
    limit = loaded.max_positions
    if block_size is None:
        return min(DEFAULT_BLOCK_SIZE, limit or DEFAULT_BLOCK_SIZE)
    if limit is not None and block_size > limit:
        raise ConfigError(
            [
                f"--block-size {block_size} is above the {limit} positions of {loaded.name}: "
                f"give --block-size {limit} or less."
            ]
        )
    return block_size
