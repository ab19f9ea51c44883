"""Training of the types of model that transformers 5 has no more, by transformers 4.57.

    python scripts/legacy.py STORE [--model TYPE_OR_FOLDER ...] [--steps 60] [--out FOLDER]

`make legacy` makes an environment for it, prepares a store and runs it. It reads the documents of a
token store that `nextfill prepare` made, by its folder or by what the command prints with
``--json``, and trains by a plain loop: AdamW, a constant rate, every document in a row of its own,
cut at 64 tokens. Without ``--model`` each type is made small, with random weights; a folder is one
that transformers 4.57 saved. The last tenth of the rows is held out; nats per token are printed
before and after.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nextfill.data.store.token_store import TokenStore

ATTENTION = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
DECODER = {"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 128}
SHAPES: dict[str, dict[str, Any]] = {
    "mega": {
        **{"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128},
        **{"ema_projection_size": 8, "shared_representation_size": 32, "max_positions": 512},
        **{"bidirectional": False, "is_decoder": True},
    },
    "open-llama": {
        **{**ATTENTION, "intermediate_size": 128, "use_memory_efficient_attention": False},
    },
    "qdqbert": {**ATTENTION, "intermediate_size": 128, "is_decoder": True},
    "speech_to_text_2": {"d_model": 64, **DECODER, "max_target_positions": 512},
    "transfo-xl": {
        **{"d_model": 64, "d_embed": 64, "d_inner": 128, "n_head": 2, "d_head": 32, "n_layer": 2},
        **{"cutoffs": [], "div_val": 1, "mem_len": 0, "same_length": False, "adaptive": False},
    },
    "xlm-prophetnet": {
        **{"hidden_size": 64, "num_decoder_layers": 2, "num_decoder_attention_heads": 2},
        **{"decoder_ffn_dim": 128, "is_decoder": True, "max_position_embeddings": 512},
    },
}
"""Small shapes of each type, by its name in transformers."""

LENGTH = 64
BATCH = 8
NO_TARGET = -100


WITH_LIMITS = ("qdqbert", "xlm-prophetnet")
"""One needs NVIDIA's pytorch-quantization, the other looks ahead at the tokens it is to predict."""


def main() -> int:
    """Train each model, and return how many could not be, of those with known limits none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--model", action="append", metavar="TYPE_OR_FOLDER")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not transformers.__version__.startswith("4.57."):
        parser.error(f"transformers {transformers.__version__} is here, not 4.57: make legacy")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers.logging.set_verbosity_error()
    mend()
    store = options.store
    if store.suffix == ".json":
        store = Path(json.loads(store.read_text("utf-8"))["store"])
    rows = rows_of(TokenStore.open(store))
    vocabulary = int(max(row.max() for row in rows)) + 1
    failed = 0
    for name in options.model or SHAPES:
        try:
            model = make_model(name, vocabulary)
            check_causal(model, vocabulary)
            before, after = train(model, rows, options.steps, options.learning_rate)
        except (
            ValueError,
            TypeError,
            RuntimeError,
            ImportError,
            AttributeError,
            KeyError,
        ) as error:
            first = (str(error).strip().splitlines() or [""])[0]
            print(f"{name}: {type(error).__name__}: {first}", flush=True)
            failed += name in (options.model or ()) or name not in WITH_LIMITS
            continue
        print(f"{name}: {before:.4f} -> {after:.4f} nats per token", flush=True)
        if options.out is not None:
            model.save_pretrained(options.out / Path(name).name)  # type: ignore[operator]
    return failed


def mend() -> None:
    """Put right what keeps two of the types from computing in transformers 4.57 itself.

    Speech2Text2 never makes its table of positions, and its initialisation asks for it by another
    name; Transformer-XL gives ``Tensor.type_as`` an argument that it does not have.
    """
    name = "transformers.models.deprecated.speech_to_text_2.modeling_speech_to_text_2"
    positions: Any = importlib.import_module(name).Speech2Text2SinusoidalPositionalEmbedding
    make, type_as = positions.__init__, torch.Tensor.type_as

    def make_whole(self: Any, count: int, width: int, padding: int | None = None) -> None:
        make(self, count, width, padding)
        self.make_weights(count + self.offset, width, padding)

    def as_type(self: Tensor, other: Any = None, *, dtype: Any = None) -> Tensor:
        return type_as(self, other) if dtype is None else self.to(dtype)

    positions.__init__ = make_whole
    # What is set under the other name is the same table again.
    positions.weight = property(lambda self: self.weights)
    plain = nn.Module.__setattr__

    def keep(self: Any, name: str, value: Any) -> None:
        plain(self, "weights" if name == "weight" else name, value)

    positions.__setattr__ = keep
    torch.Tensor.type_as = as_type  # type: ignore[assignment, method-assign]


def rows_of(store: TokenStore) -> list[NDArray[np.int64]]:
    """Return the documents' ids, cut into rows of `LENGTH`, those of one token left out."""
    found = []
    for number in range(store.num_documents):
        ids = np.asarray(store.tokens(number), np.int64)
        found += [ids[at : at + LENGTH] for at in range(0, len(ids), LENGTH)]
    return [row for row in found if len(row) > 1]


def make_model(name: str, vocabulary: int) -> nn.Module:
    """Make a small model of a type, or read a folder's."""
    auto = transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    if name not in SHAPES:
        model = auto.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
        if model.config.vocab_size < vocabulary:
            raise ValueError(
                f"its vocabulary has {model.config.vocab_size} tokens, not {vocabulary}"
            )
        return model  # type: ignore[no-any-return]
    config = transformers.AutoConfig.for_model(name, vocab_size=vocabulary, **SHAPES[name])
    return auto.from_config(config)  # type: ignore[no-any-return]


def logits_of(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the logits, ``[B, T, V]``; Transformer-XL has them under another name."""
    output = model(input_ids=ids)
    found = getattr(output, "logits", None)
    return output.prediction_scores if found is None else found  # type: ignore[no-any-return]


@torch.no_grad()
def check_causal(model: nn.Module, vocabulary: int) -> None:
    """Refuse a model of which a later token moves an earlier logit.

    It is tried with large random weights: new ones are so small that ProphetNet's leak, a bias by
    distance, is lost in rounding until it is trained.
    """
    tried = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(0)
    for weights in tried.parameters():
        noise = torch.randn(weights.shape, generator=generator)
        weights.copy_(noise * 0.3 if weights.dim() > 1 else weights + noise * 0.1)
    ids = torch.randint(0, vocabulary, (1, 24), generator=generator)
    base = logits_of(tried, ids)
    for at in range(1, ids.shape[1]):
        changed = ids.clone()
        changed[0, at] = (changed[0, at] + 1) % vocabulary
        moved = (logits_of(tried, changed) - base)[:, :at].abs().max()
        if moved > 1e-5 * base.abs().max():
            raise ValueError("it looks ahead at the tokens that it is to predict")


def nats(model: nn.Module, rows: list[NDArray[np.int64]]) -> tuple[Tensor, int]:
    """Return the sum of the rows' nats, and the count of their targets."""
    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    labels = torch.full_like(ids, NO_TARGET)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.from_numpy(row)
        labels[at, : len(row) - 1] = ids[at, 1 : len(row)]
    logits = logits_of(model, ids).flatten(0, 1)
    total = functional.cross_entropy(
        logits.float(), labels.flatten(), ignore_index=NO_TARGET, reduction="sum"
    )
    return total, int((labels != NO_TARGET).sum())


def train(
    model: nn.Module, rows: list[NDArray[np.int64]], steps: int, rate: float
) -> tuple[float, float]:
    """Train a model, and return its nats per held-out token before and after."""
    cut = max(1, len(rows) // 10)
    learnt, held_out = rows[:-cut], rows[-cut:]
    before = mean_nats(model, held_out)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    order = np.random.default_rng(0)
    model.train()
    for _ in range(steps):
        chosen = order.choice(len(learnt), min(BATCH, len(learnt)), replace=False)
        total, count = nats(model, [learnt[at] for at in chosen])
        (total / count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return before, mean_nats(model, held_out)


@torch.no_grad()
def mean_nats(model: nn.Module, rows: list[NDArray[np.int64]]) -> float:
    """Return the nats per token of some rows."""
    model.eval()
    parts = [nats(model, rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    return sum(float(total) for total, _ in parts) / sum(count for _, count in parts)


if __name__ == "__main__":
    raise SystemExit(main())
