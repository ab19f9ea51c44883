"""Decoding by hand against transformers' own, and the weights in half precision and 8 bits."""

from __future__ import annotations

import copy
import functools
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import peft
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OPTForCausalLM

import nextfill
from nextfill.config import GenerateConfig, GenerationConfig, ModelConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.generation.generate import Job, continue_prompts
from nextfill.generation.prompts import encode_prompts, name_prompts
from nextfill.generation.row_continuation import _no_end_before
from nextfill.generation.session import open_session
from nextfill.models.inference import decoder_layouts, vocabulary_screening
from nextfill.models.inference.decoder_layouts import _activation, read_decoder
from nextfill.models.inference.matrix_products import has_int8, packed_product
from nextfill.models.inference.static_cache import CachedDecoder
from nextfill.models.inference.vocabulary_screening import VocabularyScreen
from nextfill.models.loaded_model import LoadedModel

PROMPTS = ["Return the", "str", "If the list is empty, raise ValueError; else", "x", "", "self"]
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"greedy": True},
    "defaults": {},
    "sampled": {"top_k": 20, "temperature": 0.7, "num_samples": 2},
    "all": {"top_k": 0, "top_p": 1.0},
    "limits": {"top_k": 30, "top_p": 0.8, "min_p": 0.02, "typical_p": 0.9},
    "penalty": {"greedy": True, "repetition_penalty": 1.8, "min_new_tokens": 8},
    "ngrams": {"no_repeat_ngram_size": 2},
    "stop": {"greedy": True, "stop": ["e", " "]},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "scaled": ("gpt2", {"scale_attn_by_inverse_layer_idx": True, "tie_word_embeddings": False}),
    "relu": ("gpt2", {"activation_function": "relu", "n_inner": 40}),
    "llama": ("llama", {}),
    "one head for all": ("llama", {"num_key_value_heads": 1, "attention_bias": True}),
    "turned": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                             "rope_theta": 500.0}}),
}  # fmt: skip


@pytest.fixture(scope="module", params=VARIANTS)
def loaded(request, make_model, bpe):
    kind, settings = VARIANTS[request.param]
    model = make_model(kind, **settings).eval()
    return LoadedModel(model, bpe, f"scratch:{kind}")


def texts(loaded, parts, *, precision="fp32", on_text=None, prompts=PROMPTS, **settings):
    generation = GenerationConfig(**{"max_new_tokens": 8, **settings})
    encoded = encode_prompts(loaded, name_prompts(prompts), generation.max_new_tokens)
    job = Job(loaded, generation, 3, precision, parts=parts)
    made = continue_prompts(job, encoded, seen=Counter(), on_text=on_text)
    return [[item["generated_text"] for item in entry] for entry in made]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_texts_are_transformers_own(loaded, name):
    parts = read_decoder(loaded.model, "fp32")
    assert parts is not None
    assert texts(loaded, parts, **SETTINGS[name]) == texts(loaded, None, **SETTINGS[name])


def test_a_text_depends_on_no_other_of_its_batch(loaded):
    parts = read_decoder(loaded.model, "fp32")
    assert texts(loaded, parts) == texts(loaded, parts, generation_batch_size=1)
    assert texts(loaded, parts) == texts(loaded, parts, generation_batch_size=2)


def test_a_stream_tells_the_text(loaded):
    parts = read_decoder(loaded.model, "fp32")
    for name in ("greedy", "stop", "defaults"):
        pieces: list[str] = []
        [[text]] = texts(loaded, parts, prompts=["x"], on_text=pieces.append, **SETTINGS[name])
        assert text == "x" + "".join(pieces)


def wrapped(model, *, modules):
    settings = peft.LoraConfig(r=2, target_modules=modules, lora_alpha=4, use_dora=False)
    adapter = peft.get_peft_model(model, settings)
    generator = torch.Generator().manual_seed(1)
    for name, one in adapter.named_parameters():
        if "lora_" in name:
            one.data = torch.randn(one.shape, generator=generator) * 0.3
    return adapter.get_base_model().eval()


@pytest.mark.filterwarnings("ignore")  # of PEFT, on its use by hand
def test_an_adapter_is_merged_as_it_is_read(make_model):
    for kind, modules in (("gpt2", ["c_attn", "c_fc"]), ("llama", ["q_proj", "down_proj"])):
        plain = make_model(kind).eval()
        model = wrapped(copy.deepcopy(plain), modules=modules)
        parts = read_decoder(model, "fp32")
        assert parts is not None
        ids = torch.tensor([[5, 6, 7, 8]])
        found = CachedDecoder(parts, ids, torch.ones_like(ids), 0).read_prompts()
        assert torch.allclose(found, model(ids).logits[:, -1], atol=1e-4)
        assert not torch.allclose(found, plain(ids).logits[:, -1], atol=1e-2)


@pytest.mark.filterwarnings("ignore")
def test_what_is_computed_otherwise_is_left_to_transformers(make_model):
    words = wrapped(make_model("gpt2").eval(), modules=["wte"])  # an embedding with an adapter
    hooked = make_model("gpt2").eval()
    hooked.transformer.h[0].mlp.register_forward_hook(lambda *_: torch.zeros(()))
    longer = make_model("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0,
                                                  "rope_theta": 1e4}).eval()  # fmt: skip
    for model in (words, hooked, longer, make_model("opt").eval(), make_model("gpt2").double()):
        assert read_decoder(model, "fp32") is None
        assert read_decoder(model, "laid out") is None
        assert read_decoder(model, "half") is None  # whose rounding would hide a small difference


@pytest.mark.filterwarnings("ignore")
def test_a_layout_is_tried_anew_as_weights_change(make_model):
    model = wrapped(make_model("gpt2").eval(), modules=["wte"])
    lora = [one for name, one in model.named_parameters() if "lora" in name]
    factors = [one.detach().clone() for one in lora]
    with torch.no_grad():
        for one in lora:
            one.zero_()
    assert read_decoder(model, "laid out") is not None  # an adapter that adds nothing yet
    with torch.no_grad():
        for one, factor in zip(lora, factors, strict=True):
            one.copy_(factor)
    assert read_decoder(model, "laid out") is None


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_products_in_half_precision_and_8_bits_are_near(rows):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 24, generator=generator)
    bias, given = torch.randn(40, generator=generator), torch.randn(rows, 24, generator=generator)
    for one in (weight, weight.t().contiguous().t()):
        expected = torch.nn.functional.linear(given, one, bias)
        most = expected.abs().max()
        assert torch.allclose(packed_product(one, bias, "fp32")(given), expected, atol=1e-5)
        for form, share in (("laid out", 1e-5), ("half", 0.01), ("int8", 0.03)):
            found = packed_product(one, bias, form)(given)
            assert found.dtype == torch.float32
            assert (found - expected).abs().max() < share * most
            without = packed_product(one, None, form)(given)
            assert (without - (expected - bias)).abs().max() < share * most


def test_gelu_is_one_operation_but_where_texts_must_not_change(make_model):
    hooked = make_model("gpt2").eval().transformer.h[0].mlp.act
    plain, rows = copy.deepcopy(hooked), torch.linspace(-4, 4, 90)
    hooked.register_forward_hook(lambda *_: torch.zeros(()))
    one = _activation(plain, "half")
    assert isinstance(one, functools.partial)
    assert torch.allclose(one(rows), plain(rows), atol=1e-6)
    assert _activation(plain, "fp32") is plain
    assert _activation(hooked, "half") is hooked


def test_no_text_ends_before_its_length():
    rule = _no_end_before(4, frozenset({1, 99}))  # an end beyond the vocabulary, as some name
    scores = torch.zeros(2, 5)
    assert rule(torch.zeros(2, 3), scores.clone())[:, 1].tolist() == [-torch.inf] * 2
    assert rule(torch.zeros(2, 3), scores.clone()).isinf().sum() == 2
    assert rule(torch.zeros(2, 4), scores.clone()).isinf().sum() == 0


def test_weights_beyond_the_range_of_float16_stay_what_they_are():
    weight = torch.full((8, 8), 1e6)
    given = torch.ones(1, 8)
    assert torch.allclose(packed_product(weight, None, "half")(given), given @ weight, rtol=0.01)


def test_a_model_in_half_precision_is_batched_and_near(loaded):
    parts = read_decoder(loaded.model, "half")
    assert parts is not None
    ids = torch.randint(3, 200, (6, 9), generator=torch.Generator().manual_seed(0))
    expected = loaded.model(ids).logits[:, -1]
    for rows in (1, 6):
        some = ids[:rows]
        found = CachedDecoder(parts, some, torch.ones_like(some), 0).read_prompts()
        assert (found - expected[:rows]).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.skipif(not has_int8(), reason="this PyTorch has no products in 8 bits")
def test_8_bits_say_what_they_cost():
    class Notes(nextfill.Observer):
        def __init__(self):
            self.notes = []

        def on_note(self, note):
            self.notes.append(note)

    observer = Notes()
    nextfill.generate("builtin:base-causal", "The", max_new_tokens=3, weights="int8",
                      observer=observer)  # fmt: skip
    [note] = [one for one in observer.notes if "8 bits" in one]
    cost, ours, full = (float(one) for one in re.findall(r"[+-]?\d+\.\d+", note))
    assert cost == pytest.approx(ours - full, abs=2e-4)
    assert abs(cost) < 0.03
    assert "tokens of Python's documentation" in note


def test_8_bits_are_refused_by_name(tmp_path, make_model, bpe):
    opt = make_model("opt")
    assert isinstance(opt, OPTForCausalLM)
    with pytest.raises(ConfigError, match="Expected GPT2LMHeadModel or Llama"):
        nextfill.generate(opt, "x", tokenizer=bpe, weights="int8")
    gpt2 = make_model("gpt2")
    assert isinstance(gpt2, GPT2LMHeadModel)
    with pytest.raises(ConfigError, match="beams are searched with full weights"):
        nextfill.generate(gpt2, "x", tokenizer=bpe, weights="int8", num_beams=2)


@pytest.fixture(scope="module")
def wide(bpe):
    """A GPT-2 with a vocabulary that is worth screening, on a small scale, and its parts."""
    torch.manual_seed(3)
    config = GPT2Config(vocab_size=len(bpe), n_layer=1, n_embd=32, n_head=2, n_positions=128,
                        tie_word_embeddings=False)  # fmt: skip
    loaded = LoadedModel(GPT2LMHeadModel(config).eval(), bpe, "scratch:gpt2")
    parts = read_decoder(loaded.model, "half")
    weight = loaded.model.lm_head.weight.detach()
    weight.normal_(std=0.4)
    return loaded, replace(parts, head=packed_product(weight, None, "fp32")), weight


SCREENED = {
    "greedy": {"greedy": True},
    "sampled": {"top_k": 3, "temperature": 0.7},
    "limits": {"top_k": 4, "top_p": 0.8, "min_p": 0.02, "typical_p": 0.9},
    "no end": {"top_k": 2, "min_new_tokens": 20},
}


@pytest.mark.skipif(not has_int8(), reason="this PyTorch has no products in 8 bits")
@pytest.mark.parametrize("name", SCREENED)
def test_the_texts_are_the_same_when_likely_tokens_are_found_first(wide, name, monkeypatch):
    loaded, parts, weight = wide
    monkeypatch.setattr(vocabulary_screening, "_SHARE", 1)
    settings = {**SCREENED[name], "max_new_tokens": 30, "generation_batch_size": 1}
    expected = texts(loaded, parts, **settings)

    def no_head(states):
        raise AssertionError(f"all logits of {len(states)} rows are computed")

    screened = replace(parts, screen=VocabularyScreen(weight))
    assert texts(loaded, replace(screened, head=no_head), **settings) == expected
    together = {**settings, "generation_batch_size": 4}  # several rows at a time have the head
    with pytest.raises(ModelError, match="all logits of 4 rows"):
        texts(loaded, replace(screened, head=no_head), **together)


@pytest.mark.parametrize(
    "settings",
    [{"repetition_penalty": 1.8, "greedy": True}, {"no_repeat_ngram_size": 1}, SETTINGS["all"]],
)
def test_rules_that_make_other_tokens_likely_see_them_all(wide, settings):
    loaded, parts, weight = wide
    screened = replace(parts, screen=VocabularyScreen(weight))
    settings = {"max_new_tokens": 20, "generation_batch_size": 1, **settings}
    assert texts(loaded, screened, **settings) == texts(loaded, parts, **settings)


def test_a_text_whose_tokens_are_all_as_likely_looks_no_further(wide):
    loaded, parts, weight = wide
    calls = []

    class Counted(VocabularyScreen):
        def __call__(self, row, count):
            calls.append(count)
            return super().__call__(row, count)

    screened = replace(parts, screen=Counted(torch.zeros_like(weight)))
    settings = {"max_new_tokens": 9, "generation_batch_size": 1, "min_new_tokens": 9, "top_k": 2}
    expected = texts(loaded, parts, prompts=["x"], **settings)
    assert texts(loaded, screened, prompts=["x"], **settings) == expected
    assert len(calls) == 4


@pytest.mark.skipif(not has_int8(), reason="this PyTorch has no products in 8 bits")
def test_a_session_in_half_precision_screens_what_is_large(monkeypatch):
    def screen(precision):
        model = ModelConfig(name="builtin:base-causal")
        return open_session(GenerateConfig(model=model, precision=precision)).parts.screen

    assert screen("bf16") is None  # a vocabulary that a cache holds
    monkeypatch.setattr(vocabulary_screening, "_LEAST_WEIGHTS", 1)
    assert screen("bf16") is not None
    assert screen("fp32") is None


def test_a_screen_of_other_logits_is_found_by_trying(make_model, monkeypatch):
    monkeypatch.setattr(vocabulary_screening, "_LEAST_WEIGHTS", 1)
    monkeypatch.setattr(decoder_layouts, "_LIKELIEST", 1)
    monkeypatch.setattr(vocabulary_screening, "_SHARE", 1)
    model = make_model("gpt2").eval()
    plain = read_decoder(model, "half")
    assert plain is not None
    assert plain.screen is None
    parts = read_decoder(model, "half", for_one=True)
    assert parts is not None
    assert (parts.screen is not None) == has_int8()
    if parts.screen is not None:
        other = VocabularyScreen(model.lm_head.weight.detach() * 2)
        assert not decoder_layouts.has_its_logits(model, replace(parts, screen=other), "half")
