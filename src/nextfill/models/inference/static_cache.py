"""Steps of a growing text, computed by hand for the layouts of models that are recognised.

transformers prepares the arguments of a model anew at each token, grows its cache by copying it,
and multiplies one row by kernels made for many. Here keys and values have their place from the
start, and a step is the products, the attention and little else. A model is read once into the
parts below; that its logits are the model's own is found by trying before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nextfill.models.inference.matrix_products import Product
from nextfill.models.inference.vocabulary_screening import VocabularyScreen

Norm = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Block:
    """One layer of a decoder.

    Args:
        queries_keys_values: One product for all three, ``[rows, (heads + 2 * kv_heads) * size]``.
        feed_forward: From the normed rows to what is added to them.
        scale: By which the products of queries and keys are multiplied.
    """

    norm_before: Norm
    queries_keys_values: Product
    attention_output: Product
    norm_after: Norm
    feed_forward: Product
    scale: float


@dataclass(frozen=True)
class Rotary:
    """Cosines and sines of each position, ``[positions, head_size]``."""

    cosines: Tensor
    sines: Tensor


@dataclass(frozen=True)
class Parts:
    """A decoder in parts.

    Args:
        tokens: The embedding of tokens, ``[V, width]``.
        positions: That of positions, ``[positions, width]``, None with rotary ones.
        head: From normed states to logits.
        screen: Finds the likeliest tokens of one row without the head; None where that is no use.
    """

    tokens: Tensor
    positions: Tensor | None
    rotary: Rotary | None
    blocks: tuple[Block, ...]
    last_norm: Norm
    head: Product
    num_heads: int
    num_kv_heads: int
    head_size: int
    screen: VocabularyScreen | None = None


class CachedDecoder:
    """The growing texts of a batch, with their keys and values.

    Args:
        parts: The model's.
        ids: Prompts ``[B, T] int64``, padded at the left.
        mask: 0 on padding, ``[B, T] int64``.
        num_new: Tokens that there is to be room for.
    """

    def __init__(self, parts: Parts, ids: Tensor, mask: Tensor, num_new: int) -> None:
        self._parts = parts
        rows, width = ids.shape
        shape = (len(parts.blocks), rows, parts.num_kv_heads, width + num_new, parts.head_size)
        self._keys, self._values = torch.empty(shape), torch.empty(shape)
        self._layers = [(self._keys[n], self._values[n]) for n in range(shape[0])]
        self._length = 0
        self._next_positions = mask.sum(dim=1)
        self._ids, self._mask = ids, mask
        self._hidden: Tensor | None = None  # 0 or -inf, [B, 1, 1, T + num_new]
        if not bool(mask.all()):
            hidden = torch.zeros(rows, 1, 1, width + num_new)
            hidden[:, 0, 0, :width].masked_fill_(mask == 0, -torch.inf)
            self._hidden = hidden

    def read_prompts(self, *, all_places: bool = False) -> Tensor:
        """Return the logits after each prompt, ``[B, V]``, or of all its places, ``[B, T, V]``."""
        head, norm = self._parts.head, self._parts.last_norm
        hidden = self._hidden_of_prompts()
        last = head(norm(hidden[:, -1]))
        if not all_places:
            return last
        logits = head(norm(hidden).flatten(0, -2)).view(*hidden.shape[:-1], -1)
        # A product of one row has other last bits, which a text must not depend on.
        logits[:, -1] = last
        return logits

    def last_states(self) -> Tensor:
        """Read the prompts; return the normed states at their ends, ``[B, width]``."""
        return self._parts.last_norm(self._hidden_of_prompts()[:, -1])

    def all_states(self) -> Tensor:
        """Read the prompts; return the normed states of all places, ``[B, T, width]``."""
        return self._parts.last_norm(self._hidden_of_prompts())

    def _hidden_of_prompts(self) -> Tensor:
        width = self._ids.shape[1]
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        seen = None
        if self._hidden is not None:
            # A place of padding sees itself, or its softmax would be of nothing.
            is_text = (self._mask == 1)[:, None, None] | torch.eye(width, dtype=torch.bool)
            seen = is_text & torch.ones(width, width, dtype=torch.bool).tril()
        return self._forward(self._ids, positions, seen, is_causal=seen is None)

    def add(self, tokens: Tensor) -> Tensor:
        """Add a token to each text, ``[B] int64``, and return the logits after it, ``[B, V]``."""
        return self._parts.head(self.next_states(tokens))

    def next_states(self, tokens: Tensor) -> Tensor:
        """Add a token to each text, ``[B] int64``; return the normed states, ``[B, width]``."""
        seen = self._hidden
        if seen is not None:
            seen = seen[..., : self._length + 1]
        positions = self._next_positions[:, None]
        hidden = self._forward(tokens[:, None], positions, seen, is_causal=False)
        self._next_positions = self._next_positions + 1
        return self._parts.last_norm(hidden[:, 0])

    @property
    def keys_and_values(self) -> tuple[Tensor, Tensor]:
        """Those of all places so far, ``[layers, B, kv_heads, T, head_size]`` each."""
        return self._keys[..., : self._length, :], self._values[..., : self._length, :]

    def _forward(
        self, ids: Tensor, positions: Tensor, seen: Tensor | None, *, is_causal: bool
    ) -> Tensor:
        start, new = self._length, ids.shape[1]
        end = start + new

        def keep(layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            all_keys, all_values = self._layers[layer]
            all_keys.narrow(2, start, new).copy_(keys)
            all_values.narrow(2, start, new).copy_(values)
            return all_keys.narrow(2, 0, end), all_values.narrow(2, 0, end)

        hidden = hidden_states(self._parts, ids, positions, seen, keep, is_causal=is_causal)
        self._length = end
        return hidden


def hidden_states(
    parts: Parts,
    ids: Tensor,
    positions: Tensor,
    seen: Tensor | None,
    keep: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]],
    *,
    is_causal: bool,
    in_products: bool = False,
) -> Tensor:
    """Return the states of tokens before the last norm, ``[B, new, width]``.

    Args:
        parts: The model's.
        ids: The tokens, ``[B, new] int64``.
        positions: Their positions, ``[B, new] int64``.
        seen: The places that each sees, as attention takes it; None for all.
        keep: Takes a layer's number, and the keys and values of the tokens,
            ``[B, kv_heads, new, head_size]`` each; returns those of all places.
        is_causal: Whether each token sees itself and those before it alone.
        in_products: Whether one new token of each row attends by `row_attention`.
    """
    rows, new = ids.shape
    hidden = functional.embedding(ids, parts.tokens)
    if parts.positions is not None:
        hidden = hidden + functional.embedding(positions, parts.positions)
    hidden = hidden.view(rows * new, -1)
    rotary = None
    if parts.rotary is not None:
        rotary = parts.rotary.cosines[positions], parts.rotary.sines[positions]
    heads, kv_heads, size = parts.num_heads, parts.num_kv_heads, parts.head_size
    shares = (heads, kv_heads, kv_heads)
    for number, block in enumerate(parts.blocks):
        made = block.queries_keys_values(block.norm_before(hidden))
        made = made.view(rows, new, heads + 2 * kv_heads, size)
        # Few views, each of which takes as long as a small product.
        queries, keys, values = made.transpose(1, 2).split_with_sizes(shares, 1)
        if rotary is not None:
            turned = _turned(made.narrow(2, 0, heads + kv_heads), *rotary).transpose(1, 2)
            queries, keys = turned.split_with_sizes(shares[:2], 1)
        keys, values = keep(number, keys, values)
        if in_products and seen is not None:
            attended = row_attention(queries, keys, values, seen, block.scale)
        else:
            attended = functional.scaled_dot_product_attention(
                queries,
                keys,
                values,
                attn_mask=seen,
                is_causal=is_causal and new > 1,
                scale=block.scale,
                enable_gqa=kv_heads != heads,
            )
        attended = attended.transpose(1, 2).reshape(rows * new, heads * size)
        hidden = hidden + block.attention_output(attended)
        hidden = hidden + block.feed_forward(block.norm_after(hidden))
    return hidden.view(rows, new, -1)


def row_attention(
    queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor, scale: float
) -> Tensor:
    """Return the attention of one token of each row, each row's by products of its own.

    PyTorch's own attention divides the work among its threads by the number of all rows, so that a
    row's last bits depend on how many others there are.

    Args:
        queries: ``[B, heads, 1, head_size]``.
        keys: ``[B, kv_heads, T, head_size]``.
        values: ``[B, kv_heads, T, head_size]``.
        seen: 0, or minus infinity where a place is hidden, ``[B, 1, 1, T]``.
        scale: By which the products are multiplied.

    Returns:
        ``[B, heads, 1, head_size]``.
    """
    rows, heads, _, size = queries.shape
    kv_heads = keys.shape[1]
    grouped = queries.reshape(rows, kv_heads, heads // kv_heads, size)
    scores = torch.matmul(grouped, keys.transpose(2, 3)).mul_(scale).add_(seen)
    return torch.matmul(scores.softmax(dim=-1), values).view(rows, heads, 1, size)


def _turned(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return queries or keys, ``[B, T, heads, size]``, turned by their positions.

    Source:
        Su et al. 2021, RoFormer, in the order of halves that transformers has.
    """
    first, second = states.chunk(2, dim=-1)
    across = torch.cat((-second, first), dim=-1)
    return states * cosines[:, :, None] + across * sines[:, :, None]


def layer_norm(weight: Tensor, bias: Tensor | None, epsilon: float) -> Norm:
    """Return a layer norm of rows."""
    shape: Sequence[int] = weight.shape
    return lambda rows: torch.layer_norm(rows, list(shape), weight, bias, epsilon)


def rms_norm(weight: Tensor, epsilon: float) -> Norm:
    """Return a norm of rows by their root mean square."""
    shape = list(weight.shape)
    return lambda rows: torch.rms_norm(rows, shape, weight, epsilon)
