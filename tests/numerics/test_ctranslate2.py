"""CTranslate2 beside PyTorch: the same likeliest texts and odds, and its place in the cache."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch

import nextfill
from nextfill.config import GenerateConfig, GenerationConfig, ModelConfig
from nextfill.core.errors import ConfigError
from nextfill.generation.decoding import sampling_warpers
from nextfill.generation.session import open_session
from nextfill.models.inference.ctranslate2_conversion import converted_model, logits_of
from nextfill.models.load import load_model

pytest.importorskip("ctranslate2", reason="pip install 'nextfill[ctranslate2]'")

BASE = "builtin:base-causal"
PROMPTS = [
    f"The {what} of {whose}"
    for what in ("length", "name", "value", "list", "file", "x", "number", "first", "type", "sum")
    for whose in ("a", "the array", "a function", "Python", "each")
]


class Notes(nextfill.Observer):
    def __init__(self):
        self.notes = []

    def on_note(self, note):
        self.notes.append(note)


def texts(prompts, **settings):
    made = nextfill.generate(BASE, prompts, max_new_tokens=16, **settings)
    return [[one["generated_text"] for one in entry] for entry in made]


def test_the_likeliest_texts_are_the_same():
    ours = texts(PROMPTS, greedy=True, precision="fp32")
    assert texts(PROMPTS, greedy=True, engine="ctranslate2") == ours
    assert len({text for [text] in ours}) > 40


def test_nats_are_the_same_and_a_second_time_nothing_is_converted(tmp_path):
    loaded = load_model(ModelConfig(name=BASE), "causal")
    before = {name: one.clone() for name, one in loaded.model.state_dict().items()}
    for compute, tolerance in (("float32", 1e-3), ("int8", 0.1)):
        generator = converted_model(loaded, tmp_path, compute, on_wait=lambda: None)
        ids = torch.randint(2, 6000, (3, 20), generator=torch.Generator().manual_seed(0))
        found, expected = logits_of(generator, ids), loaded.model(ids).logits
        nats = [one.log_softmax(-1).gather(2, ids[:, :, None]).mean() for one in (found, expected)]
        assert nats[0].item() == pytest.approx(nats[1].item(), rel=tolerance)
    # Neither taken apart nor rounded as it was read.
    assert all(torch.equal(one, before[name]) for name, one in loaded.model.state_dict().items())
    made = {path: path.stat().st_ino for path in tmp_path.glob("converted/*/model.bin")}
    assert len(made) == 2
    converted_model(loaded, tmp_path, "int8", on_wait=lambda: None)
    assert {path: path.stat().st_ino for path in tmp_path.glob("converted/*/model.bin")} == made
    listed = nextfill.list_cache(cache_dir=tmp_path).entries
    assert [(entry.kind, entry.name) for entry in listed] == [("model", BASE)] * 2
    next(loaded.model.parameters()).data[0] += 1.0
    converted_model(loaded, tmp_path, "int8", on_wait=lambda: None)
    assert len(list(tmp_path.glob("converted/*/model.bin"))) == 3
    assert not [*tmp_path.glob("converted/*.tmp*")]


def test_the_cache_lets_go_of_it(tmp_path, monkeypatch):
    # In a process of its own it would be in use, so that it is only listed, named, and foreseen.
    folder = tmp_path / "converted" / ("0" * 32)
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text('{"name": "one"}')
    (folder / "model.bin").write_bytes(bytes(1000))
    assert [one.name for one in nextfill.prune_cache(cache_dir=tmp_path, max_size="10B").removed] \
        == ["one"]  # fmt: skip
    assert not folder.exists()


@pytest.mark.parametrize(
    "limits",
    [{"top_k": 5, "top_p": 1.0}, {"top_k": 0, "top_p": 0.6},
     {"top_k": 20, "top_p": 0.8, "temperature": 1.5}],
)  # fmt: skip
def test_draws_have_the_odds_that_transformers_gives(limits):
    count = 2000
    generation = GenerationConfig(max_new_tokens=1, generation_batch_size=count, **limits)
    config = GenerateConfig(
        model=ModelConfig(name=BASE), generation=generation, engine="ctranslate2", seed=1
    )
    session = open_session(config)
    rows = session.engine.continue_rows(
        [[5, 6, 7]] * count, generation, ends=frozenset([6143]), decoder=_no_stops(session),
        stream=None,
    )  # fmt: skip
    scores = session.loaded.model(torch.tensor([[5, 6, 7]])).logits[:, -1].detach()
    for warper in sampling_warpers(generation):
        scores = warper(None, scores)
    odds = scores.softmax(dim=-1)[0].double().numpy()
    drawn = np.bincount([row[0] for row in rows], minlength=len(odds))
    assert drawn[odds == 0].sum() == 0
    expected = odds[odds > 0] * count
    chi_square = ((drawn[odds > 0] - expected) ** 2 / expected).sum()
    degrees = len(expected) - 1
    assert chi_square < degrees + 5 * np.sqrt(2 * degrees)


def _no_stops(session):
    from nextfill.generation.text_stream import Decoder

    return Decoder(session.loaded.tokenizer, frozenset([6143]))


def test_a_seed_repeats_a_text_and_the_difference_is_told():
    observer = Notes()
    settings = {"engine": "ctranslate2", "num_samples": 3}
    first = texts(PROMPTS[:3], seed=4, observer=observer, **settings)
    assert texts(PROMPTS[:3], seed=4, **settings) == first
    assert texts(PROMPTS[:3], seed=5, **settings) != first
    assert all(len(Counter(entry)) == 3 for entry in first)
    assert any("draws its own random numbers" in note for note in observer.notes)


@pytest.mark.trial
def test_streams_stops_and_least_lengths():
    for settings in ({"stop": ["e", " a"]}, {"min_new_tokens": 16}, {}):
        pieces = []
        common = {"greedy": True, "max_new_tokens": 16, **settings}
        [one] = nextfill.generate(
            BASE, "The value", streamer=pieces.append, engine="ctranslate2", **common
        )
        [other] = nextfill.generate(BASE, "The value", precision="fp32", **common)
        assert one == other
        assert "The value" + "".join(pieces) == one["generated_text"]


@pytest.mark.filterwarnings("ignore")  # of PEFT, on its use by hand
def test_an_adapter_is_merged(tmp_path):
    import peft

    loaded = load_model(ModelConfig(name=BASE), "causal")
    adapter = peft.get_peft_model(loaded.model, peft.LoraConfig(target_modules=["q_proj"]))
    for name, one in adapter.named_parameters():
        if "lora_" in name:
            one.data = torch.randn(one.shape, generator=torch.Generator().manual_seed(1)) * 0.2
    common = {"tokenizer": loaded.tokenizer, "greedy": True, "max_new_tokens": 16}
    one = nextfill.generate(adapter, PROMPTS[:4], engine="ctranslate2", **common)
    assert one == nextfill.generate(adapter, PROMPTS[:4], precision="fp32", **common)
    assert one != nextfill.generate(BASE, PROMPTS[:4], greedy=True, max_new_tokens=16)


def test_what_it_does_not_do_is_refused_by_name(make_model, bpe):
    settings = {"min_p": 0.1, "num_beams": 2, "repetition_penalty": 2.0, "precision": "bf16",
                "no_repeat_ngram_size": 2, "typical_p": 0.5}  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        nextfill.generate(BASE, "x", engine="ctranslate2", **settings)
    assert all(re.search(rf"\b{name}=", str(caught.value)) for name in settings)
    scaled = {"scale_attn_by_inverse_layer_idx": True}  # which the converter does not heed
    for kind, settings, weights in (
        ("mamba", {}, "full"), ("gpt2", scaled, "full"), ("gpt2", scaled, "int8")
    ):  # fmt: skip
        model = make_model(kind, **settings)
        with pytest.raises(ConfigError, match=r'[Gg]ive engine="torch"'):
            nextfill.generate(model, "x", tokenizer=bpe, engine="ctranslate2", weights=weights)
        assert model(torch.tensor([[5]])).logits is not None  # not taken apart
