"""Generation that reads a text as it does when it is scored: the growing text, and its batches.

transformers' ``generate`` prepares what a model is given at each step, and that need not be what
the model was trained and scored with: other positions, a token more at the end, a cache that the
model cannot use. Which way gives the logits of a full forward pass is found by trying, the fastest
first; the last is a full forward pass at each step. Nothing that the model's own generation
settings recommend acts meanwhile.

Rows of different lengths are padded at the left, and a mask says what is padding. Whether a model
heeds it is found by trying, with the very loop that generates:

- ``padded``: rows of any lengths give the logits that each gives alone;
- ``equal``: only rows of one length do (recurrent models that run over the padding);
- ``alone``: not even those (models that mix up the states they keep between tokens).
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
from nextfill.models.computation import (
    REFUSALS,
    autocast,
    guarded,
    probe_ids,
    restored,
    same_logits,
)

Batching = Literal["padded", "equal", "alone"]

_LENGTH, _STEPS = 5, 3
"""Tokens of the text that is tried, and steps that it grows by."""

_FEEDS: WeakKeyDictionary[nn.Module, Feed] = WeakKeyDictionary()

_BATCH_LENGTHS: dict[Batching, tuple[int, ...]] = {"padded": (8, 3, 5), "equal": (5, 5)}
_BATCH_STEPS = 2


@dataclass(frozen=True)
class Feed:
    """The arguments of a model at each step of a growing text.

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
        """Call transformers' ``generate`` and return its result.

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
        with guarded(model), self._generation_settings(model):
            return model.generate(**inputs, **options)  # type: ignore[operator]

    @contextmanager
    def _generation_settings(self, model: Any) -> Iterator[None]:
        """Put aside what a model recommends for generation, and what prepares its inputs."""
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
    """Find the fastest way to give a model a text by which it reads it as in a full forward pass.

    Args:
        model: A causal model in float32 and evaluation mode.
        pad_id: The id that fills short rows.

    Returns:
        The way, which is found once for a model.

    Raises:
        ModelError: If the model takes a growing text in no way.
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
    """Put rows of token ids into one tensor, each at its right end.

    Args:
        rows: Token ids, at least one in each.
        pad_id: Fills the left.

    Returns:
        The ids and the mask, 0 on padding, each ``[B, T] int64``.

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
    """Find the rows that may be generated together.

    Args:
        model: A causal model in float32 and evaluation mode.
        pad_id: The id that fills short rows.
        feed: The way that the model is given a growing text.

    Returns:
        The freest way in which every row has the logits that it has alone.
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
