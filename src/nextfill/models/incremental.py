"""How a model is given a text that grows, so that it reads it as it does when it is scored.

transformers' ``generate`` prepares what a model is given at each step, and that need not be what
the model was trained and scored with: other positions, a token more at the end, a cache that the
model cannot use. Which way gives the logits of a full forward pass is found by trying, the fastest
first; the last is a full forward pass at each step. Nothing that the model's own generation
settings recommend acts meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nextfill.config import Precision
from nextfill.core.errors import ModelError
from nextfill.models.architecture import first_position, max_positions
from nextfill.models.device import autocast
from nextfill.models.probes import REFUSALS, probe_ids
from nextfill.models.side_effects import guarded, restored

_TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit, that still counts as equal."""

_LENGTH, _STEPS = 5, 3
"""Tokens of the text that is tried, and steps that it grows by."""

_FOUND: WeakKeyDictionary[nn.Module, Feed] = WeakKeyDictionary()


@dataclass(frozen=True)
class Feed:
    """What a model is given at each step.

    Args:
        use_cache: Whether it keeps what it computed of the tokens before.
        first_position: Of a text's first token, where positions are given; None for those that
            transformers gives.
        whole: Whether each step is a full forward pass over the token ids alone; texts of
            different lengths cannot share a batch then.
    """

    use_cache: bool = True
    first_position: int | None = None
    whole: bool = False

    def generate(self, model: nn.Module, ids: Tensor, mask: Tensor, **options: Any) -> Any:
        """Return what transformers' ``generate`` does.

        Args:
            model: A causal model.
            ids: ``[B, T] int64``, padded at the left.
            mask: ``[B, T] int64``, 0 on padding.
            **options: Its other arguments; its settings are all in ``generation_config``.
        """
        device = next(model.parameters()).device
        inputs = {"input_ids": ids.to(device)}
        if not self.whole:
            inputs["attention_mask"] = mask.to(device)
        if self.first_position is not None:
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)
            inputs["position_ids"] = (places + self.first_position).to(device)
        options["generation_config"].use_cache = self.use_cache
        with guarded(model), self._in_place(model):
            return model.generate(**inputs, **options)  # type: ignore[operator]

    @contextmanager
    def _in_place(self, model: Any) -> Iterator[None]:
        from transformers import GenerationConfig

        recommended = model.generation_config
        model.generation_config = GenerationConfig()
        if self.whole:
            model.prepare_inputs_for_generation = _whole
        try:
            yield
        finally:
            model.generation_config = recommended
            if self.whole:
                del model.prepare_inputs_for_generation

    def greedy(self, model: nn.Module, ids: Tensor, mask: Tensor, pad_id: int, steps: int) -> Any:
        """Return a few greedy steps: ``sequences``, and the model's ``logits`` of each step."""
        from transformers import GenerationConfig

        config = GenerationConfig(
            max_new_tokens=steps,
            min_new_tokens=steps,
            do_sample=False,
            num_beams=1,
            pad_token_id=pad_id,
            suppress_tokens=[pad_id],  # by which some models tell padding
            return_dict_in_generate=True,
            output_logits=True,
        )
        return self.generate(model, ids, mask, generation_config=config)


def _whole(input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
    del kwargs  # `generate` looks for this name
    return {"input_ids": input_ids, "use_cache": False}


@torch.no_grad()
def probe_feed(model: nn.Module, pad_id: int) -> Feed:
    """Find the fastest way to give a model a text by which it reads it as in a full forward pass.

    Args:
        model: A causal model in float32 and evaluation mode.
        pad_id: The id that fills short rows.

    Returns:
        The way; once found it is known.

    Raises:
        ModelError: If the model takes a growing text in no way.
    """
    if model not in _FOUND:
        _FOUND[model] = _probe(model, pad_id)
    return _FOUND[model]


def _probe(model: nn.Module, pad_id: int) -> Feed:
    first = first_position(model)
    given = [first, None] if first else [None]
    ways = [Feed(cache, place) for place in given for cache in (True, False)]
    refusal: Exception | None = None
    for feed in (*ways, Feed(use_cache=False, whole=True)):
        try:
            with restored(model):
                found = _is_as_scored(model, feed, pad_id)
            if found:
                return feed
        except torch.OutOfMemoryError:
            raise
        except REFUSALS as error:
            refusal = error
    why = f"it refuses them all ({refusal})" if refusal else "its logits are not of the text alone"
    raise ModelError(
        f"A {type(model).__name__} cannot continue texts here: of the ways to give it a text that "
        f"grows, none has the logits that it is scored by; {why}."
    )


def _is_as_scored(model: nn.Module, feed: Feed, pad_id: int) -> bool:
    ids = _text(model, _STEPS)
    found = feed.greedy(model, ids, torch.ones_like(ids), pad_id, _STEPS)
    logits = torch.stack(found.logits)[:, 0].float()
    texts = [found.sequences[:, : ids.shape[1] + step] for step in range(_STEPS)]
    # One by one, because in ProphetNet a token's logits depend on how long the text is.
    each = []
    for text in texts:
        with restored(model):
            each.append(model(input_ids=text, use_cache=False).logits[0, -1])
    expected = torch.stack(each).float()
    if bool(torch.isnan(expected).any()):
        return True  # there is nothing to tell by, and generating refuses it
    if logits.shape != expected.shape:
        return False
    difference = (logits - expected).abs().max()
    return bool(difference <= _TOLERANCE * expected.abs().max().clamp(min=1e-3))


def _text(model: nn.Module, steps: int) -> Tensor:
    """Return a short text, ``[1, n] int64``, that leaves room to grow."""
    limit = max_positions(model)
    return probe_ids(model, 1, _LENGTH if limit is None else max(1, min(_LENGTH, limit - steps)))


@torch.no_grad()
def generates_in(model: nn.Module, feed: Feed, pad_id: int, precision: Precision) -> bool:
    """Try whether a model generates in a precision; some compute numbers bfloat16 does not hold."""
    ids = _text(model, steps=2)
    try:
        with restored(model), autocast(next(model.parameters()).device, precision):
            feed.greedy(model, ids, torch.ones_like(ids), pad_id, steps=2)
    except torch.OutOfMemoryError:
        raise
    except REFUSALS:
        return False
    return True
