"""Generated texts against transformers' own, and batches against one text at a time."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LogitsProcessorList, NoRepeatNGramLogitsProcessor
from transformers import GenerationConfig as TransformersConfig

from nextfill.config import GenerationConfig
from nextfill.core.errors import ModelError
from nextfill.generation.decoding import WithoutPadding, sampling_warpers
from nextfill.generation.generate import generate_text
from nextfill.models.inference.incremental_decoding import probe_batching, probe_feed
from nextfill.models.loaded_model import LoadedModel

PROMPTS = [
    "Return the",
    "str",
    "If the list is empty, raise ValueError; else return an item of it.",
    "x",
    "",
    "Return an",
    "self",
]
STEPS = 8

# How rows may be batched: found by the probe, which is shown no names.
WAYS = {
    "gpt2": "padded",
    "llama": "padded",
    "bloom": "padded",  # ALiBi
    "gemma2": "padded",  # a window of 8 positions in its first layer
    "mamba": "padded",  # a state-space model
    "recurrent_gemma": "equal",  # its recurrence runs over the padding
    "rwkv": "alone",  # its state mixes the rows of a batch
}
DECODING: dict[str, dict[str, Any]] = {
    "greedy": {"greedy": True},
    "sampled": {"top_k": 20, "temperature": 0.7},
    "penalty": {"greedy": True, "repetition_penalty": 1.8},
    "ngrams": {"greedy": True, "no_repeat_ngram_size": 2},
    "stop": {"greedy": True, "stop": ["e", " "]},
    "stop beams": {"num_beams": 3, "num_samples": 3, "stop": ["e", " "]},
    "beams": {"num_beams": 3, "num_samples": 2, "no_repeat_ngram_size": 3},
}


@pytest.fixture(scope="module")
def load(make_model, bpe):
    """Return a function that makes a model of a type, ready to generate."""

    def make(kind: str) -> LoadedModel:
        return LoadedModel(make_model(kind), bpe, f"scratch:{kind}")

    return make


def texts(loaded, prompts, *, seed=3, **settings):
    settings = {"max_new_tokens": STEPS, **settings}
    found = generate_text(
        loaded, prompts, GenerationConfig(**settings), seed=seed, precision="fp32"
    )
    return [[item["generated_text"] for item in entry] for entry in found]


def theirs(loaded, prompt, **settings):
    """Return what transformers' own ``generate`` makes of a prompt, as its pipeline shows it."""
    ids = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"]
    rows = loaded.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=TransformersConfig(
            max_new_tokens=STEPS, do_sample=False, pad_token_id=0, eos_token_id=0, **settings
        ),
    )
    decode = loaded.tokenizer.decode
    return [prompt + decode(row[ids.shape[1] :], skip_special_tokens=True) for row in rows]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bloom", "mamba"])
@pytest.mark.parametrize(
    ("ours", "same"),
    [
        ({"greedy": True}, {}),
        ({"greedy": True, "repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"greedy": True, "no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 2}),
        ({"greedy": True, "min_new_tokens": STEPS}, {"min_new_tokens": STEPS}),
        ({"num_beams": 4}, {"num_beams": 4}),
        (
            {"num_beams": 4, "num_samples": 3, "length_penalty": -2.0, "repetition_penalty": 1.3},
            {
                "num_beams": 4,
                "num_return_sequences": 3,
                "length_penalty": -2.0,
                "repetition_penalty": 1.3,
            },
        ),
    ],
    ids=["greedy", "penalty", "ngrams", "least", "beams", "best beams"],
)
def test_equal_to_transformers(load, kind, ours, same):
    loaded = load(kind)
    for prompt in PROMPTS[:2]:
        assert texts(loaded, [prompt], **ours) == [theirs(loaded, prompt, **same)]


RECOMMENDED: dict[str, Any] = {
    "forced_eos_token_id": 0, "forced_bos_token_id": 7, "suppress_tokens": list(range(1, 480)),
    "begin_suppress_tokens": list(range(1, 490)), "bad_words_ids": [[n] for n in range(1, 490)],
    "min_length": 200, "max_length": 3, "min_new_tokens": 3, "max_new_tokens": 2,
    "do_sample": True, "temperature": 0.1, "top_k": 1, "top_p": 0.01, "min_p": 0.9,
    "typical_p": 0.1, "epsilon_cutoff": 0.5, "eta_cutoff": 0.5, "top_h": 0.1,
    "repetition_penalty": 9.0, "encoder_repetition_penalty": 3.0, "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 1, "exponential_decay_length_penalty": (1, 50.0),
    "sequence_bias": [[[7], 50.0]], "remove_invalid_values": True, "renormalize_logits": True,
    "guidance_scale": 3.0, "num_beams": 4, "num_return_sequences": 2, "length_penalty": 5.0,
    "early_stopping": True, "num_beam_groups": 2, "diversity_penalty": 1.0, "max_time": 1e-9,
    "penalty_alpha": 0.6, "stop_strings": ["e"], "prompt_lookup_num_tokens": 3,
    "watermarking_config": {"greenlist_ratio": 0.1, "bias": 50.0}, "use_cache": False,
    "cache_implementation": "static", "pad_token_id": 9, "bos_token_id": 9,
    "decoder_start_token_id": 9, "token_healing": True,
}  # fmt: skip
"""Values that would show, of all that a model's folder may recommend."""


@pytest.mark.parametrize("key", RECOMMENDED)
def test_a_setting_that_the_model_recommends_does_not_slip_in(load, key):
    loaded = load("gpt2")

    def three() -> list:
        beams = texts(loaded, PROMPTS, num_beams=3, stop=["e", "t", "s"])
        sampled = texts(loaded, PROMPTS[:2], num_samples=2)
        return [beams, texts(loaded, PROMPTS[:2], greedy=True), sampled]

    before = three()
    recommended = loaded.model.generation_config
    setattr(recommended, key, RECOMMENDED[key])
    assert three() == before
    assert loaded.model.generation_config is recommended


def test_a_folder_of_a_model_that_forces_its_end(load, tmp_path):
    """BART's own settings do, in config.json as in generation_config.json."""
    loaded = load("bart")
    before = texts(loaded, PROMPTS[:2], greedy=True, max_new_tokens=4)
    loaded.model.generation_config.update(forced_eos_token_id=0, forced_bos_token_id=7)
    loaded.model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).float().eval()
    assert again.generation_config.forced_eos_token_id == 0
    read = LoadedModel(again, loaded.tokenizer, "bart")
    assert texts(read, PROMPTS[:2], greedy=True, max_new_tokens=4) == before


def test_the_end_tokens_that_a_model_names_end_a_text(load):
    loaded = load("gpt2")
    ids = loaded.tokenizer(PROMPTS[0])["input_ids"]
    row = loaded.model.generate(torch.tensor([ids]), max_new_tokens=STEPS, do_sample=False)[0]
    fourth = int(row[len(ids) + 3])
    loaded.model.generation_config.eos_token_id = [0, fourth]
    cut = row[: row.tolist().index(fourth, len(ids))]
    assert texts(loaded, PROMPTS[:1], greedy=True) == [[loaded.tokenizer.decode(cut)]]


@pytest.mark.parametrize("kind", WAYS)
def test_the_probe_finds_how_rows_may_be_batched(load, kind):
    model = load(kind).model
    assert probe_batching(model, 0, probe_feed(model, 0)) == WAYS[kind]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("gpt2", name) for name in DECODING]
    + [(kind, name) for kind in WAYS if kind != "gpt2" for name in ("greedy", "sampled", "beams")],
)
def test_a_batch_gives_what_each_prompt_gives_alone(load, kind, name):
    loaded, settings, prompts = load(kind), DECODING[name], PROMPTS
    if (kind, name) == ("rwkv", "beams"):
        with pytest.raises(ModelError, match="cannot search with beams"):
            texts(loaded, prompts, **settings)
        return
    if kind == "recurrent_gemma":  # it goes on from the text before, if a prompt is one token
        prompts = [p for p in prompts if len(loaded.tokenizer(p)["input_ids"]) > 1]
    alone = [texts(loaded, [prompt], **settings)[0] for prompt in prompts]
    assert texts(loaded, prompts, generation_batch_size=6, **settings) == alone
    assert len({text for entry in alone for text in entry}) >= len(prompts)


def test_padding_is_what_the_batches_are_safe_from(load):
    """Without the means that keep padding out, the texts would differ: the tests above can fail."""
    loaded = load("gpt2")
    ids = torch.tensor([[0, 0, 0, 5, 6, 5]])
    scores = torch.zeros(1, len(loaded.tokenizer))
    ngrams = NoRepeatNGramLogitsProcessor(2)
    banned = [
        (found == -torch.inf).nonzero()[:, 1].tolist()
        for found in (ngrams(ids, scores), WithoutPadding(ngrams, [3])(ids, scores))
    ]
    assert banned == [[6], [6]]
    ids = torch.tensor([[0, 0, 0, 0]])  # a prompt of the very token that pads
    banned = [
        bool((found == -torch.inf).any())
        for found in (ngrams(ids, scores), WithoutPadding(ngrams, [3])(ids, scores))
    ]
    assert banned == [True, False]


def test_a_text_depends_on_its_prompt_its_number_and_the_seed_alone(load):
    loaded = load("llama")
    one = texts(loaded, ["str", "x", "str", "str"], top_k=0)
    assert texts(loaded, ["str"], num_samples=3, top_k=0) == [
        [entry[0] for number, entry in enumerate(one) if number != 1]
    ]
    assert texts(loaded, ["x"], num_samples=5, generation_batch_size=2, top_k=0)[0][0] == one[1][0]
    assert texts(loaded, ["x"], seed=4, top_k=0) != [one[1]]
    longer = texts(loaded, ["x"], max_new_tokens=2 * STEPS, top_k=0)[0][0]
    assert longer.startswith(one[1][0])


def test_no_generator_of_pytorch_is_touched(load):
    loaded, state = load("gpt2"), torch.random.get_rng_state()
    texts(loaded, PROMPTS[:3], num_samples=2)
    texts(loaded, PROMPTS[:1], num_beams=2, top_k=5)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_beams_are_drawn_where_it_is_asked_for(load):
    loaded = load("gpt2")
    settings = {"num_beams": 3, "temperature": 1.5}
    found = texts(loaded, PROMPTS, **settings)
    assert found != texts(loaded, PROMPTS, num_beams=3)
    assert found != texts(loaded, PROMPTS, seed=4, **settings)
    assert [texts(loaded, [prompt], **settings)[0] for prompt in PROMPTS] == found


SAMPLING = [
    {"temperature": 1.7},
    {"top_k": 7, "top_p": 1.0},
    {"top_k": 0, "top_p": 0.6},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.1},
    {"top_k": 0, "top_p": 1.0, "typical_p": 0.4},
    {"top_k": 12, "top_p": 0.8, "min_p": 0.02, "typical_p": 0.9, "temperature": 0.8},
]


def their_scores(loaded, ids, **settings):
    """Return the scores that transformers itself would draw the first token from, ``[V]``."""
    settings = {"temperature": 1.0, "top_k": 50, "top_p": 0.95, **settings}
    found = loaded.model.generate(
        input_ids=ids,
        generation_config=TransformersConfig(
            max_new_tokens=1,
            do_sample=True,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
        ),
    )
    return found.scores[0][0]


@pytest.mark.parametrize("settings", SAMPLING, ids="-".join)
def test_sampling_is_limited_as_transformers_limits_it(make_model, bpe, settings):
    loaded = LoadedModel(make_model("gpt2", scale=3.0), bpe, "scratch:gpt2")
    ids = bpe("Return the", return_tensors="pt")["input_ids"]
    limit = LogitsProcessorList(sampling_warpers(GenerationConfig(**settings)))
    ours = limit(ids, loaded.model(ids).logits[:, -1].detach())
    theirs = their_scores(loaded, ids, **settings)
    assert 1 < (theirs > -torch.inf).sum() < len(theirs)
    torch.testing.assert_close(ours[0], theirs)


def test_texts_come_as_often_as_transformers_scores_say(make_model, bpe):
    loaded = LoadedModel(make_model("gpt2", scale=3.0), bpe, "scratch:gpt2")
    settings = {"top_k": 12, "top_p": 0.9, "temperature": 1.3}
    ids = bpe("Return the", return_tensors="pt")["input_ids"]
    likely = their_scores(loaded, ids, **settings).double().softmax(0)
    expected: Counter[str] = Counter()
    for token in likely.nonzero()[:, 0].tolist():  # the end token and others may look alike
        text = "Return the" + bpe.decode([token], skip_special_tokens=True)
        expected[text] += 2000 * float(likely[token])
    batches = {"num_samples": 2000, "max_new_tokens": 1, "generation_batch_size": 500}
    found = Counter(texts(loaded, ["Return the"], **settings, **batches)[0])
    assert set(found) <= set(expected)
    statistic = sum((found[text] - count) ** 2 / count for text, count in expected.items())
    degrees = len(expected) - 1
    bound = degrees * (1 - 2 / (9 * degrees) + 3.719 * math.sqrt(2 / (9 * degrees))) ** 3
    assert degrees >= 5
    assert statistic < bound


def test_a_model_that_computes_no_numbers_is_refused(load):
    loaded = load("gpt2")
    with torch.no_grad():
        loaded.model.transformer.ln_f.weight.fill_(math.nan)
    for settings in DECODING.values():
        with pytest.raises(ModelError, match="NaN"):
            texts(loaded, ["x"], **settings)


def test_dropout_is_off_and_the_mode_is_put_back(make_model, bpe):
    loaded = LoadedModel(make_model("gpt2", dropout=0.5), bpe, "scratch:gpt2")
    loaded.model.train()
    assert texts(loaded, PROMPTS, greedy=True) == texts(loaded, PROMPTS, greedy=True)
    assert loaded.model.training
