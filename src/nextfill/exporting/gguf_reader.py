"""A GGUF file read back by the format's own library: its tensors, and ids by its tables."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nextfill.core.errors import ModelError
from nextfill.exporting.comparison_text import texts
from nextfill.exporting.gguf_tensors import FREQUENCIES, Layout
from nextfill.exporting.gguf_vocabulary import CONTROL, NORMAL, USER_DEFINED
from nextfill.exporting.runtime import ByLogits, own_runtime
from nextfill.exporting.sentencepiece_vocabulary import merges_of
from nextfill.models.loaded_model import LoadedModel

NUM_TEXTS = 1000
_CHARACTERS = 200
_HARD_TEXTS = (
    "  two spaces,\ttabs\t\tand lines\r\n\r\n\n end  ",
    "It's 1234567890 o'clock; I'LL say they've 3.14 of 1,000,000",
    "naïve façade, Größe, Ελλάδα, Москва, 日本語のテキスト, 한국어, हिन्दी",
    "😀👩‍👩‍👧 ½ ² ① \u00a0\u2003x\u200b",
    "def f(x):\n    return x**2  # a_b __init__ <|not a token|> $%&@!?",
)


def check_ids(
    path: Path, loaded: LoadedModel, ids_of: Callable[[str], list[int]], *, spaces: bool = True
) -> None:
    """Refuse a file whose tokenizer makes other ids of texts than the model's does.

    Args:
        path: The file.
        loaded: The model.
        ids_of: Returns the ids of a text by the file.
        spaces: Whether texts may begin with spaces; else those are cut off.
    """
    backend = loaded.tokenizer.backend_tokenizer
    for text in _texts() if spaces else (text.lstrip(" ") for text in _texts()):
        expected, found = backend.encode(text, add_special_tokens=False).ids, ids_of(text)
        if found != expected:
            raise ModelError(
                f"The tokenizer in {path.name} makes other ids of a text than that of "
                f"{loaded.name}: {found[:8]}... where {expected[:8]}... are expected, of "
                f"{text[:40]!r}. Nothing was written: report this, with the model's tokenizer.json."
            )


def _texts() -> Iterator[str]:
    yield from _HARD_TEXTS
    for _, text in zip(range(NUM_TEXTS), texts(_CHARACTERS), strict=False):
        yield text


def tables_tokenizer(library: Any, path: Path, loaded: LoadedModel) -> Callable[[str], list[int]]:
    """Return a function from a text to ids by the pieces and merges in a file.

    The way to split a text before the merges is the tokenizer's own: a file only names it.
    """
    from tokenizers import Tokenizer, models

    fields = {key: one.contents() for key, one in library.GGUFReader(path).fields.items()}
    pieces, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    backend = loaded.tokenizer.backend_tokenizer
    vocab = {piece: at for at, piece in enumerate(pieces)}
    if "tokenizer.ggml.scores" in fields:
        normal = [one if kind == NORMAL else "" for one, kind in zip(pieces, kinds, strict=True)]
        model = models.BPE(
            vocab=vocab,
            merges=merges_of(normal, fields["tokenizer.ggml.scores"]),
            byte_fallback=True,
            fuse_unk=True,
        )
    else:
        merges = [tuple(one.split(" ", 1)) for one in fields["tokenizer.ggml.merges"]]
        model = models.BPE(vocab=vocab, merges=merges, ignore_merges=backend.model.ignore_merges)
    again = Tokenizer(model)
    if backend.pre_tokenizer is not None:
        again.pre_tokenizer = backend.pre_tokenizer
    if backend.normalizer is not None:
        again.normalizer = backend.normalizer
    for kind, add in ((CONTROL, again.add_special_tokens), (USER_DEFINED, again.add_tokens)):
        add([piece for piece, one in zip(pieces, kinds, strict=True) if one == kind])
    return lambda text: list(again.encode(text, add_special_tokens=False).ids)


def tensors_runtime(
    library: Any, version: str, path: Path, loaded: LoadedModel, layout: Layout
) -> ByLogits:
    """Return a model with the weights of a file, as the library reads them, in PyTorch."""
    read = {
        one.name: torch.from_numpy(library.quants.dequantize(one.data, one.tensor_type).copy())
        for one in library.GGUFReader(path).tensors
    }
    model = copy.deepcopy(loaded.model)
    _give_weights(model, read, layout)
    again = own_runtime(replace(loaded, model=model))
    again.name = f"gguf {version}, in PyTorch"
    return again


def _give_weights(model: Any, read: Mapping[str, Tensor], layout: Layout) -> None:
    """Put the numbers of a file back where the layout has them from.

    Each number of the model is replaced by its own number first, so that the layout, which only
    moves numbers, tells where each has gone.
    """
    state: dict[str, Tensor] = model.state_dict()
    starts: dict[int, int] = {}
    total = 0
    for tensor in state.values():
        if tensor.data_ptr() not in starts:  # a tied one is the same
            starts[tensor.data_ptr()] = total
            total += tensor.numel()
    numbers = {
        name: torch.arange(one.numel()).view(one.shape) + starts[one.data_ptr()]
        for name, one in state.items()
    }
    values = torch.full((total,), torch.nan)
    for name, places in layout.tensors(model.config, numbers):
        if name == FREQUENCIES:
            continue
        values[places.reshape(-1)] = read[name].reshape(-1).float()
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(values[numbers[name].reshape(-1)].view(tensor.shape))
