"""Models in CTranslate2's form, converted once and kept in the cache by their weights' digest.

The tokens of a converted model are its ids as text: a tokenizer may spell two ids alike or leave
rows of the embedding without a name, and a converted model must take exactly our ids. That it
computes the model's logits is tried before it is kept: the converter overlooks settings that it
does not know.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nextfill.core.amounts import with_article
from nextfill.core.atomic_write import write_file
from nextfill.core.errors import ConfigError, ModelError, missing_library
from nextfill.core.json_text import to_json
from nextfill.core.locks import keep, making, open_lock
from nextfill.core.shared_cache import make_folder
from nextfill.data.store.cache_entries import CONVERTED
from nextfill.data.store.disk_errors import writing
from nextfill.data.store.eviction import keep_within_limit, sweep
from nextfill.data.store.store_cache import store_key
from nextfill.models.adapters.lora import merged_copy
from nextfill.models.architecture import embedding_rows, max_positions, setting
from nextfill.models.computation import in_mode, probe_ids, restored
from nextfill.models.loaded_model import LoadedModel, tensor_checksum

logger = logging.getLogger("nextfill")

Compute = str
"""CTranslate2's name of the type of weights: ``float32`` or ``int8``."""

_TOLERANCES = {"float32": 1e-4, "int8": 0.25}
"""Largest difference of a logit from the model's own, relative to the largest logit."""

_ANY = "AutoModelForCausalLM"
"""The class that a reader names which leaves the class to the configuration."""

_ROWS, _LENGTH = 2, 64


@dataclass(frozen=True)
class Purpose:
    """Who asks for a conversion: the flag that messages begin with, and what to type instead."""

    flag: str
    instead: str


ENGINE = Purpose("--engine ctranslate2", "give --engine torch")


def ctranslate2(purpose: Purpose = ENGINE) -> Any:
    """Return the library, refusing where it is not installed."""
    try:
        import ctranslate2 as library
    except ImportError as error:
        raise missing_library(purpose.flag, "ctranslate2") from error
    return library


def converted_model(
    loaded: LoadedModel, cache: Path, compute: Compute, *, on_wait: Callable[[], None]
) -> Any:
    """Return CTranslate2's generator of a model, converted if the cache does not hold it.

    Args:
        loaded: A causal model on the CPU, in float32; an adapter is merged in a copy.
        cache: The cache folder.
        compute: The type of its weights.
        on_wait: Called where another process is converting the same model.

    Raises:
        ConfigError: For an architecture that CTranslate2 does not know, or knows otherwise.
    """
    library = ctranslate2()
    loader = loader_of(library, loaded)
    model: Any = merged_copy(loaded).model
    parts = {
        "weights": tensor_checksum(model.state_dict()),
        "config": model.config.to_json_string(use_diff=False),
        "compute": compute,
        "ctranslate2": library.__version__,
    }
    path = cache / CONVERTED / store_key(parts)
    if _is_there(path):
        return open_converted(library, path, compute)
    with writing(path.parent, "converted models"):
        lock = open_lock(cache / "locks" / path.name)
    with making(lock, on_wait):
        if not _is_there(path):
            sweep(cache)
            with writing(path.parent, "converted models"):
                told = {"name": loaded.name, "compute": compute}
                _convert(library, loader, model, path, told)
        keep(path)
    keep_within_limit(cache, spared=path)
    return open_converted(library, path, compute)


def loader_of(library: Any, loaded: LoadedModel, purpose: Purpose = ENGINE) -> Any:
    """Return CTranslate2's reader of a model's architecture, refusing one that it has none for."""
    from ctranslate2.converters import transformers as readers

    kind = type(loaded.model).__name__
    if loaded.quantization is not None:
        raise ConfigError(
            [f"{purpose.flag}: {loaded.name} holds layers in 4 bits: {purpose.instead}."]
        )
    loader = readers._MODEL_LOADERS.get(type(loaded.model.config).__name__)
    if loader is None or loader.architecture_name not in (kind, _ANY):
        raise ConfigError(
            [
                f"{purpose.flag}: {loaded.name} is {with_article(loaded.model)}, which "
                f"CTranslate2 {library.__version__} cannot read: {purpose.instead}."
            ]
        )
    return loader


def _is_there(path: Path) -> bool:
    if not keep(path):
        return False
    with suppress(OSError):  # a cache that may only be read
        os.utime(path / "meta.json")  # its age is the time since the last use
    return True


def _convert(library: Any, loader: Any, model: Any, path: Path, told: Mapping[str, str]) -> None:
    """Write a converted model beside its place, try it, and put it there.

    It is tried in float32 first, as weights of 8 bits would hide a setting that was not heeded.
    """
    name = told["name"]
    beside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    make_folder(beside.parent)
    make_folder(beside)
    try:
        for compute in dict.fromkeys(("float32", told["compute"])):
            converted_spec(loader, model, compute, name).save(str(beside))
            _check_logits(open_converted(library, beside, compute), model, compute, name)
        with write_file(beside / "meta.json") as file:
            file.write_text(to_json(told), "utf-8")
        beside.rename(path)
    finally:
        for file in beside.glob("*") if beside.is_dir() else ():
            file.unlink()
        if beside.is_dir():
            beside.rmdir()


def converted_spec(
    loader: Any,
    model: Any,
    compute: Compute,
    name: str,
    *,
    purpose: Purpose = ENGINE,
    tokens: Sequence[str] = (),
) -> Any:
    """Return a model in the converter's form; without names of its tokens they are its ids."""
    ids = [*tokens] or [str(one) for one in range(embedding_rows(model))]
    model = copy.deepcopy(model)  # which is taken apart as it is read, and its weights rounded
    is_neox = type(model).__name__ == "GPTNeoXForCausalLM"
    if is_neox:
        _give_older_names(model)
    try:
        with torch.no_grad():
            spec = loader.get_model_spec(model)
            if is_neox:
                _give_rotary_base(spec, model.config)
            loader.set_vocabulary(spec, ids)
        spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = ids[0]
        spec.validate()
        spec.optimize(quantization=None if compute == "float32" else compute)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise ConfigError(
            [
                f"{purpose.flag}: its converter fails at {name}, {with_article(model)}: "
                f"{type(error).__name__}: {error}: {purpose.instead}."
            ]
        ) from error
    return spec


def _give_older_names(model: Any) -> None:
    """Give a GPT-NeoX what its reader looks for by its names in transformers 4."""
    rope = setting(model.config, "rope_parameters") or {}
    if not hasattr(model.config, "rotary_pct"):
        model.config.rotary_pct = rope.get("partial_rotary_factor", 1.0)
    if not hasattr(model, "embed_out"):
        model.embed_out = model.get_output_embeddings()


def _give_rotary_base(spec: Any, config: Any) -> None:
    """Give a GPT-NeoX in the converter's form the base of its positions, which its reader omits."""
    base = (setting(config, "rope_parameters") or {}).get("rope_theta")
    if base is not None:
        for layer in spec.decoder.layer:
            layer.self_attention.rotary_base = np.float32(base)


def open_converted(library: Any, path: Path, compute: Compute) -> Any:
    """Return CTranslate2's generator of a converted model in a folder."""
    try:
        return library.Generator(
            str(path),
            device="cpu",
            compute_type=compute,
            inter_threads=1,
            intra_threads=torch.get_num_threads(),
        )
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"The converted model {path} cannot be read: {error}. Remove that folder, and it is "
            "made again."
        ) from error


def _check_logits(generator: Any, model: nn.Module, compute: Compute, name: str) -> None:
    limit = max_positions(model)
    ids = probe_ids(model, _ROWS, _LENGTH if limit is None else min(_LENGTH, limit))
    found = logits_of(generator, ids)
    with torch.no_grad(), in_mode(model, training=False), restored(model):
        expected = model(input_ids=ids, use_cache=False).logits.float()
    largest = float(expected.abs().max())
    difference = float((found - expected).abs().max()) if found.shape == expected.shape else np.inf
    if difference > _TOLERANCES[compute] * max(largest, 1e-3):
        raise ConfigError(
            [
                f"--engine ctranslate2: converted, {name} computes other logits, {difference:.3g} "
                f"off where the largest is {largest:.3g}, so that a setting of it was not heeded: "
                "give --engine torch."
            ]
        )


def logits_of(generator: Any, ids: Tensor) -> Tensor:
    """Return a converted model's logits of texts of one length, ``[B, T, V] float32``."""
    texts = [[str(token) for token in row] for row in ids.tolist()]
    return torch.from_numpy(np.array(generator.forward_batch(texts)))
