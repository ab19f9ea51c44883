"""The logits of masked texts at their masks, computed by hand for layouts that are recognised.

transformers pads the texts of a batch, computes every position in every layer and lays the weights
out anew for each product in bfloat16. Here all tokens of a batch stand one after another, without
padding: only attention knows which text they are of. The last layer asks at the masks alone, and so
does the head. A model is read once into the parts below; that its logits are the model's own is
found by trying before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
from torch import Tensor
from torch.nn import functional

from nextfill.models.inference.matrix_products import Product
from nextfill.models.inference.static_cache import Norm


@dataclass(frozen=True)
class EncoderBlock:
    """One layer of an encoder whose norms follow what is added.

    Args:
        keys_values: One product for both, ``[rows, 2 * width]``.
        feed_forward: From rows to what is added to them.
    """

    queries: Product
    keys_values: Product
    attention_output: Product
    norm_of_attention: Norm
    feed_forward: Product
    norm_of_output: Norm


@dataclass(frozen=True)
class EncoderParts:
    """A masked model in parts.

    Args:
        tokens: The embedding of tokens, ``[V, width]``.
        positions: That of a text's places, from its first on, ``[places, width]``.
        head: From the last states to logits, ``[rows, V]``.
    """

    tokens: Tensor
    positions: Tensor
    first_norm: Norm
    blocks: tuple[EncoderBlock, ...]
    head: Product
    num_heads: int


@dataclass(frozen=True)
class _Run:
    """Texts of one length that follow one another, and those of their rows that ask.

    Args:
        asking: Rows of each text that ask.
        start: The first row of the texts.
        first_asking: The first of the rows that ask, among those of all texts.
    """

    texts: int
    length: int
    asking: int
    start: int
    first_asking: int


def mask_logits(
    parts: EncoderParts, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
) -> Tensor:
    """Return the logits at places of texts, text by text, ``[places, V] float32``.

    Args:
        parts: The model's.
        texts: Token ids of each text, with its special tokens.
        places: Of each text the positions of its masks, at least one.
    """
    order = sorted(range(len(texts)), key=lambda n: (len(texts[n]), len(places[n])))
    lengths = [len(texts[n]) for n in order]
    starts = [0, *accumulate(lengths)]
    ids = torch.tensor([token for n in order for token in texts[n]])
    positions = torch.cat([torch.arange(length) for length in lengths])
    asking = [start + at for n, start in zip(order, starts, strict=False) for at in places[n]]
    states = functional.embedding(ids, parts.tokens)
    states = parts.first_norm(states + functional.embedding(positions, parts.positions))
    whole = list(_runs(lengths, lengths))
    at_masks = list(_runs(lengths, [len(places[n]) for n in order]))
    for number, block in enumerate(parts.blocks):
        is_last = number + 1 == len(parts.blocks)
        keys_values = block.keys_values(states)
        if is_last:
            states = states[torch.tensor(asking)]
        attended = _attention(
            block.queries(states), keys_values, at_masks if is_last else whole, parts.num_heads
        )
        states = block.norm_of_attention(states + block.attention_output(attended))
        states = block.norm_of_output(states + block.feed_forward(states))
    # Of each place in the callers' order, its row among those that were asked for.
    first = [0, *accumulate(len(places[n]) for n in order)]
    by_text = dict(zip(order, first, strict=False))
    back = [by_text[n] + at for n, some in enumerate(places) for at in range(len(some))]
    return parts.head(states[torch.tensor(back)]).float()


def _runs(lengths: Sequence[int], asking: Sequence[int]) -> Iterator[_Run]:
    start = first = 0
    for (length, count), some in groupby(zip(lengths, asking, strict=True)):
        texts = len(list(some))
        yield _Run(texts, length, count, start, first)
        start, first = start + texts * length, first + texts * count


def _attention(
    queries: Tensor, keys_values: Tensor, runs: Sequence[_Run], num_heads: int
) -> Tensor:
    """Return the attention of rows to all of their text, ``[asking, width]``.

    Args:
        queries: ``[asking, width]``.
        keys_values: Of all rows, ``[rows, 2 * width]``.
        runs: Which of them are of which text.
        num_heads: Heads of the layer.
    """
    width = queries.shape[1]
    size = width // num_heads
    attended = torch.empty_like(queries)
    for run in runs:
        asking = slice(run.first_asking, run.first_asking + run.texts * run.asking)
        of_texts = keys_values[run.start : run.start + run.texts * run.length]
        keys, values = of_texts.view(run.texts, run.length, 2, num_heads, size).unbind(dim=2)
        found = functional.scaled_dot_product_attention(
            queries[asking].view(run.texts, run.asking, num_heads, size).transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
        )
        attended[asking] = found.transpose(1, 2).reshape(-1, width)
    return attended
