"""Weights in 8 bits: the models that can have them, and what they cost, measured on a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nextfill.core.amounts import amount, with_article
from nextfill.core.errors import ConfigError
from nextfill.models.computation import in_mode
from nextfill.models.inference.ctranslate2_conversion import logits_of
from nextfill.models.inference.decoder_layouts import LAYOUTS, read_decoder
from nextfill.models.inference.static_cache import CachedDecoder, Parts
from nextfill.models.loaded_model import LoadedModel

_ROWS, _LENGTH = 4, 128


def eight_bit_parts(loaded: LoadedModel, *, searches: bool) -> Parts:
    """Return a model in parts with weights in 8 bits, refusing one that cannot have them."""
    problem = None
    if loaded.device.type != "cpu":
        problem = f"they are for a CPU, and this is {loaded.device}: give --device cpu"
    elif searches:
        problem = "beams are searched with full weights alone: leave --num-beams out"
    if problem is not None:
        raise ConfigError([f"--weights int8: {problem}, or --weights full."])
    with in_mode(loaded.model, training=False):
        parts = read_decoder(loaded.model, "int8")
    if parts is None:
        raise ConfigError(
            [
                f"--weights int8: {loaded.name} is {with_article(loaded.model)}. Expected "
                f"{' or '.join(LAYOUTS)} in float32, whose logits 8 bits leave nearly as they are: "
                "give --weights full."
            ]
        )
    return parts


def cost_of_parts(loaded: LoadedModel, parts: Parts) -> str:
    """Return a sentence on the nats a token of parts in 8 bits and of the model in float32."""

    def logits(ids: Tensor) -> Tensor:
        decoder = CachedDecoder(parts, ids, torch.ones_like(ids), 0)
        return decoder.read_prompts(all_places=True)

    return _cost(loaded, logits)


def cost_of_converted(loaded: LoadedModel, generator: Any) -> str:
    """Return the same sentence of a model that is converted for CTranslate2."""
    return _cost(loaded, lambda ids: logits_of(generator, ids))


def _cost(loaded: LoadedModel, logits: Callable[[Tensor], Tensor]) -> str:
    ids = _sample(loaded)
    with torch.inference_mode(), in_mode(loaded.model, training=False):
        full = _nats(loaded.model(input_ids=ids, use_cache=False).logits, ids)
        ours = _nats(logits(ids), ids)
    tokens = amount(ids.shape[0] * (ids.shape[1] - 1), "token")
    return (
        f"weights in 8 bits cost {ours - full:+.4f} nats a token: {ours:.4f}, and {full:.4f} in "
        f"float32, on {tokens} of Python's documentation"
    )


def _sample(loaded: LoadedModel) -> Tensor:
    """Return rows of a text that every machine with Python has, ``[rows, length] int64``."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics)[:40])
    ids = loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    length = min(_LENGTH, loaded.max_positions or _LENGTH, len(ids) // _ROWS)
    return torch.tensor(ids[: _ROWS * length]).view(_ROWS, length)


def _nats(logits: Tensor, ids: Tensor) -> float:
    """Return the mean nats of the tokens after the first of each row."""
    predicted = logits[:, :-1].float().flatten(0, 1)
    return float(functional.cross_entropy(predicted, ids[:, 1:].flatten()))
