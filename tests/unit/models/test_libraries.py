"""The private names of libraries that we use are there, and mean what we take them for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoConfig

from nextfill.models.libraries import (
    auto_class,
    model_class,
    model_types,
    part_tables,
    rescales,
    undo_rescaling,
    write_count,
)

SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "attention_hidden_size": 8, "vocab_size": 9}


@pytest.mark.parametrize(("kind", "objective"), [("gpt2", "causal"), ("roberta", "masked")])
def test_the_class_of_a_configuration_is_the_auto_class_s(kind, objective):
    config = AutoConfig.for_model(kind, num_hidden_layers=1, hidden_size=12)
    chosen, part = model_class(config, objective)
    assert part is config
    with torch.device("meta"):
        assert type(auto_class(objective).from_config(config)) is chosen
    assert chosen.__name__ in model_types(objective)[kind]


def test_the_tables_of_a_module_hold_its_parts_themselves():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    modules, parameters, buffers = part_tables(module)
    assert list(modules) == ["0", "1"]
    assert parameters == buffers == {}
    modules["0"] = nn.Identity()
    assert isinstance(module[0], nn.Identity)


def test_a_write_is_counted_and_a_reading_is_not():
    weight = nn.Parameter(torch.ones(3))
    before = write_count(weight)
    assert weight.detach().sum() == 3
    assert write_count(weight) == before
    with torch.no_grad():
        weight.add_(1)
    assert write_count(weight) > before


def test_rwkv_is_given_its_weights_back():
    model = auto_class("causal").from_config(AutoConfig.for_model("rwkv", rescale_every=1, **SMALL))
    trained = {name: weight.clone() for name, weight in model.named_parameters()}
    model.eval()
    with torch.no_grad():
        model(input_ids=torch.arange(4)[None], use_cache=False)
    assert any(not weight.equal(trained[name]) for name, weight in model.named_parameters())
    assert sum(map(undo_rescaling, filter(rescales, model.modules()))) == 1
    assert all(weight.equal(trained[name]) for name, weight in model.named_parameters())
