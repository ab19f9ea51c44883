"""Tiny random models of several families, whose logits are far apart, with a bundled tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import nextfill

BUNDLED = Path(nextfill.__file__).parent / "bundled"
_WORDS = 6144
_IDS = {"vocab_size": _WORDS, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
_SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
_SIZES |= {"num_attention_heads": 4, "max_position_embeddings": 160, "initializer_range": 0.3}
_LLAMA = {**_IDS, **_SIZES, "num_key_value_heads": 2}
_ROPE = {"rope_theta": 5000.0, "factor": 8.0}
_ROPE3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": (
        "gpt2",
        {**_IDS, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "n_positions": 160,
         "initializer_range": 0.3},
    ),
    "llama": (
        "llama",
        {**_LLAMA, "tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True,
         "rope_parameters": {"rope_type": "linear", **_ROPE}},
    ),
    "llama3": ("llama", {**_LLAMA, "rope_parameters": {"rope_type": "llama3", **_ROPE, **_ROPE3}}),
    "mistral": ("mistral", {**_LLAMA, "sliding_window": None, "head_dim": 32}),
    "mistral_window": ("mistral", {**_LLAMA, "sliding_window": 16}),
    "qwen2": ("qwen2", _LLAMA),
    "qwen3": ("qwen3", {**_LLAMA, "head_dim": 32, "tie_word_embeddings": True}),
    "gpt_neox": (
        "gpt_neox",
        {**_IDS, **_SIZES,
         "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0,
                             "partial_rotary_factor": 0.5}},
    ),
    "falcon": ("falcon", {**_IDS, **_SIZES}),
    "gpt_neo": (
        "gpt_neo",
        {**_IDS, "hidden_size": 64, "num_layers": 2, "num_heads": 4,
         "attention_types": [[["global", "local"], 1]], "window_size": 16,
         "max_position_embeddings": 160},
    ),
    "opt": (
        "opt",
        {**_IDS, "hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 2,
         "num_attention_heads": 4, "max_position_embeddings": 160, "word_embed_proj_dim": 64,
         "init_std": 0.3},
    ),
}  # fmt: skip
MASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", _SIZES),
    "roberta": ("roberta", _SIZES),
    "distilbert": (
        "distilbert",
        {"dim": 64, "hidden_dim": 96, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 160},
    ),
    "modernbert": ("modernbert", {**_SIZES, "global_attn_every_n_layers": 2, "local_attention": 8}),
}


def make_tiny(name: str, folder: Path) -> None:
    """Save a model of a family, and its tokenizer."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoTokenizer,
    )

    masked = name in MASKED
    kind, sizes = (CAUSAL | MASKED)[name]
    base = "base-masked" if masked else "base-causal"
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / base)
    if masked:
        ids = ("pad", "bos", "eos", "cls", "sep")
        known = {f"{one}_token_id": getattr(tokenizer, f"{one}_token_id") for one in ids}
        sizes = {**sizes, **known, "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model(kind, **sizes)
    torch.manual_seed(0)
    model = (AutoModelForMaskedLM if masked else AutoModelForCausalLM).from_config(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:  # which begin as zeros and ones, whatever they are for
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def give_sentencepiece(folder: Path, *, prefix: str = "prepend") -> None:
    """Give a model a tokenizer as SentencePiece's BPE is converted, with pieces of Python's words.

    Args:
        folder: Of the model, whose embedding keeps its rows.
        prefix: ``prepend`` as in Llama 2's file, or Metaspace's ``always``, ``first``, ``never``.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import generate_merges

    space = "\u2581"
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.Metaspace(space)
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False)
    learnt.train_from_iterator(
        [models.BPE.__doc__, *vars(str)["__doc__"].split(), *dir(torch)], trainer
    )
    words = [one for one, _ in sorted(learnt.get_vocab().items(), key=lambda one: one[1])]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocab = {piece: at for at, piece in enumerate(dict.fromkeys(pieces))}
    scores = {one: -float(at) for one, at in vocab.items() if one in words}
    merges = generate_merges(vocab, scores)
    unknown = {"unk_token": "<unk>"}
    made = Tokenizer(models.BPE(vocab, merges, fuse_unk=True, byte_fallback=True, **unknown))
    if prefix == "prepend":
        steps = [normalizers.Prepend(space), normalizers.Replace(" ", space)]
        made.normalizer = normalizers.Sequence(steps)
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(space, prefix, split=False)
    parts = [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)])
    special = {**unknown, "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
