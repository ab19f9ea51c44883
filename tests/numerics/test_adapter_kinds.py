"""Scalings, DoRA, PiSSA and OLoRA: nothing changes at the start, and what is saved is what was."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from nextfill.config import LoraConfig, Objective
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.adapters.lora import (
    add_adapter,
    merge_adapter,
    name_base,
    read_adapter,
    save_adapter,
)
from nextfill.models.loaded_model import LoadedModel
from tests.numerics.little_training import distance, logits, train_a_little
from tests.representative import often

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing"),
    # By PEFT alone, of what it reads.
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set"),
]

KINDS: dict[str, dict[str, Any]] = {
    "rank-stabilised": {"scaling": "rank-stabilised"},
    "dora": {"dora": True},
    "pissa": {"init": "pissa"},
    "olora": {"init": "olora"},
    "pissa, rank-stabilised": {"init": "pissa", "scaling": "rank-stabilised"},
    "olora, dora": {"init": "olora", "dora": True},
    "head": {"head": True},
    "head, dora": {"head": True, "dora": True},
    "head, pissa": {"head": True, "init": "pissa"},
    "norms": {"norms": True},
    "norms, pissa": {"norms": True, "init": "pissa"},
}
MODELS: dict[str, tuple[str, Objective]] = {
    "gpt2": ("gpt2", "causal"),  # layers with their weights the other way round
    "llama": ("llama", "causal"),
    "llama, tied": ("llama", "causal"),
    "bert": ("bert", "masked"),  # whose head shares the embedding's weights
    "roberta": ("roberta", "masked"),
}
OFTEN = [
    *(("gpt2", kind) for kind in KINDS),
    *(("llama", "dora"), ("llama", "olora, dora"), ("llama, tied", "pissa")),
    *(("bert", "dora"), ("bert", "olora"), ("roberta", "pissa")),
]


@pytest.fixture(params=MODELS)
def fresh(
    request: pytest.FixtureRequest,
    make_model: Callable[..., Any],
    make_masked: Callable[..., Any],
) -> Callable[[], LoadedModel]:
    """Return a function that makes the same model again."""
    kind, objective = MODELS[request.param]
    tied = {"tie_word_embeddings": True} if "tied" in request.param else {}
    make = make_model if objective == "causal" else make_masked
    return lambda: LoadedModel(make(kind, scale=3.0, **tied), None, "a model", objective)


@pytest.mark.parametrize(
    ("fresh", "kind"), often(product(MODELS, KINDS), OFTEN), indirect=["fresh"]
)
def test_a_kind_begins_as_nothing_and_is_saved_and_merged_as_it_is(
    fresh: Callable[[], LoadedModel], kind: str, tmp_path: Path
) -> None:
    before = logits(fresh().model)
    if kind == "head, dora" and fresh().objective == "masked":
        with pytest.raises(ConfigError, match=r"1 row of the weight of .*decoder is zero"):
            add_adapter(fresh(), LoraConfig(rank=4, **KINDS[kind]), seed=0)
        return
    loaded = add_adapter(fresh(), LoraConfig(rank=4, **KINDS[kind]), seed=0)
    assert distance(logits(loaded.model), before) < 1e-6
    train_a_little(loaded)
    after = logits(loaded.model)
    assert distance(after, before) > 1e-3

    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    again = read_adapter(fresh(), tmp_path, "an adapter")
    in_peft = peft.PeftModel.from_pretrained(fresh().model, tmp_path)
    assert torch.equal(logits(again.model), after)
    assert distance(logits(in_peft), after) < 1e-6
    assert distance(logits(merge_adapter(again).model), after) < 1e-5
    assert distance(logits(merge_adapter(loaded).model), after) < 1e-5


@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_an_adapter_begins_as_it_does_in_peft(make_model: Callable[..., Any], kind: Any) -> None:
    loaded = add_adapter(
        LoadedModel(make_model("llama"), None, "a model"),
        LoraConfig(rank=4, init=kind, targets="q_proj,k_proj,v_proj,o_proj"),
        seed=0,
    )
    places = ["q_proj", "k_proj", "v_proj", "o_proj"]
    config = peft.LoraConfig(r=4, lora_alpha=8, init_lora_weights=kind, target_modules=places)
    theirs = peft.get_peft_model(make_model("llama"), config).state_dict()
    ours = loaded.adapter.state_dict()
    for name, tensor in theirs.items():
        module, _, weight = name.rpartition(".")
        if ".lora_" in name:
            parts = f"{module}.parametrizations.{weight}"
            found, sign = ours[f"{parts}.original"], -1 if ".lora_B." in name else 1
            assert torch.equal(found, sign * ours[f"{parts}.0.begun"])
        elif name.endswith("base_layer.weight"):  # what PEFT leaves of it
            layer = loaded.adapter.get_submodule(module.removesuffix(".base_layer"))
            down, up = (one["default"].weight for one in (layer.lora_A, layer.lora_B))
            found = ours[name] + layer.scaling["default"] * up[:, 4:] @ down[4:]
        else:
            found = ours[name]
        torch.testing.assert_close(found, tensor, rtol=1e-6, atol=1e-7)


def test_the_scale_is_that_of_the_papers(make_model: Callable[..., Any]) -> None:
    def scale(**settings: Any) -> float:
        model = LoadedModel(make_model("llama"), None, "a model")
        loaded = add_adapter(model, LoraConfig(**settings), seed=0)
        layer = loaded.model.model.layers[0].self_attn.q_proj
        return float(layer.scaling["default"])

    assert scale(rank=16) == 2.0
    assert scale(rank=16, scaling="rank-stabilised") == 2.0
    assert scale(rank=4, scaling="rank-stabilised") == 4.0
    assert scale(rank=4, alpha=6, scaling="rank-stabilised") == 3.0
    assert scale(rank=4, alpha=6) == 1.5


def test_a_head_that_is_merged_is_untied_and_saved_as_it_is(
    fresh: Callable[[], LoadedModel], tmp_path: Path
) -> None:
    alone = add_adapter(fresh(), LoraConfig(rank=4), seed=0)
    loaded = add_adapter(fresh(), LoraConfig(rank=4, head=True), seed=0)
    assert loaded.num_trained > alone.num_trained
    train_a_little(loaded)
    words = loaded.model.get_input_embeddings().weight.clone()
    merged = merge_adapter(loaded).model
    assert torch.equal(merged.get_input_embeddings().weight, words)
    merged.save_pretrained(tmp_path)
    again = type(merged).from_pretrained(tmp_path)
    assert not again.config.tie_word_embeddings
    assert torch.equal(logits(again), logits(merged))


def test_a_head_is_asked_for_by_its_own_setting(make_model: Callable[..., Any]) -> None:
    model = LoadedModel(make_model("llama"), None, "a model")
    with pytest.raises(ConfigError, match="lm_head is the head: take it out, and give --lora-head"):
        add_adapter(model, LoraConfig(rank=4, targets="q_proj,lm_head"), seed=0)
    model.model.lm_head = torch.nn.Sequential(model.model.lm_head)
    with pytest.raises(ConfigError, match="--lora-head: transformers names no linear layer"):
        add_adapter(model, LoraConfig(rank=4, head=True), seed=0)


@pytest.mark.parametrize("init", ["zero", "pissa"])
def test_a_rank_above_the_width_of_some_layers_is_read_again(
    make_model: Callable[..., Any], init: Any, tmp_path: Path
) -> None:
    model = LoadedModel(make_model("llama", scale=3.0), None, "a model")
    loaded = add_adapter(model, LoraConfig(rank=24, init=init, targets="k_proj,q_proj"), seed=0)
    train_a_little(loaded)
    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    again = LoadedModel(make_model("llama", scale=3.0), None, "a model")
    again = read_adapter(again, tmp_path, "an adapter")
    assert torch.equal(logits(again.model), logits(loaded.model))


def test_other_factors_of_a_checkpoint_hold(fresh: Callable[[], LoadedModel]) -> None:
    """Another machine's decomposition may have other signs, or another order of equal parts."""
    before = logits(fresh().model)
    loaded = add_adapter(fresh(), LoraConfig(rank=4, init="pissa"), seed=0)
    other = add_adapter(fresh(), LoraConfig(rank=4, init="olora"), seed=0)
    train_a_little(other)
    state = {n: t for n, t in other.model.state_dict().items() if "lora_" in n}
    loaded.model.load_state_dict(state, strict=False)
    assert torch.equal(logits(loaded.model), logits(other.model))
    assert distance(logits(loaded.model), before) > 1e-3


@pytest.mark.parametrize("init", ["zero", "pissa"])
def test_layers_that_share_a_weight_are_merged_each_with_its_adapter(
    make_model: Callable[..., Any], init: Any
) -> None:
    model = make_model("llama", scale=3.0)
    first, second = (layer.self_attn for layer in model.model.layers)
    second.q_proj.weight = first.q_proj.weight
    before = logits(model)
    loaded = add_adapter(LoadedModel(model, None, "a model"), LoraConfig(rank=2, init=init), seed=0)
    assert distance(logits(model), before) < 1e-6
    train_a_little(loaded)
    after = logits(model)
    assert distance(logits(merge_adapter(loaded).model), after) < 1e-5


@pytest.mark.parametrize("init", ["pissa", "olora", "pissa_niter_4"])
def test_an_adapter_that_peft_began_is_read_where_its_beginning_is_found_again(
    make_model: Callable[..., Any], init: Any, tmp_path: Path
) -> None:
    config = peft.LoraConfig(r=4, init_lora_weights=init, target_modules=["q_proj", "up_proj"])
    theirs = peft.get_peft_model(make_model("llama", scale=3.0), config)
    train_a_little(LoadedModel(theirs.get_base_model(), None, "theirs"))
    theirs.save_pretrained(tmp_path)
    fresh = LoadedModel(make_model("llama", scale=3.0), None, "a model")
    if init == "pissa_niter_4":
        with pytest.raises(ModelError, match="cannot be found again"):
            read_adapter(fresh, tmp_path, "an adapter")
        return
    again = read_adapter(fresh, tmp_path, "an adapter")
    assert distance(logits(again.model), logits(theirs)) < 1e-6
    save_adapter(again, tmp_path / "more")
    fresh = LoadedModel(make_model("llama", scale=3.0), None, "a model")
    last = read_adapter(fresh, tmp_path / "more", "it")
    assert torch.equal(logits(last.model), logits(again.model))
