"""Tiny random models, a small vocabulary and real text for comparing numbers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from nextfill.data.document import Document, ReadCounts
from nextfill.data.store.encoder import Encoder
from nextfill.data.store.token_store import TokenStore
from nextfill.data.store.writer import write_store
from tests.representative import often

VOCABULARY = 500
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256},
    "llama": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 256,
    },
    "qwen3": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
    },
    "gemma2": {  # its first layer sees 8 positions back; both logits are capped
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 8,
        "max_position_embeddings": 256,
    },
    "mixtral": {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_local_experts": 4,
        "max_position_embeddings": 256,
    },
    "gpt_neox": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
    },
    "opt": {
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "mamba": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    "bart": {
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_ffn_dim": 64,
        "decoder_attention_heads": 2,
        "max_position_embeddings": 256,
    },
}
RECURRENT: dict[str, dict[str, Any]] = {
    "rwkv": {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2},
    "recurrent_gemma": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "lru_width": 32,
    },
}
_ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
}
MASKED_SHAPES: dict[str, dict[str, Any]] = {
    "bert": _ENCODER,
    "roberta": _ENCODER,
    "distilbert": {
        "dim": 32,
        "hidden_dim": 64,
        "n_layers": 2,
        "n_heads": 2,
        "max_position_embeddings": 256,
    },
    # Its second layer sees 8 positions to either side.
    "modernbert": {**_ENCODER, "local_attention": 16, "global_attn_every_n_layers": 2},
    "electra": {**_ENCODER, "embedding_size": 16},
    "deberta-v2": {
        **_ENCODER,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "position_buckets": 16,
    },
    "xlm-roberta": _ENCODER,
    "albert": {**_ENCODER, "embedding_size": 16},
    "mpnet": _ENCODER,
    "fnet": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "max_position_embeddings": 256,
    },
}


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: tiny models are faster so, and a busy machine does not stall them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=often(SHAPES, ["gpt2", "llama", "gemma2", "mixtral", "mamba", "bart"]))
def family(request: pytest.FixtureRequest) -> str:
    """Each of ten model types in turn, four of them in trials."""
    return str(request.param)


@pytest.fixture(
    params=often(MASKED_SHAPES, ["bert", "roberta", "modernbert", "electra", "deberta-v2", "fnet"])
)
def masked_family(request: pytest.FixtureRequest) -> str:
    """Each of ten types of masked model in turn, four of them in trials."""
    return str(request.param)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Documentation of very different lengths, an empty text, and one of a single letter."""
    owners = (str, list, dict, set, int)
    short = [getattr(owner, name).__doc__ for owner in owners for name in dir(owner)]
    long = [module.__doc__ for module in (argparse, json, dataclasses)]
    long += [subprocess.Popen.__doc__, np.einsum.__doc__, argparse.ArgumentParser.__doc__]
    found = dict.fromkeys(text for text in short + long if text)
    return [*found, "", "x", "Grüße, 世界! 🙂"]


@pytest.fixture(scope="session")
def bpe(texts: list[str]) -> Any:
    """A byte-level tokenizer of 500 entries whose end-of-text token is its only special one."""
    return _byte_level(texts, end="<|endoftext|>")


@pytest.fixture(scope="session")
def bpe_without_specials(texts: list[str]) -> Any:
    """The same with no special token at all."""
    return _byte_level(texts, end=None)


@pytest.fixture(scope="session")
def bpe_masked(texts: list[str]) -> Any:
    """A byte-level tokenizer of 500 entries with RoBERTa's special tokens, in RoBERTa's order."""
    tokenizer = _byte_level(texts, end=None, specials=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    names = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
    names |= {"cls": "<s>", "sep": "</s>"}
    backend = tokenizer.backend_tokenizer
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name, token in names.items()},
    )


def _byte_level(texts: list[str], end: str | None, specials: Sequence[str] = ()) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[end] if end else list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end,
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TokenStore]:
    """Return a function that writes texts into a store."""

    def make(texts: list[str], tokenizer: Any) -> TokenStore:
        counts = ReadCounts(records=len(texts), documents=len(texts))
        path = tmp_path_factory.mktemp("store") / "store"
        documents = [Document(text, number) for number, text in enumerate(texts)]
        return write_store(path, documents, Encoder(tokenizer), key={}, counts=counts)

    return make


@pytest.fixture(scope="session")
def store(make_store: Callable[..., TokenStore], texts: list[str], bpe: Any) -> TokenStore:
    """All texts in one store."""
    return make_store(texts, bpe)


@pytest.fixture(scope="session")
def masked_store(
    make_store: Callable[..., TokenStore], texts: list[str], bpe_masked: Any
) -> TokenStore:
    """All texts in one store, for masked models."""
    return make_store(texts, bpe_masked)


@pytest.fixture(scope="session")
def make_model() -> Callable[..., torch.nn.Module]:
    """Return a function that makes a tiny random causal model of a type, without dropout.

    Its weights are ten times as large as those of a fresh model, so that what a token sees of
    others shows in its logits.
    """

    def make(kind: str, **settings: Any) -> torch.nn.Module:
        settings = {"pad_token_id": None, **(SHAPES | RECURRENT)[kind], **settings}
        settings = {"bos_token_id": 0, "eos_token_id": 0, **settings}
        return _make(transformers.AutoModelForCausalLM, kind, **settings)

    return make


@pytest.fixture(scope="session")
def make_masked() -> Callable[..., torch.nn.Module]:
    """Return a function that makes a tiny random masked model of a type; see `make_model`."""

    def make(kind: str, **settings: Any) -> torch.nn.Module:
        settings = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2} | settings
        settings = {**MASKED_SHAPES.get(kind, {}), **settings}
        return _make(transformers.AutoModelForMaskedLM, kind, **settings)

    return make


def _make(
    auto_class: Any, kind: str, *, seed: int = 0, scale: float = 10.0, **settings: Any
) -> torch.nn.Module:
    config = transformers.AutoConfig.for_model(kind, **{"vocab_size": VOCABULARY, **settings})
    if "dropout" not in settings:
        for key in config.to_dict():
            if "drop" in key and isinstance(getattr(config, key), float):
                setattr(config, key, 0.0)
    torch.manual_seed(seed)
    model: torch.nn.Module = auto_class.from_config(config).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "A_log" not in name:
                parameter.mul_(scale)
    return model.eval()
