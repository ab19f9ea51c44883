"""A dozen types of model, each odd in its own way, beside plain transformers.

All types that transformers has are tried by tests/trials/test_architectures.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nextfill.models.architecture import max_positions, set_dropout, text_config, windows_by_kind
from nextfill.models.documents.isolation import padding_isolation, probe_isolation
from nextfill.models.step import StepModule
from tests.architectures import WINDOW, tiny_config, tiny_model
from tests.representative import often
from tests.trials.architecture_table import examine

ODD = [
    ("causal", "bert"),  # looks ahead unless it is made a decoder
    ("causal", "gemma2"),  # windows in some layers
    ("causal", "gpt_oss"),  # one mask for each kind of layer
    ("causal", "llama4_text"),  # attention in chunks
    ("causal", "rwkv"),  # writes into its weights
    ("causal", "xlm"),
    ("causal", "xlnet"),
    ("masked", "big_bird"),  # leaves out blocks of long texts
    ("masked", "funnel"),  # pools
    ("masked", "modernvbert"),  # windows in a nested configuration
    ("masked", "neomme"),  # windows that differ from layer to layer
    ("masked", "ultravbert"),
]
OFTEN = [
    ("causal", "bert"),
    ("causal", "gpt_oss"),
    ("causal", "llama4_text"),
    ("causal", "xlnet"),
    ("masked", "funnel"),
    ("masked", "modernvbert"),
]


@pytest.mark.parametrize(("objective", "kind"), often(ODD, OFTEN))
def test_documents_cost_what_they_cost_alone_in_plain_transformers(
    objective: str, kind: str, tmp_path: Path
) -> None:
    row = examine(objective, kind, tmp_path)
    assert (row.verdict, row.problems) == ("equal", [])


@pytest.mark.parametrize("kind", ["modernvbert", "ultravbert"])
def test_settings_of_the_text_part_are_found_in_it(kind: str) -> None:
    model = tiny_model(kind, "masked")
    part = text_config(model.config)
    assert part is not model.config
    assert max_positions(model) == part.max_position_embeddings
    assert {name for name, _ in windows_by_kind(model)} == set(part.layer_types)
    config = tiny_config(kind)
    set_dropout(config, 0.25)
    rates = {value for key, value in text_config(config).to_dict().items() if "dropout" in key}
    assert rates == {0.25}


def test_local_layers_of_a_nested_configuration_see_their_window_alone() -> None:
    """A far token must not reach a masked place but through the layers that see everything."""
    model = tiny_model("modernvbert", "masked")
    isolation = probe_isolation(model, "masked")
    assert isolation.kind == "mask"
    assert sorted(size or 0 for _, size in isolation.windows)[0] == 0
    assert any(size is not None and size <= WINDOW * 16 for _, size in isolation.windows)


@pytest.mark.parametrize(("objective", "kind"), [("causal", "gemma3n_text"), ("masked", "bert")])
def test_padding_never_enters_a_gradient(objective: Any, kind: str) -> None:
    """Not by an embedding that is all zero, nor by one that is no number."""
    pad = 3
    for value in (0.0, float("nan")):
        model = tiny_model(kind, objective)
        module = StepModule(model, padding_isolation(model, objective))
        embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
        ids = torch.arange(10, 90).reshape(2, 40)
        ids[1, 7:] = pad
        documents = torch.zeros_like(ids).masked_fill(ids == pad, -1)
        labels = torch.full_like(ids, -100)
        labels[:, :5] = ids[:, 1:6]
        with torch.no_grad():
            embedding.weight[pad] = value
        head: Any = model.get_output_embeddings()  # type: ignore[operator]
        if value != value and head.weight is embedding.weight:
            continue  # tied: its row is in every softmax
        nats = module.train()(ids, labels, torch.arange(40).expand(2, 40), documents)
        nats.sum().backward()
        assert nats.isfinite().all()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and "embed" not in name:
                assert parameter.grad.isfinite().all(), name
        assert embedding.weight.grad[pad].isfinite().all()
