"""Generated texts against a greedy loop of full forward passes, the model's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from nextfill.models.inference.incremental_decoding import (
    Feed,
    generates_in,
    pad_left,
    probe_batching,
    probe_feed,
)

VOCABULARY, PAD, FIRST = 90, 1, 3
"""Ids below FIRST are special and are not generated: models tell padding by their own pad token."""
STEPS = 12
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
ENCODER = {**SHAPE, "is_decoder": True}
DECODER = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "decoder_layers": 2,
    "decoder_ffn_dim": 64,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 64,
}
XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "causal": True, "is_encoder": True}
XMOD = {**ENCODER, "languages": ["en_XX"], "default_language": "en_XX"}
KINDS: dict[str, dict[str, Any]] = {
    # positions from behind the padding
    "roberta": ENCODER,
    "camembert": ENCODER,
    "xlm-roberta": ENCODER,
    "xlm-roberta-xl": ENCODER,
    "roberta-prelayernorm": ENCODER,
    "data2vec-text": ENCODER,
    "xmod": XMOD,
    # learned from 0, or with an offset, or told by the mask
    "bert": ENCODER,
    "electra": ENCODER,
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2},
    "bart": DECODER,
    "opt": {**SHAPE, "word_embed_proj_dim": 32, "ffn_dim": 64},
    "xglm": {"vocab_size": VOCABULARY, "d_model": 32, "num_layers": 2, "attention_heads": 2}
    | {"ffn_dim": 64},
    "biogpt": SHAPE,
    # ALiBi, rotary with a window, a state
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 2},
    "mpt": {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 2},
    "mistral": {**SHAPE, "num_key_value_heads": 2, "sliding_window": 6},
    "mamba": {"vocab_size": VOCABULARY, "hidden_size": 32, "state_size": 8}
    | {"num_hidden_layers": 2},
    # what `generate` gives otherwise than it is scored, or not with a cache
    "xlm": {"vocab_size": VOCABULARY, **XLM, "max_position_embeddings": 64, "pad_index": PAD},
    "xlnet": {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}
    | {"attn_type": "uni"},
    "prophetnet": {"vocab_size": VOCABULARY, "hidden_size": 32, "num_decoder_layers": 2}
    | {"decoder_ffn_dim": 64, "num_decoder_attention_heads": 2, "pad_token_id": PAD}
    | {"max_position_embeddings": 64, "is_decoder": True, "add_cross_attention": False},
}


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    shape = AutoConfig.for_model(kind, **KINDS[kind])
    model = AutoModelForCausalLM.from_config(shape).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # else positions weigh next to nothing
            if parameter.dim() > 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


@torch.no_grad()
def full_forwards(model: Any, prompt: list[int]) -> list[int]:
    """Return the greedy continuation of the model that is scored: no cache, its own positions."""
    ids = list(prompt)
    for _ in range(STEPS):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        ids.append(int(logits[FIRST:].argmax()) + FIRST)
    return ids[len(prompt) :]


def generated(model: Any, feed: Feed, prompts: list[list[int]]) -> list[list[int]]:
    ids, mask = pad_left(prompts, PAD)
    config = GenerationConfig(
        max_new_tokens=STEPS, do_sample=False, pad_token_id=PAD, suppress_tokens=[0, 1, 2]
    )
    rows = feed.generate(model, ids, mask, generation_config=config)
    return rows[:, ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_texts_are_those_of_the_model_that_is_scored(kind):
    model = model_of(kind)
    generator = torch.Generator().manual_seed(2)
    prompts = [
        torch.randint(FIRST, VOCABULARY, (length,), generator=generator).tolist()
        for length in (9, 4, 6)
    ]
    expected = [full_forwards(model, prompt) for prompt in prompts]
    feed = probe_feed(model, PAD)
    for prompt, text in zip(prompts, expected, strict=True):
        assert generated(model, feed, [prompt]) == [text]
    way = probe_batching(model, PAD, feed)
    if way == "padded":
        assert generated(model, feed, prompts) == expected
    # Left padding needs a mask and positions, which these do not take.
    assert (way == "padded") == (kind not in ("bart", "xlm", "xlnet", "prophetnet"))


def test_what_generate_gives_by_itself_is_another_text():
    model = model_of("roberta")
    prompt = [5, 6, 7, 8, 9]
    assert generated(model, Feed(), [prompt]) != [full_forwards(model, prompt)]


def test_the_way_is_as_fast_as_the_model_allows():
    ways = {kind: probe_feed(model_of(kind), PAD) for kind in ("roberta", "gpt2", "prophetnet")}
    assert ways["roberta"] == Feed(first_position=2)
    assert ways["gpt2"] == Feed()
    assert (ways["prophetnet"].use_cache, ways["prophetnet"].whole) == (False, False)
    assert probe_feed(model_of("xlnet"), PAD).whole


def test_a_model_is_left_as_it_was():
    model = model_of("xlnet")
    recommended, attributes = model.generation_config, set(vars(model))
    generated(model, probe_feed(model, PAD), [[5, 6, 7]])
    assert model.generation_config is recommended
    assert set(vars(model)) == attributes


def test_a_precision_that_a_model_does_not_compute_in():
    xmod, gpt2 = model_of("xmod"), model_of("gpt2")
    assert not generates_in(xmod, probe_feed(xmod, PAD), PAD, "bf16")
    assert generates_in(gpt2, probe_feed(gpt2, PAD), PAD, "bf16")
