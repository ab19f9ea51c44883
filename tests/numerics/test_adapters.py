"""Adapters start as nothing, are saved and read exactly, and merge without a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nextfill.config import LoraConfig
from nextfill.core.errors import ConfigError, ModelError
from nextfill.models.adapters.adapter_layers import adaptable_layers
from nextfill.models.adapters.lora import (
    add_adapter,
    merge_adapter,
    name_base,
    read_adapter,
    save_adapter,
)
from nextfill.models.architecture import checkpoint_gradients
from nextfill.models.documents.isolation import Isolation
from nextfill.models.loaded_model import LoadedModel
from nextfill.models.step import StepModule
from tests.numerics.little_training import IDS, distance, logits, train_a_little

LORA = LoraConfig(rank=2)


def with_adapter(model: torch.nn.Module, lora: LoraConfig = LORA, seed: int = 0) -> LoadedModel:
    return add_adapter(LoadedModel(model, None, "a model"), lora, seed=seed)


def test_an_adapter_goes_on_any_family_and_merges(
    make_model: Callable[..., Any], family: str, tmp_path: Path
) -> None:
    model = make_model(family, scale=3.0)
    before = logits(model)
    frozen = {name: p.clone() for name, p in model.named_parameters()}
    loaded = with_adapter(model)
    assert loaded.model is model
    assert torch.equal(logits(model), before)
    assert 0 < loaded.num_trained < loaded.num_parameters / 2

    assert StepModule(model, Isolation("none")).gathers  # the probes see through it
    train_a_little(loaded)
    after = logits(model)
    assert not torch.allclose(after, before, atol=1e-3)
    base = {
        n.replace(".base_layer", ""): p for n, p in model.named_parameters() if "lora_" not in n
    }
    assert base.keys() == frozen.keys()
    assert all(torch.equal(p, frozen[name]) for name, p in base.items())

    name_base(loaded, "somewhere", None)
    save_adapter(loaded, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    fresh = LoadedModel(make_model(family, scale=3.0), None, "a model")
    again = read_adapter(fresh, tmp_path, "an adapter")
    assert torch.equal(logits(again.model), after)

    merged = merge_adapter(again)
    assert merged.adapter is None
    assert [n for n, _ in merged.model.named_parameters()] == list(frozen)
    difference = distance(logits(merged.model), after)
    print(f"{family}: merged differs by {difference:.1e}")
    assert difference < 1e-5


def test_the_seed_decides(make_model: Callable[..., Any]) -> None:
    def first(seed: int) -> torch.Tensor:
        loaded = with_adapter(make_model("llama"), seed=seed)
        return next(p for p in loaded.model.parameters() if p.requires_grad)

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_targets_and_scale_are_settings(make_model: Callable[..., Any]) -> None:
    lora = LoraConfig(rank=3, alpha=12.0, targets="q_proj, v_proj")
    loaded = with_adapter(make_model("llama"), lora)
    settings = loaded.adapter.peft_config["default"]
    assert settings.target_modules == {"q_proj", "v_proj"}
    assert settings.lora_alpha / settings.r == 4.0
    trained = [n for n, p in loaded.model.named_parameters() if p.requires_grad]
    assert all("q_proj" in name or "v_proj" in name for name in trained)


def test_a_rank_that_no_weight_can_have_is_refused(
    make_model: Callable[..., Any], family: str
) -> None:
    model = make_model(family)
    most = max(
        min(module.weight.shape)
        for name, module in adaptable_layers(model).items()
        if isinstance(module.weight, torch.Tensor)
    )
    with pytest.raises(
        ConfigError, match=rf"--lora-rank {most + 1}: .* above {most}, its .* give {most} or less"
    ):
        with_adapter(model, LoraConfig(rank=most + 1))
    assert with_adapter(model, LoraConfig(rank=most)).num_trained


def test_mistakes_are_told(make_model: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no linear layer 'q_prj'.*Did you mean 'q_proj'"):
        with_adapter(make_model("llama"), LoraConfig(rank=2, targets="q_prj"))
    loaded = with_adapter(make_model("llama"))
    with pytest.raises(ConfigError, match="has an adapter already"):
        add_adapter(loaded, LORA, seed=0)

    save_adapter(loaded, tmp_path)
    other = LoadedModel(make_model("llama", hidden_size=16), None, "smaller")
    with pytest.raises(ModelError, match="of another shape"):
        read_adapter(other, tmp_path, "an adapter")
    weights = load_file(tmp_path / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, tmp_path / "adapter_model.safetensors")
    same = LoadedModel(make_model("llama"), None, "same")
    with pytest.raises(ModelError, match="1 missing"):
        read_adapter(same, tmp_path, "an adapter")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors is damaged"):
        read_adapter(LoadedModel(make_model("llama"), None, "m"), tmp_path, "an adapter")


@pytest.mark.parametrize("adapter", [False, True])
def test_gradient_checkpointing_changes_no_gradient(
    make_model: Callable[..., Any], family: str, adapter: bool
) -> None:
    found = []
    for checkpointing in (False, True):
        model = make_model(family, scale=3.0)
        if adapter:
            with_adapter(model)
        if checkpointing:
            checkpoint_gradients(model)
        model.train()
        positions = torch.arange(16).expand(3, 16)
        module = StepModule(model, Isolation("none"))
        module.train()
        module(IDS, IDS, positions, torch.zeros_like(IDS)).sum().backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found.append(grads)
    plain, recomputed = found
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-6, atol=1e-7)
