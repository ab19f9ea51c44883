"""By default an adapter is on every linear layer but the head, and on experts in one weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from nextfill.config import LoraConfig
from nextfill.core.errors import ConfigError
from nextfill.models.adapters.lora import (
    add_adapter,
    merge_adapter,
    name_base,
    read_adapter,
    save_adapter,
)
from nextfill.models.loaded_model import LoadedModel
from tests.architectures import tiny_model
from tests.numerics.little_training import distance, logits, train_a_little
from tests.representative import often

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")

PLAIN = {
    **dict.fromkeys(("gpt2", "llama", "qwen3", "gemma2", "gpt_neox", "phi3", "falcon"), "causal"),
    **dict.fromkeys(("bert", "roberta", "distilbert", "modernbert", "electra", "albert"), "masked"),
}
MIXTURES = {
    "mixtral": {"experts.gate_up_proj", "experts.down_proj"},
    "qwen2_moe": {"experts.gate_up_proj", "experts.down_proj"},
    "qwen3_moe": {"experts.gate_up_proj", "experts.down_proj"},
    "olmoe": {"experts.gate_up_proj", "experts.down_proj"},
    "gpt_oss": {"experts.gate_up_proj", "experts.down_proj"},
    "granitemoe": {"experts.gate_up_proj", "experts.down_proj"},
    "longcat_flash": {"experts.gate_up_proj", "experts.down_proj"},  # some of which do nothing
    "deepseek_v3": {"experts.gate_up_proj", "experts.down_proj"},
}

OFTEN = (
    *("gpt2", "llama", "gemma2", "gpt_neox", "bert", "modernbert", "albert"),
    *("mixtral", "qwen2_moe", "gpt_oss", "longcat_flash"),
)


def loaded_model(kind: str) -> LoadedModel:
    objective: Any = PLAIN.get(kind, "causal")
    return LoadedModel(tiny_model(kind, objective), None, f"a {kind}", objective)


def adapted(model: nn.Module) -> set[str]:
    """Return the names of what carries an adapter, a parameter's with the module it is in."""
    found = set()
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            parameter = getattr(module, "parameter_name", "")
            place = name.replace(".base_layer", "")
            is_linear = isinstance(module.get_base_layer(), nn.Linear | Conv1D)
            found.add(place if is_linear else f"{place}.{parameter}")
    return found


@pytest.mark.parametrize("kind", often([*PLAIN, *MIXTURES], OFTEN))
def test_every_linear_layer_and_expert_and_not_the_head(kind: str, tmp_path: Path) -> None:
    loaded = loaded_model(kind)
    head = loaded.model.get_output_embeddings()  # type: ignore[operator]
    wanted = {
        name
        for name, module in loaded.model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    experts = {n for n, p in loaded.model.named_parameters() if p.dim() == 3 and ".experts." in n}
    before = logits(loaded.model)
    loaded = add_adapter(loaded, LoraConfig(rank=2), seed=0)
    assert adapted(loaded.model) == wanted | experts
    assert {".".join(name.split(".")[-2:]) for name in experts} == MIXTURES.get(kind, set())
    assert torch.equal(logits(loaded.model), before)

    train_a_little(loaded)
    after = logits(loaded.model)
    assert distance(after, before) > 1e-3
    trained = [n for n, p in loaded.model.named_parameters() if p.requires_grad]
    assert all("lora_" in name for name in trained)
    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    again = read_adapter(loaded_model(kind), tmp_path, "an adapter")
    assert distance(logits(again.model), after) < 1e-6
    in_peft = peft.PeftModel.from_pretrained(loaded_model(kind).model, tmp_path)
    assert distance(logits(in_peft), after) < 1e-6
    # Of DeepSeek's, made large, one rounding of every weight moves the logits by 1.5e-5.
    nearest = 5e-5 if kind == "deepseek_v3" else 1e-5
    assert distance(logits(merge_adapter(again).model), after) < nearest


@pytest.mark.parametrize(
    ("targets", "places"),
    [
        ("experts.down_proj", {".experts.down_proj"}),
        ("down_proj", {".experts.down_proj", ".shared_expert.down_proj"}),
        ("q_proj,up_proj", {".self_attn.q_proj", ".shared_expert.up_proj"}),
    ],
)
def test_names_of_experts_and_of_layers_beside_them(targets: str, places: set[str]) -> None:
    loaded = add_adapter(loaded_model("qwen2_moe"), LoraConfig(rank=2, targets=targets), seed=0)
    ends = {"." + ".".join(name.split(".")[-2:]) for name in adapted(loaded.model)}
    assert ends == places


def test_a_name_that_is_none_and_one_that_a_kernel_goes_past() -> None:
    lora = LoraConfig(rank=2, targets="experts.dwn_proj")
    with pytest.raises(ConfigError, match=r"Did you mean 'experts.down_proj'"):
        add_adapter(loaded_model("mixtral"), lora, seed=0)
    with pytest.raises(ConfigError, match="PEFT puts no adapter on out_proj of a mamba"):
        add_adapter(loaded_model("mamba"), LoraConfig(rank=2, targets="out_proj"), seed=0)


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"dropout": 0.1}, "--lora-dropout"),
        ({"dora": True}, "--lora-dora"),
        ({"init": "olora"}, "--lora-init olora"),
    ],
)
def test_what_experts_cannot_have_is_refused_with_what_they_can(
    settings: dict[str, Any], flag: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        add_adapter(loaded_model("mixtral"), LoraConfig(rank=2, **settings), seed=0)
    assert f"{flag}: PEFT has no such adapter for experts" in str(caught.value)
    advice = "--lora-targets k_proj,o_proj,q_proj,v_proj"
    assert advice in str(caught.value)
    lora = LoraConfig(rank=2, targets=advice.partition(" ")[2], **settings)
    assert add_adapter(loaded_model("mixtral"), lora, seed=0).num_trained > 0


@pytest.mark.parametrize("kind", often(["llama4_text", "phimoe"], ["phimoe"]))
def test_a_linear_router_gets_none(kind: str) -> None:
    loaded = add_adapter(loaded_model(kind), LoraConfig(rank=2), seed=0)
    assert "experts.down_proj" in loaded.adapter.peft_config["default"].target_parameters
    assert not any("router" in name for name in adapted(loaded.model))
    train_a_little(loaded)


@pytest.mark.parametrize("kind", often(["laguna", "inkling2_text"], ["laguna"]))
def test_weights_that_peft_renames_twice_are_read_again(kind: str, tmp_path: Path) -> None:
    loaded = add_adapter(loaded_model(kind), LoraConfig(rank=2), seed=0)
    train_a_little(loaded)
    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    again = read_adapter(loaded_model(kind), tmp_path, "an adapter")
    assert torch.equal(logits(again.model), logits(loaded.model))


def test_norms_are_trained_whole_and_told_from_what_is_named_after_them() -> None:
    kind = "roberta-prelayernorm"  # whose head is a RobertaPreLayerNormLMHead
    model = LoadedModel(tiny_model(kind, "masked"), None, f"a {kind}", "masked")
    loaded = add_adapter(model, LoraConfig(rank=2, norms=True), seed=0)
    whole = {n for n, p in loaded.model.named_parameters() if p.requires_grad and "lora_" not in n}
    assert whole
    assert all("LayerNorm.modules_to_save" in n or "layer_norm.modules" in n for n in whole)


@pytest.mark.parametrize("kind", often(["olmo", "nanochat", "hrm_text"], ["olmo"]))
def test_norms_without_weights_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="has no norm with weights of its own"):
        add_adapter(loaded_model(kind), LoraConfig(rank=2, norms=True), seed=0)
