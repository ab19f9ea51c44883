"""A probe for models that look ahead at the tokens that they predict, and their repair.

An encoder saved with a causal head, an XLNet as its default configuration makes it, a decoder
whose attention was opened to both sides for embeddings: the perplexity of each is that of a model
that knows the answers. Where only later tokens differ, no earlier logit of a causal model may.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nextfill.config import Objective
from nextfill.core.errors import ModelError
from nextfill.models.architecture import LONGEST_TEXT, long_text_lengths, max_positions, text_config
from nextfill.models.computation import in_mode, probe_ids, restored
from nextfill.models.libraries import REFUSALS, first_error_line

_LENGTH = 12
_TOLERANCE = 1e-5
"""Largest change of an earlier logit, relative to the largest logit, that is still rounding."""

_TOLERANCE_IN_FLOAT64 = 1e-10

_CLOSING: tuple[tuple[str, tuple[Any, ...], Any], ...] = (
    ("is_decoder", (False, None), True),
    ("causal", (False, None), True),
    ("is_causal", (False,), True),
    ("attn_type", ("bi",), "uni"),
    ("use_bidirectional_attention", (True, "all"), False),
    ("attention_type", ("block_sparse",), "original_full"),
)
"""Settings that open attention to both sides: name, values that open it, value that closes it."""


@torch.no_grad()
def looks_ahead(model: nn.Module, *, new: bool = False) -> bool:
    """Return whether a later token moves an earlier logit of a model in float32.

    One forward pass, of a dozen short rows: a row of random tokens, and for each of its positions
    a row that has other tokens from there on. Where a model looks at long texts in another way,
    the rows are as long as that, and fewer. The random weights of a ``new`` model may be so small
    that it will look ahead only once it is trained (ProphetNet's bias by distance): float64 shows
    it before.
    """
    rows = _rows(model)
    logits, tolerance = None, _TOLERANCE
    if new:
        try:
            logits = plain_logits(model.double(), rows, use_cache=False)
            tolerance = _TOLERANCE_IN_FLOAT64
        except ModelError:
            pass  # some models fix a type within: tried again in float32
        finally:
            model.float()
    if logits is None:
        logits = plain_logits(model, rows, use_cache=False)
    moved = (logits[1:] - logits[:1]).abs().amax(dim=2)
    differs = (rows[1:] != rows[:1]).to(moved.device)
    before = differs.cumsum(dim=1) == 0
    return bool((moved[before] > tolerance * logits.abs().max().clamp(min=1e-3)).any())


def _rows(model: nn.Module) -> Tensor:
    """Return a row of ids, and rows that differ from it from some position on, ``[B, T] int64``."""
    long = [length for length in long_text_lengths(model) if length <= LONGEST_TEXT]
    length = max([_LENGTH, *(one + 5 for one in long)])
    length = min(length, max_positions(model) or length)
    first, other = (probe_ids(model, 1, length, seed=seed)[0] for seed in (0, 1))
    other = other.where(other != first, first.roll(1))
    cuts: Sequence[int] = range(1, length)
    if length > 4 * _LENGTH:
        cuts = [1, *(length * part // 8 for part in range(1, 8)), length - 1]
    return torch.stack([first, *(torch.cat([first[:at], other[at:]]) for at in cuts)])


@torch.no_grad()
def plain_logits(model: nn.Module, ids: Tensor, **arguments: Any) -> Tensor:
    """Return the logits, ``[B, T, V]``, of rows of token ids, ``[B, T] int64``.

    A model that does not take plain text is refused, or one whose logits are not one row a token,
    or no numbers.
    """
    kind = type(model).__name__
    ids = ids.to(next(model.parameters()).device)
    try:
        with in_mode(model, training=False), restored(model):
            logits = torch.as_tensor(model(input_ids=ids, **arguments).logits)
    except REFUSALS as error:
        raise ModelError(
            f"A {kind} with this configuration does not take rows of token ids alone: "
            f"{first_error_line(error)}. Give a language model that needs nothing but text, or "
            "mend its configuration."
        ) from error
    if logits.shape[:-1] != ids.shape:
        raise ModelError(
            f"A {kind} gives logits {list(logits.shape)} for {list(ids.shape)} token ids; expected "
            "one row of logits for each token: it cannot be trained or scored token by token."
        )
    if logits.isnan().any():
        raise ModelError(
            f"A {kind} with this configuration gives logits that are no numbers (NaN): its "
            "configuration or its weights are damaged; fetch both again."
        )
    return logits


def tried_model(
    objective: Objective,
    config: Any,
    build: Callable[[Any], nn.Module],
    name: str,
    *,
    new: bool = False,
) -> tuple[nn.Module, tuple[str, ...]]:
    """Build a model and try it; one that looks ahead is built again with its attention closed.

    Returns:
        The model, and the settings that were changed for that, as ``key=value``.
    """
    model = build(config)
    if objective == "masked":
        plain_logits(model, probe_ids(model, 2, 5))
        return model, ()
    if not looks_ahead(model, new=new):
        return model, ()
    kind, tried = type(model).__name__, []
    for changed, settings in _closed(config):
        del model  # one at a time in memory
        model = build(changed)
        if not looks_ahead(model, new=new):
            return model, settings
        tried.append(" and ".join(settings))
    outcome = (
        f"It still does with {', with '.join(tried)}."
        if tried
        else "Its configuration has no setting that makes it look back only."
    )
    raise ModelError(
        f"{name} is a {kind} that looks ahead: a later token changes what it says of an earlier "
        "one, so that it would be trained and scored on tokens that it can see. "
        f"{outcome} Give a causal model, or use this one to fill blanks if it was made so."
    )


def check_causality(model: nn.Module, name: str) -> None:
    """Refuse a live model in float32 that looks ahead; it is its owner's to make again."""
    if not looks_ahead(model):
        return
    settings = [" and ".join(changed) for _, changed in _closed(model.config)]
    advice = f"load or make it with {settings[0]}." if settings else "give a causal model."
    raise ModelError(
        f"{name} looks ahead: a later token changes what it says of an earlier one, so that it "
        f"would be trained and scored on tokens that it can see: {advice}"
    )


def _closed(config: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield configurations with one setting closed, then with all, each with those settings."""
    settings = text_config(config).to_dict()
    to_close = [(key, to) for key, opens, to in _CLOSING if settings.get(key, ...) in opens]
    for chosen in [*([one] for one in to_close), *([to_close] if len(to_close) > 1 else [])]:
        changed = copy.deepcopy(config)
        for key, to in chosen:
            setattr(text_config(changed), key, to)
        yield changed, tuple(f"{key}={str(to).lower()}" for key, to in chosen)
