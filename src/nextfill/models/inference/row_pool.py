"""Growing texts that come and go while others go on: a pool of rows with keys and values in place.

Rows are packed: the one that is taken out gives its place to the last. Each has a length of its
own. A product of one row, or of a few, adds up in another order than one of many, by which a draw
from the whole vocabulary is another token once in some thousand. So the rows of a step are filled
up to a number from which on every row has the same bits whoever else is there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nextfill.config import Precision
from nextfill.models.computation import autocast, guarded, probe_ids, restored, same_logits
from nextfill.models.inference.incremental_decoding import Feed, probe_feed
from nextfill.models.inference.static_cache import CachedDecoder, Parts, hidden_states
from nextfill.models.libraries import REFUSALS

_COLUMNS = 128
"""Places by which the room of all rows grows."""

_EQUAL_ROWS, _EQUAL_COLUMNS = 4, 64
"""Multiples up to which rows and places are filled, so that each row has the same bits in any
company. Found by trying MKL's products of 1 to 64 rows: those of 4, 8, 12, ... rows are equal, in
one thread and in two, and those of 1, 2 and 3 are not."""


class Rows(Protocol):
    """Texts that grow together, by their places from 0 on."""

    def read(self, ids: Sequence[int], *, all_places: bool = False) -> Tensor:
        """Take in a text behind the others; return the logits after it, or of all its places."""
        ...

    def copy(self, place: int, length: int) -> bool:
        """Take in the first tokens of a text that is here once more, behind the others.

        Returns:
            Whether it was done; False where they would have to be read again.
        """
        ...

    def add(self, tokens: Tensor) -> Tensor:
        """Add a token to each text, ``[B] int64``, and return the logits after it, ``[B, V]``."""
        ...

    def remove(self, place: int) -> None:
        """Take a text out, whose place the last one gets."""
        ...


class RowPool:
    """Rows of a model in parts, which are computed together.

    Args:
        parts: The model's.
        is_exact: Whether a row has the same bits whoever else is there, for which few rows take
            the time of a few more.
    """

    def __init__(self, parts: Parts, *, is_exact: bool = False) -> None:
        self._parts = parts
        self._is_exact = is_exact
        shape = (len(parts.blocks), 0, parts.num_kv_heads, 0, parts.head_size)
        self._keys, self._values = torch.empty(shape), torch.empty(shape)
        self._lengths = torch.empty(0, dtype=torch.long)

    def read(self, ids: Sequence[int], *, all_places: bool = False) -> Tensor:
        """Take in a text behind the others; return the logits after it, or of all its places.

        It is read by itself, so that its logits are the same whoever else is there.

        Returns:
            ``[V] float32``, or ``[T, V]``.
        """
        text = torch.tensor([list(ids)])
        decoder = CachedDecoder(self._parts, text, torch.ones_like(text), 0)
        logits = decoder.read_prompts(all_places=all_places)[0]
        row, length = len(self._lengths), len(ids)
        self._make_room(row + 1, length + 1)
        for pool, own in zip((self._keys, self._values), decoder.keys_and_values, strict=True):
            pool[:, row, :, :length] = own[:, 0]
        self._lengths = torch.cat([self._lengths, torch.tensor([length])])
        return logits

    def copy(self, place: int, length: int) -> bool:
        """Take in the first tokens of a text that is here once more, behind the others."""
        row = len(self._lengths)
        self._make_room(row + 1, length + 1)
        for pool in (self._keys, self._values):
            pool[:, row, :, :length] = pool[:, place, :, :length]
        self._lengths = torch.cat([self._lengths, torch.tensor([length])])
        return True

    def add(self, tokens: Tensor) -> Tensor:
        """Add a token to each text, ``[B] int64``, and return the logits after it, ``[B, V]``."""
        wanted, at = len(tokens), self._lengths
        end = int(at.max()) + 1
        if self._is_exact:
            missing = -wanted % _EQUAL_ROWS
            at = torch.cat([at, at.new_zeros(missing)])
            tokens = torch.cat([tokens, tokens.new_zeros(missing)])
            end = -(-end // _EQUAL_COLUMNS) * _EQUAL_COLUMNS
        rows = len(tokens)
        self._make_room(rows, end)
        number = torch.arange(rows)
        seen = None
        if self._is_exact or bool((at + 1 < end).any()):
            hidden = torch.arange(end) > at[:, None]
            seen = torch.zeros(rows, end).masked_fill_(hidden, -torch.inf)[:, None, None]

        def keep(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            all_keys, all_values = self._keys[layer, :rows], self._values[layer, :rows]
            all_keys[number, :, at], all_values[number, :, at] = keys[:, :, 0], values[:, :, 0]
            return all_keys[:, :, :end], all_values[:, :, :end]

        states = hidden_states(
            *(self._parts, tokens[:, None], at[:, None], seen, keep),
            is_causal=False,
            in_products=self._is_exact,
        )
        self._lengths = self._lengths + 1
        logits = self._parts.head(self._parts.last_norm(states[:, 0]))
        return logits[:wanted]

    def remove(self, place: int) -> None:
        """Take a text out, whose place the last one gets."""
        last = len(self._lengths) - 1
        if place != last:
            length = int(self._lengths[last])
            for pool in (self._keys, self._values):
                pool[:, place, :, :length] = pool[:, last, :, :length]
            self._lengths[place] = length
        self._lengths = self._lengths[:last].clone()

    def _make_room(self, rows: int, columns: int) -> None:
        """Make the pool larger where it has to be; it stays so for those that come."""
        layers, has_rows, heads, has_columns, size = self._keys.shape
        if rows <= has_rows and columns <= has_columns:
            return
        more_rows = max(has_rows, rows if rows <= has_rows else max(rows, 2 * has_rows))
        more_columns = max(has_columns, -(-columns // _COLUMNS) * _COLUMNS)
        for name in ("_keys", "_values"):
            # Zeros, as a number of no meaning times a weight of 0 could still be no number.
            larger = torch.zeros(layers, more_rows, heads, more_columns, size)
            larger[:, :has_rows, :, :has_columns] = getattr(self, name)
            setattr(self, name, larger)


class SeparateRows:
    """Rows of a model of any layout, each computed by itself, with a cache where it has one.

    Args:
        model: A causal model in evaluation mode.
        feed: How it is given a text that grows.
        precision: Of its products.
    """

    def __init__(self, model: nn.Module, feed: Feed, precision: Precision) -> None:
        self.model: Any = model
        self._feed = feed
        self._precision = precision
        self._texts: list[list[int]] = []
        self._caches: list[Any] = []

    @classmethod
    def of(cls, model: nn.Module, pad_id: int, precision: Precision) -> SeparateRows:
        """Return rows of a model, given texts in the fastest way that has its own logits."""
        feed = probe_feed(model, pad_id)
        if feed.use_cache and not feed.whole and not _has_its_logits(cls(model, feed, "fp32")):
            feed = replace(feed, use_cache=False)
        return cls(model, feed, precision)

    def read(self, ids: Sequence[int], *, all_places: bool = False) -> Tensor:
        """Take in a text behind the others; return the logits after it, or of all its places."""
        logits, cache = self._logits(list(ids), 0, None)
        self._texts.append(list(ids))
        self._caches.append(cache)
        return logits if all_places else logits[-1]

    def copy(self, place: int, length: int) -> bool:
        """Take in a text that is here once more; one that has grown cannot be cut back."""
        text = self._texts[place]
        if len(text) != length:
            return False
        self._texts.append([*text])
        self._caches.append(copy.deepcopy(self._caches[place]))
        return True

    def add(self, tokens: Tensor) -> Tensor:
        """Add a token to each text, ``[B] int64``, and return the logits after it, ``[B, V]``."""
        each = []
        for place, token in enumerate(tokens.tolist()):
            text = self._texts[place]
            text.append(token)
            logits, self._caches[place] = self._logits(text, len(text) - 1, self._caches[place])
            each.append(logits[-1])
        return torch.stack(each)

    def remove(self, place: int) -> None:
        """Take a text out, whose place the last one gets."""
        for kept in (self._texts, self._caches):
            last = kept.pop()
            if place < len(kept):
                kept[place] = last

    def _logits(self, text: list[int], known: int, cache: Any) -> tuple[Tensor, Any]:
        """Return the logits of a text's new places, ``[new, V]``, and its cache."""
        device = next(self.model.parameters()).device
        if cache is None:
            known = 0
        inputs: dict[str, Any] = {"input_ids": torch.tensor([text[known:]], device=device)}
        if self._has_cache:
            inputs |= {"past_key_values": cache, "use_cache": True}
        else:
            inputs["use_cache"] = False
        first = self._feed.first_position
        if first is not None:
            positions = torch.arange(known, len(text), device=device) + first
            inputs["position_ids"] = positions[None]
        with guarded(self.model), autocast(device, self._precision), torch.inference_mode():
            output = self.model(**inputs)
        return output.logits[0].float().cpu(), getattr(output, "past_key_values", None)

    def whole_logits(self, text: list[int]) -> Tensor:
        """Return the logits of all places of a text, ``[T, V]``, without a cache."""
        feed = replace(self._feed, use_cache=False)
        return SeparateRows(self.model, feed, self._precision).read(text, all_places=True)

    @property
    def _has_cache(self) -> bool:
        return self._feed.use_cache and not self._feed.whole


_LENGTH, _STEPS = 5, 3


def _has_its_logits(rows: SeparateRows) -> bool:
    """Return whether texts that are read in part by part have the logits of whole ones."""
    texts = probe_ids(rows.model, 2, _LENGTH + _STEPS)
    try:
        with restored(rows.model):
            expected = [rows.whole_logits(text) for text in texts.tolist()]
        with restored(rows.model):
            for text in texts.tolist():
                rows.read(text[:_LENGTH])
            found = [rows.add(texts[:, _LENGTH + step]) for step in range(_STEPS)]
    except torch.OutOfMemoryError:
        raise
    except REFUSALS:
        return False
    after = torch.stack([one[_LENGTH:] for one in expected], dim=1)
    return bool(after.isnan().any()) or same_logits(torch.stack(found), after)
