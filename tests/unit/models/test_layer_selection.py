"""A smaller model of some of another's layers, in every family that has layers of one kind."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import transformers

from nextfill.config import LoraConfig, ModelConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.adapters.lora import add_adapter
from nextfill.models.layer_selection import evenly, select_layers
from nextfill.models.load import load_model
from nextfill.models.loaded_model import LoadedModel

SHAPE = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2},
    **{"max_position_embeddings": 64, "vocab_size": 100},
    **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0},
}
CAUSAL = {
    "gpt2": {"n_embd": 32, "n_head": 2, "n_positions": 64},
    "llama": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "gpt_neox": {},
    "bloom": {"n_head": 2},
    "mixtral": {"num_local_experts": 4, "num_key_value_heads": 2},
    # Every second layer sees 8 positions back, so that their kinds go by their places.
    "gemma2": {"head_dim": 16, "num_key_value_heads": 1, "sliding_window": 8},
    "mamba": {"state_size": 8},
    "bart": {"d_model": 32, "decoder_layers": 5, "decoder_ffn_dim": 64},
}
MASKED = {
    "bert": {},
    "roberta": {},
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_heads": 2},
    # The first layer has no norm, and every third sees the whole text.
    "modernbert": {"cls_token_id": 0, "sep_token_id": 0, "local_attention": 16},
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
}


def made(kind, objective, layers=5):
    count = transformers.CONFIG_MAPPING[kind].attribute_map.get(
        "num_hidden_layers", "num_hidden_layers"
    )
    known = transformers.CONFIG_MAPPING[kind]().to_dict()
    settings = {key: value for key, value in SHAPE.items() if key in known}
    settings |= {**(CAUSAL | MASKED)[kind]}
    if kind != "bart":
        settings[count] = layers
    torch.manual_seed(0)
    shape = transformers.AutoConfig.for_model(kind, **settings)
    auto = (
        transformers.AutoModelForCausalLM
        if objective == "causal"
        else transformers.AutoModelForMaskedLM
    )
    model = auto.from_config(shape).float().eval()
    with torch.no_grad():  # so that every layer tells
        for name, one in model.named_parameters():
            if one.ndim > 1 and "A_log" not in name:
                one.mul_(5)
    return LoadedModel(model, None, kind, objective)


def smaller(loaded, count):
    return select_layers(loaded, count, ModelConfig(name=loaded.name))


IDS = torch.randint(1, 99, (2, 9), generator=torch.Generator().manual_seed(0))
OF_ONE_KIND = [
    *((kind, "causal") for kind in CAUSAL if kind != "bart"),
    *((kind, "masked") for kind in MASKED if kind != "albert"),
]


@pytest.mark.parametrize(("kind", "objective"), OF_ONE_KIND)
def test_the_kept_layers_are_the_first_the_last_and_those_between(kind, objective, tmp_path):
    whole = made(kind, objective)
    part = smaller(whole, 3)
    assert part.model.config.num_hidden_layers == 3
    assert part.num_parameters < whole.num_parameters
    for key, kinds in vars(whole.model.config).items():
        if key.startswith("layer_types") and kinds:
            assert getattr(part.model.config, key) == [kinds[at] for at in (0, 2, 4)]
    assert all(one.requires_grad for one in part.model.parameters())
    own, kept = part.model.state_dict(), whole.model.state_dict()
    numbered = {name for name in kept if ".2." in name.split("experts")[0]}
    assert numbered
    for name in numbered:
        new = name.replace(".2.", ".1.", 1)
        assert torch.equal(own[new], kept[name]), name
    logits = part.model(IDS).logits
    assert not torch.allclose(logits, whole.model(IDS).logits, atol=1e-2)
    part.model.save_pretrained(tmp_path)
    again = type(part.model).from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert torch.equal(again(IDS).logits, logits)


def test_as_many_layers_as_there_are_change_nothing():
    whole = made("gpt2", "causal")
    assert torch.equal(smaller(whole, 5).model(IDS).logits, whole.model(IDS).logits)


@pytest.mark.parametrize(("total", "count"), [(12, 6), (5, 3), (5, 2), (7, 7), (3, 1), (48, 11)])
def test_they_lie_evenly(total, count):
    kept = evenly(count, total)
    assert len(set(kept)) == count
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert count == 1 or kept[-1] == total - 1
    steps = {b - a for a, b in pairwise(kept)}
    assert not steps or max(steps) - min(steps) <= 1


@pytest.mark.parametrize(
    ("kind", "objective", "why"),
    [
        ("albert", "masked", "its config says 5, and its weights have 1"),
        ("bart", "causal", "its config says 12, and its weights have 5"),
    ],
)
def test_layers_of_another_kind_are_refused_with_another_way(kind, objective, why):
    with pytest.raises(ModelError, match="cannot be taken one by one") as error:
        smaller(made(kind, objective), 2)
    assert why in str(error.value)
    assert "scratch:TYPE" in str(error.value)


def test_layers_that_their_places_shape_are_refused():
    shape = {"lru_width": 32, "num_attention_heads": 2, "num_hidden_layers": 5}
    known = {"hidden_size": 32, "intermediate_size": 64, "vocab_size": 100, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model("recurrent_gemma", **known, **shape)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    with pytest.raises(ModelError, match="of several kinds, by their places"):
        smaller(LoadedModel(model, None, "r", "causal"), 3)  # 0, 2 and 4, of which 2 is another
    # Of 0 and 4, which are of one kind and stay so, a model can be made.
    assert smaller(LoadedModel(model, None, "r", "causal"), 2).model.config.num_hidden_layers == 2


def test_a_smaller_model_that_computes_something_else_is_refused(monkeypatch):
    """As one would be whose layers are told apart by more than their weights."""
    whole = made("gpt2", "causal")
    config = whole.model.config
    config.scale_attn_by_inverse_layer_idx = True  # each layer's attention by its own number
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    model.load_state_dict(whole.model.state_dict())
    with pytest.raises(ModelError, match="with fewer of them it computes something else"):
        smaller(LoadedModel(model, None, "gpt2", "causal"), 3)


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(ConfigError, match="gpt2 has 5 layers: give 1 to 5"):
        smaller(made("gpt2", "causal"), 6)


def test_an_adapter_is_merged_first(tiny_model):
    loaded = load_model(ModelConfig(name=str(tiny_model)))
    adapted = add_adapter(loaded, LoraConfig(rank=2), seed=0)
    with torch.no_grad():
        for name, one in adapted.model.named_parameters():
            if "lora_B" in name:
                one.fill_(0.5)
    before = adapted.model(IDS).logits
    part = smaller(adapted, 2)
    assert part.adapter is None
    assert torch.allclose(part.model(IDS).logits, before, atol=1e-4)
    assert part.num_trained == part.num_parameters
