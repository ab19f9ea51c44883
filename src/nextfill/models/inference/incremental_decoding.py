"""Incremental decoding with the logits that a model is scored by, for texts alone and in batches.

transformers' ``generate`` prepares the arguments of a model at each step, which need not be those
that it was trained and scored with: other positions, a token more at the end, a cache that the
model cannot use. The fastest way with the logits of a full forward pass is found by trying; the
last is a full forward pass at each step. So is the batching of rows, padded at the left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from nextfill.config import Precision
from nextfill.core.errors import ModelError
from nextfill.models.architecture import embedding_rows, first_position, max_positions
from nextfill.models.computation import autocast, guarded, probe_ids, restored, same_logits
from nextfill.models.libraries import REFUSALS

Batching = Literal["padded", "equal", "alone"]
"""Rows that share a batch: of any lengths, of one length only (recurrent models run over padding),
or none (models that mix up the states they keep between tokens)."""

_LENGTH, _STEPS = 5, 3
"""Tokens of the text that is tried, and steps that it grows by."""

_FEEDS: WeakKeyDictionary[nn.Module, Feed] = WeakKeyDictionary()

_BATCH_LENGTHS: dict[Batching, tuple[int, ...]] = {"padded": (8, 3, 5), "equal": (5, 5)}
_BATCH_STEPS = 2


@dataclass(frozen=True)
class Feed:
    """The arguments of a model at each step of a growing text.

    Args:
        use_cache: Whether it keeps keys and values of the tokens before.
        first_position: Position of a text's first token; None for transformers' own positions.
        whole: Whether each step is a full forward pass over the token ids alone; texts of
            different lengths cannot share a batch then.
    """

    use_cache: bool = True
    first_position: int | None = None
    whole: bool = False

    def generate(self, model: nn.Module, ids: Tensor, mask: Tensor, **options: Any) -> Any:
        """Call transformers' ``generate`` with its options, all settings in ``generation_config``.

        The ids, ``[B, T] int64``, are padded at the left, where the mask is 0.
        """
        device = next(model.parameters()).device
        inputs = {"input_ids": ids.to(device)}
        if not self.whole:
            inputs["attention_mask"] = mask.to(device)
        if self.first_position is not None:
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)
            inputs["position_ids"] = (places + self.first_position).to(device)
        options["generation_config"].use_cache = self.use_cache
        with guarded(model), self._generation_settings(model):
            return model.generate(**inputs, **options)  # type: ignore[operator]

    @contextmanager
    def _generation_settings(self, model: Any) -> Iterator[None]:
        """Replace a model's recommended settings and its preparation of inputs for a while."""
        from transformers import GenerationConfig

        recommended = model.generation_config
        model.generation_config = GenerationConfig()
        if self.whole:
            model.prepare_inputs_for_generation = _token_ids_alone
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


def _token_ids_alone(input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
    del kwargs  # `generate` looks for this name
    return {"input_ids": input_ids, "use_cache": False}


@torch.no_grad()
def probe_feed(model: nn.Module, pad_id: int) -> Feed:
    """Find, once for a model, its fastest feed with the logits of a full forward pass.

    The model is causal, in float32 and evaluation mode.
    """
    if model not in _FEEDS:
        _FEEDS[model] = _probe(model, pad_id)
    return _FEEDS[model]


def _probe(model: nn.Module, pad_id: int) -> Feed:
    first = first_position(model)
    positions = [first, None] if first else [None]
    ways = [Feed(cache, position) for position in positions for cache in (True, False)]
    refusal: Exception | None = None
    for feed in (*ways, Feed(use_cache=False, whole=True)):
        try:
            with restored(model):
                as_scored = _is_as_scored(model, feed, pad_id)
            if as_scored:
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
    return logits.shape == expected.shape and same_logits(logits, expected)


def _text(model: nn.Module, steps: int) -> Tensor:
    """Return a short text, ``[1, n] int64``, that leaves room to grow."""
    limit = max_positions(model)
    return probe_ids(model, 1, _LENGTH if limit is None else max(1, min(_LENGTH, limit - steps)))


@torch.no_grad()
def generates_in(model: nn.Module, feed: Feed, pad_id: int, precision: Precision) -> bool:
    """Return whether a model generates in a precision; some compute numbers beyond bfloat16."""
    ids = _text(model, steps=2)
    try:
        with restored(model), autocast(next(model.parameters()).device, precision):
            feed.greedy(model, ids, torch.ones_like(ids), pad_id, steps=2)
    except torch.OutOfMemoryError:
        raise
    except REFUSALS:
        return False
    return True


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pad rows of token ids at the left; return ids and mask, 0 on padding, ``[B, T] int64``.

    Example:
        >>> pad_left([[5, 6], [7]], pad_id=0)[0].tolist()
        [[5, 6], [0, 7]]
    """
    width = max(len(row) for row in rows)
    ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)


@torch.no_grad()
def probe_batching(model: nn.Module, pad_id: int, feed: Feed) -> Batching:
    """Find the freest batching in which every row has the logits that it has alone.

    The model is causal, in float32 and evaluation mode.
    """
    for way, lengths in _BATCH_LENGTHS.items():
        try:
            if _is_as_alone(model, lengths, pad_id, feed):
                return way
        except REFUSALS:
            continue  # the model does not take such a batch at all
    return "alone"


def _is_as_alone(model: nn.Module, lengths: tuple[int, ...], pad_id: int, feed: Feed) -> bool:
    vocabulary = embedding_rows(model)
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(0, vocabulary, (n,), generator=generator).tolist() for n in lengths]
    together = _logits(model, rows, pad_id, feed)
    alone = torch.cat([_logits(model, [row], pad_id, feed) for row in rows], dim=1)
    return same_logits(together, alone)


def _logits(model: nn.Module, rows: list[list[int]], pad_id: int, feed: Feed) -> Tensor:
    """Return the logits of a few greedy steps, ``[steps, B, V]``."""
    ids, mask = pad_left(rows, pad_id)
    return torch.stack(feed.greedy(model, ids, mask, pad_id, _BATCH_STEPS).logits)
